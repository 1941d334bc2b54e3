"""A frozen teacher's scores, read from the files that `maskwise annotate` or `store_scores` wrote.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from maskwise.errors import InputError
from maskwise.files.checksums import damage
from maskwise.files.path_names import path_text
from maskwise.masking.score import StatefulScore
from maskwise.masking.score_context import RunPlan
from maskwise.scores.score_file import ScoreFile

VALUES, OFFSETS, SCORES_MANIFEST = "values.f32", "offsets.npy", "manifest.json"
KEYS = ("statistic", "teacher", "teacher_sha256")


class Stored(StatefulScore):
    """A score that reads stored values, such as a teacher's entropy in nats, by `batch["example_id"]`.

    Nothing outside the folder is read. It holds no model, so it works in the workers of a `MaskingCollator` too, where
    the rows must carry their number as `example_id`. It also stands in for a teacher: `Entropy(Stored(folder),
    epochs=1)`. Picks are the live teacher's, up to ties in the last bits of float32.

    Args:
        folder: What `maskwise.lab.annotate` or `store_scores` returned.

    Raises:
        InputError: If the folder is unfinished or damaged, and when a batch's rows are not as long as those that were
            scored.

    >>> import tempfile, torch
    >>> from maskwise.scores.store import store_scores
    >>> with tempfile.TemporaryDirectory() as out:
    ...     folder = store_scores(lambda batch: batch["input_ids"] / 2, [{"input_ids": [5, 6]}], f"{out}/s", show=False)
    ...     Stored(folder)({"input_ids": torch.tensor([[5, 6]]), "example_id": torch.tensor([0])})
    tensor([[2.5000, 3.0000]])
    """

    is_local = True
    default_pick = "high"

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(path_text(folder, "folder of scores"))
        self.manifest = _finished_manifest(self.folder)
        self.statistic: str = self.manifest["statistic"]
        self.teacher: str = self.manifest["teacher"]
        self.file = ScoreFile(self.folder / VALUES, _offsets(self.folder / OFFSETS))
        if not self.file.is_whole():
            raise InputError(
                f"{self.file.path} is missing or cut short. Delete {self.folder} and store the scores again."
            )
        self._check(read_all=False)

    def __repr__(self) -> str:
        rows, tokens = len(self.file.offsets) - 1, int(self.file.offsets[-1])
        return f"Stored({str(self.folder)!r}: {self.statistic} of {rows:,} rows, {tokens:,} tokens)"

    def check_run(self, plan: RunPlan) -> None:
        """Raises InputError if the values are not as they were written: all of them are read before a run."""
        self._check(read_all=True)

    def _check(self, *, read_all: bool) -> None:
        if found := damage(self.folder, self.manifest.get("files"), read_all=read_all):
            raise InputError(
                f"The scores in {self.folder} are damaged: {found[0]}. Delete the folder and store the scores again."
            )

    def fingerprint(self) -> str:
        """Returns the statistic and the hash of the teacher's weights."""
        return f"{super().fingerprint()[:-1]}, teacher_sha256={self.manifest['teacher_sha256']})"

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the stored scores [B, T], 0 at special tokens and padding."""
        return self.file.read(batch)


def _finished_manifest(folder: Path) -> dict[str, Any]:
    if not (folder / SCORES_MANIFEST).is_file():
        state = "were not finished" if folder.exists() else "do not exist"
        raise InputError(f"The scores in {folder} {state}. Run maskwise annotate: it resumes where it stopped.")
    try:
        manifest = json.loads((folder / SCORES_MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / SCORES_MANIFEST} cannot be read: {error}. Delete {folder} and score again."
        ) from None
    lacking = [key for key in KEYS if not isinstance(manifest, dict) or not isinstance(manifest.get(key), str)]
    if lacking:
        raise InputError(
            f"{folder} does not hold scores: its {SCORES_MANIFEST} has no {lacking[0]!r}. Name the folder that "
            "annotate or store_scores returned."
        )
    return manifest


def _offsets(path: Path) -> np.ndarray:
    try:
        offsets = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is missing or damaged: {error}. Delete {path.parent} and score again.") from None
    is_rising = offsets.ndim == 1 and len(offsets) and offsets.dtype == np.int64 and (np.diff(offsets) >= 0).all()
    if not is_rising or offsets[0] != 0:
        raise InputError(f"{path} is damaged: it does not hold where rows begin. Delete {path.parent} and score again.")
    return offsets
