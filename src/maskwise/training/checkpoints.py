"""Checkpoints that are either complete or known not to be.

The Trainer writes `checkpoint-N` file by file, and a kill can leave half of one. Here other states follow (that of the
score, say), a marker is written last, older checkpoints are deleted only after the marker, and a resume takes the
newest one marked.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from maskwise.files.atomic import atomic_write
from maskwise.files.checkpoint_folders import MARKER, complete_checkpoints, step_of


class Stateful(Protocol):
    """Something whose state a checkpoint keeps."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class WatchedTrainer(Protocol):
    """What checkpoints need of a trainer: ranks that wait for each other, and a look at the losses so far."""

    accelerator: Any

    def raise_if_not_finite(self) -> None: ...


class Checkpoints:
    """Finishes each checkpoint of a run, keeps the newest `keep` (None: all), and restores the states it was given.

    Args:
        states: What else a checkpoint holds, by name: a non-empty state is kept as `<name>_state.pt`.
        keep: How many complete checkpoints to keep. That of `kept_step` is kept too, however old it gets.
    """

    def __init__(self, states: Mapping[str, Stateful], keep: int | None) -> None:
        self.states, self.keep = states, keep
        self.kept_step: int | None = None

    def finish(self, folder: Path, step: int) -> None:
        """Writes the states, then the marker; then deletes what is older than the newest `keep`."""
        for name, stateful in self.states.items():
            if state := stateful.state_dict():
                torch.save(state, state_file(folder, name))
        atomic_write(folder / MARKER, json.dumps({"step": step}))
        if self.keep is not None:
            for old in complete_checkpoints(folder.parent)[: -self.keep]:
                if step_of(old) != self.kept_step:
                    (old / MARKER).unlink()
                    shutil.rmtree(old)

    def restore(self, folder: Path) -> None:
        """Loads the states from a complete checkpoint."""
        for name, stateful in self.states.items():
            path = state_file(folder, name)
            state = torch.load(path, map_location="cpu", weights_only=True) if path.exists() else {}
            stateful.load_state_dict(state)

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

            def on_save(self, args: Any, state, control, **kwargs):
                trainer.accelerator.wait_for_everyone()
                if args.should_save:
                    checkpoints.finish(Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step)
                trainer.accelerator.wait_for_everyone()

        return FinishCheckpoints()


def state_file(folder: Path, name: str) -> Path:
    """Returns where a checkpoint keeps a state."""
    return folder / f"{name}_state.pt"
