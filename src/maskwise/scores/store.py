"""Writes a score of every token of a data set to a folder that `Stored` reads, from a script.

Shapes: B sequences, T positions, X tokens of some rows one after another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from maskwise.errors import InputError
from maskwise.files.atomic_folder import atomic_folder
from maskwise.files.checksums import record_files
from maskwise.files.disk_full import disk_full_as_input_error
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.score import Score, StatefulScore, all_scores, as_score
from maskwise.masking.score_context import TrainState
from maskwise.models.sparse import SparseHead
from maskwise.progress import Progress
from maskwise.scores.model import ModelScore
from maskwise.scores.score_file import ScoreFile, row_offsets
from maskwise.scores.stored import OFFSETS, SCORES_MANIFEST, VALUES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@torch.no_grad()
def store_scores(
    score: Score,
    rows: Any,
    folder: str | Path,
    *,
    tokenizer: PreTrainedTokenizerBase | str | Path | None = None,
    batch_size: int = 32,
    show: bool = True,
) -> Path:
    """Scores every token of a data set once, and writes a folder that `Stored` reads: 4 bytes a token.

    Training then reads the scores by row number, so the rows must be the same, in the same order.

    Args:
        score: `Entropy(teacher)`, `Surprisal(teacher)`, or any score that needs no hooks, such as your own function. A
            teacher scores on the device where it is.
        rows: A list or data set of rows with `input_ids`.
        folder: The folder to make. It is there when all is written, and not before.
        tokenizer: The rows' tokenizer, or its name: tokens that are never masked are then left out, which is a little
            faster. A score in folds needs it.
        batch_size: Rows that are scored at a time.
        show: Whether to show progress.

    Returns:
        The folder.

    Raises:
        InputError: The folder is not empty, the disk is full, or a score does not have one finite number per token.

    >>> import tempfile
    >>> from maskwise.scores.stored import Stored
    >>> rows = [{"input_ids": [5, 6, 7]}, {"input_ids": [8]}]
    >>> with tempfile.TemporaryDirectory() as out:
    ...     stored = Stored(store_scores(lambda batch: batch["input_ids"] / 2, rows, f"{out}/halves", show=False))
    ...     stored({"input_ids": torch.tensor([[8, 0]]), "example_id": torch.tensor([1]),
    ...             "attention_mask": torch.tensor([[1, 0]])})
    tensor([[4., 0.]])
    """
    scorer, folder = _Scorer(as_score(score), rows, tokenizer), Path(folder)
    if batch_size < 1:
        raise InputError(f"batch_size is a number of rows, at least 1; found {batch_size}.")
    offsets = row_offsets(rows)
    with atomic_folder(folder) as unfinished, disk_full_as_input_error(folder / VALUES):
        file = ScoreFile(unfinished / VALUES, offsets)
        file.reserve()
        with Progress("store scores", int(offsets[-1]), "tokens", show=show) as progress:
            for start in range(0, len(rows), batch_size):
                values_X = scorer.values(range(start, min(start + batch_size, len(rows))))
                file.write(start, values_X)
                progress.advance(len(values_X))
        file.sync()
        np.save(unfinished / OFFSETS, offsets)
        manifest = scorer.manifest() | {"files": record_files(unfinished, [VALUES, OFFSETS])}
        (unfinished / SCORES_MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return folder


class _Scorer:
    """Scores rows by their numbers."""

    def __init__(self, score: StatefulScore, rows: Any, tokenizer: Any) -> None:
        if not hasattr(rows, "__len__") or not hasattr(rows, "__getitem__"):
            raise InputError("Scores are stored by row number, so rows have a length; found a stream. Give a list.")
        if len(rows) == 0:
            raise InputError("There are no rows to score.")
        self.score, self.rows = score, rows
        self.masker = Masker(score, tokenizer) if tokenizer is not None else None
        self.device = _device_of(score)

    def values(self, numbers: Sequence[int]) -> np.ndarray:
        """Returns the scores [X] of some rows, 0 at tokens that are never masked, as far as they are known."""
        rows = [{**self.rows[i], "example_id": i} for i in numbers]
        pad_token_id = self.masker.vocabulary.pad_token_id if self.masker else 0
        batch = {key: value.to(self.device) for key, value in pad_batch(rows, pad_token_id).items()}
        is_text_BT = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()
        prepared = self.masker.prepare(batch) if self.masker else _prepared(batch, is_text_BT)
        try:
            scores_BT = self.score(prepared)
        except KeyError as error:
            raise InputError(
                f"The score {self.score.name!r} reads {error} of the batch, which is not there. Give store_scores the "
                "tokenizer=, and rows with the columns that the score reads."
            ) from error
        scores_BT = self._checked(scores_BT, prepared["eligible"], numbers)
        return scores_BT.where(prepared["eligible"], 0.0)[is_text_BT].float().cpu().numpy()

    def manifest(self) -> dict[str, Any]:
        """Returns what the values are of."""
        statistic = self.score.statistic.removesuffix("_R") if isinstance(self.score, ModelScore) else self.score.name
        weights = hashlib.sha256()
        for model in _models_of(self.score):
            for name, tensor in sorted(model.state_dict().items()):
                weights.update(name.encode())
                weights.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        teachers = [getattr(model, "name_or_path", "") or type(model).__name__ for model in _models_of(self.score)]
        return {
            "statistic": statistic,
            "dtype": "float32",
            "score": self.score.fingerprint(),
            "teacher": ", ".join(teachers) or self.score.name,
            "teacher_sha256": weights.hexdigest(),
            "blocks": len(self.rows),
        }

    def _checked(self, scores_BT: Any, eligible_BT: Tensor, numbers: Sequence[int]) -> Tensor:
        if not isinstance(scores_BT, Tensor) or scores_BT.shape != eligible_BT.shape:
            found = tuple(scores_BT.shape) if isinstance(scores_BT, Tensor) else type(scores_BT).__name__
            raise InputError(
                f"A score returns one number per token, shape {tuple(eligible_BT.shape)}; {self.score.name!r} returned "
                f"{found}."
            )
        bad_B = (~torch.isfinite(scores_BT) & eligible_BT).any(dim=-1)
        if bad_B.any():
            raise InputError(
                f"The score {self.score.name!r} is not finite in row {numbers[int(bad_B.nonzero()[0])]}. Look for NaN "
                "in the teacher's weights."
            )
        return scores_BT


def _prepared(batch: Mapping[str, Tensor], is_text_BT: Tensor) -> dict[str, Any]:
    return {**batch, "eligible": is_text_BT, "state": TrainState(), "rate": 0.15}


def _models_of(score: StatefulScore) -> Iterator[nn.Module]:
    for part in all_scores(score):
        for value in vars(part).values():
            model = value.model if isinstance(value, SparseHead) else value
            if isinstance(model, nn.Module):
                yield model


def _device_of(score: StatefulScore) -> torch.device:
    parameters = (parameter for model in _models_of(score) for parameter in model.parameters())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device
