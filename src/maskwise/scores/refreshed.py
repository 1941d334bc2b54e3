"""Refreshed scores: the model in training scores all rows every few epochs, and batches read what it said then.

Shapes: B sequences, T positions, X tokens of some rows one after another.

Scoring in every step costs two thirds of a step's forward arithmetic again; here it costs one evaluation pass a
period. What the model has learned since is not in the scores.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.errors import InputError
from maskwise.files.checkpoint_folders import complete_checkpoints
from maskwise.masking.score import Score, StatefulScore, as_score
from maskwise.masking.score_context import ScoreContext, TrainState
from maskwise.scores.score_file import ScoreFile, offsets_of

SCORED_ROWS = (
    32  # not the training batch: the score file is then the same whatever the batch and the number of processes
)
PROBE_ROWS = 64


class RefreshedScores(StatefulScore):
    """A score of the model in training as it was when the running period of `refresh_epochs` epochs began.

    At the start of epochs 0, R, 2R, ... `score` (`Entropy()`, say) is taken of every training row and kept in the run
    folder as `scores-<epoch>.f32`, 4 bytes a token; batches read it by example id. R = 1 is a refresh per epoch; the
    paper's is per batch, which is `score` itself. A resumed run reads the score file of its period, and so resumes
    exactly. Each refresh but the first logs `refresh_overlap`: on 64 rows, the share of the tokens picked by fresh
    scores that the old ones pick too.

    Needs MaskingTrainer and a dataset with a length. Several processes score a share each and read one file: they
    must be on one machine, or share the run folder.

    Args:
        score: The score that is refreshed.
        refresh_epochs: R.

    Raises:
        InputError: If R is not a positive whole number, and when a batch comes before any scores were taken.

    >>> from maskwise import Entropy
    >>> RefreshedScores(Entropy(), refresh_epochs=2).parts()[0].name
    'Entropy'
    """

    def __init__(self, score: Score, refresh_epochs: int = 1) -> None:
        if isinstance(refresh_epochs, bool) or not isinstance(refresh_epochs, int) or refresh_epochs < 1:
            raise InputError(f"refresh_epochs is a whole number of epochs, at least 1; found {refresh_epochs!r}.")
        self.score, self.refresh_epochs = as_score(score), refresh_epochs
        self.default_pick = self.score.default_pick
        self.score_file: ScoreFile | None = None

    def parts(self) -> tuple[StatefulScore, ...]:
        """Returns the score that is refreshed."""
        return (self.score,)

    def source(self, state: TrainState) -> str:
        """Returns who scores: `self`, though as it was."""
        return "self"

    def on_epoch_start(self, context: ScoreContext) -> None:
        """Scores all training rows when a period begins; takes up its score file if a run is resumed inside it."""
        assert context.folder is not None, "refreshed scores are kept in the run's folder"
        folder, epoch = context.folder, context.epoch
        offsets = self.score_file.offsets if self.score_file else offsets_of(context.row_lengths())
        period = self._period(epoch)
        self.score_file = ScoreFile(score_file_path(folder, period), offsets)
        if epoch == period:
            self._refresh(context, self.score_file)
            old = ScoreFile(score_file_path(folder, period - self.refresh_epochs), offsets)
            if old.is_whole():
                context.log({"refresh_overlap": overlap(context, old, self.score_file)})
            if context.rank == 0:
                delete_score_files(folder, before=self._first_needed(folder, epoch))
        elif not self.score_file.is_whole():
            raise InputError(
                f"{self.score_file.path} is missing or cut short. It holds scores of the weights as its period began, "
                "which a checkpoint inside it cannot give again. Start the run over, or put the file back."
            )

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the scores [B, T] of the running period, 0 where a token may not be masked."""
        if self.score_file is None:
            raise InputError("Refreshed scores are made at the start of an epoch: train with MaskingTrainer.")
        return self.score_file.read(batch)

    def _period(self, epoch: float) -> int:
        """Returns the epoch in which the period of `epoch` began."""
        return int(epoch) - int(epoch) % self.refresh_epochs

    def _refresh(self, context: ScoreContext, score_file: ScoreFile) -> None:
        """Each process scores every so many-th batch into one file, which gets its name when all are through."""
        writing = ScoreFile(score_file.path.with_suffix(".unfinished"), score_file.offsets)
        if context.rank == 0:
            writing.path.parent.mkdir(parents=True, exist_ok=True)
            writing.reserve()
        context.barrier()
        num_rows = len(score_file.offsets) - 1
        for first in range(SCORED_ROWS * context.rank, num_rows, SCORED_ROWS * context.world_size):
            batch = context.training_batch(range(first, min(first + SCORED_ROWS, num_rows)))
            with context.precision():
                writing.write(first, _text_values(self.score(batch), batch))
        context.barrier()
        if context.rank == 0:
            writing.sync()
            writing.path.replace(score_file.path)
        context.barrier()

    def _first_needed(self, folder: Path, epoch: float) -> int:
        """Returns the oldest bank that a resumed run could ask for: that of the newest checkpoint's last step."""
        previous = self._period(epoch) - self.refresh_epochs
        for checkpoint in complete_checkpoints(folder)[-1:]:
            state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
            return min(previous, self._period(max(math.ceil(state["epoch"]) - 1, 0)))
        return previous


@torch.no_grad()
def overlap(context: ScoreContext, old: ScoreFile, fresh: ScoreFile) -> float:
    """Returns the share of tokens picked by the fresh score file that the old one picks too, on a few rows."""
    num_rows = len(fresh.offsets) - 1
    rows = np.unique(np.linspace(0, num_rows - 1, PROBE_ROWS).astype(np.int64)).tolist()
    batch = context.training_batch(rows)
    old_BT, fresh_BT = (context.pick(batch, score_file.read(batch)) for score_file in (old, fresh))
    return ((old_BT & fresh_BT).sum() / fresh_BT.sum().clamp_min(1)).item()


def score_file_path(folder: Path, epoch: int) -> Path:
    """Returns where the scores taken at the start of `epoch` are kept."""
    return folder / f"scores-{epoch}.f32"


def delete_score_files(folder: Path, before: float = math.inf) -> None:
    """Deletes the banks of epochs before `before`, all of them by default: a finished run reads none."""
    for path in folder.glob("scores-*.f32"):
        number = re.fullmatch(r"scores-(\d+)\.f32", path.name)
        if number and int(number[1]) < before:
            path.unlink()


def _text_values(scores_BT: Tensor, batch: Mapping[str, Any]) -> np.ndarray:
    """Returns the scores without padding, row after row, 0 where a token may not be masked."""
    is_text_BT = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()
    return scores_BT.float().where(batch["eligible"], 0.0)[is_text_BT].cpu().numpy()
