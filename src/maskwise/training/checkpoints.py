"""Checkpoints that are either complete or known not to be.

The Trainer writes `checkpoint-N` file by file, and a kill can leave half of one. Here the score's state follows, a
marker is written last, older checkpoints are deleted only after the marker, and a resume takes the newest one marked.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Protocol

import torch

from maskwise.files.atomic import atomic_write
from maskwise.files.checkpoint_folders import MARKER, complete_checkpoints, step_of

SCORE_STATE = "score_state.pt"


class WatchedTrainer(Protocol):
    """What checkpoints need of a trainer: ranks that wait for each other, and a look at the losses so far."""

    accelerator: Any

    def raise_if_not_finite(self) -> None: ...


class Checkpoints:
    """Finishes each checkpoint of a run, keeps the newest `keep` (all where None), and restores the score's state.

    The checkpoint of `kept_step` is kept too, however old it gets.
    """

    def __init__(self, score: Any, keep: int | None) -> None:
        self.score, self.keep = score, keep
        self.kept_step: int | None = None

    def finish(self, folder: Path, step: int) -> None:
        """Writes the score's state, then the marker; then deletes what is older than the newest `keep`."""
        if hasattr(self.score, "state_dict"):
            torch.save(self.score.state_dict(), folder / SCORE_STATE)
        atomic_write(folder / MARKER, json.dumps({"step": step}))
        if self.keep is not None:
            for old in complete_checkpoints(folder.parent)[: -self.keep]:
                if step_of(old) != self.kept_step:
                    (old / MARKER).unlink()
                    shutil.rmtree(old)

    def restore(self, folder: Path) -> None:
        """Loads the score's state from a complete checkpoint."""
        if hasattr(self.score, "load_state_dict") and (folder / SCORE_STATE).exists():
            self.score.load_state_dict(torch.load(folder / SCORE_STATE, map_location="cpu", weights_only=True))

    def newest(self, run_folder: str | Path | None) -> Path | None:
        """Returns the newest complete checkpoint of a run folder, or None."""
        found = complete_checkpoints(Path(run_folder)) if run_folder else []
        return found[-1] if found else None

    def for_trainer(self, trainer: WatchedTrainer):
        """Returns the `TrainerCallback` that looks for bad losses before a save and completes checkpoints after it."""
        from transformers import TrainerCallback

        checkpoints = self

        class FinishCheckpoints(TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):
                if control.should_log or control.should_save or control.should_training_stop:
                    trainer.raise_if_not_finite()

            def on_train_begin(self, args, state, control, **kwargs):
                if hasattr(checkpoints.score, "check_run"):
                    checkpoints.score.check_run(state.max_steps, state.num_train_epochs)

            def on_save(self, args: Any, state, control, **kwargs):
                trainer.accelerator.wait_for_everyone()
                if args.should_save:
                    checkpoints.finish(Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step)
                trainer.accelerator.wait_for_everyone()

        return FinishCheckpoints()
