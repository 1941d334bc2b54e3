"""Checkpoints that are either complete or known not to be.

The Trainer writes `checkpoint-N` file by file, and a kill can leave half of one. Here other states follow (that of the
score, say), a marker with the checksums of all files is written last, older checkpoints are deleted only after the
marker, and a resume takes the newest one that is marked and undamaged.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from maskwise.errors import InputError, first_line
from maskwise.files.atomic import atomic_write
from maskwise.files.checkpoint_folders import MARKER, complete_checkpoints, step_of
from maskwise.files.checksums import record_files


class Stateful(Protocol):
    """Something whose state a checkpoint keeps."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Checkpoints:
    """Finishes each checkpoint of a run, keeps the newest `keep` (None: all), and restores the states it was given.

    Args:
        states: What else a checkpoint holds, by name: a non-empty state is kept as `<name>_state.pt`.
        keep: How many complete checkpoints to keep. That of `kept_step` is one of them, however old it gets, and so is
            the newest: `keep=1` keeps two if these differ.
    """

    def __init__(self, states: Mapping[str, Stateful], keep: int | None) -> None:
        self.states, self.keep = states, keep
        self.kept_step: int | None = None

    def begin(self, folder: Path) -> None:
        """Takes the marker off a checkpoint that is about to be written over."""
        (folder / MARKER).unlink(missing_ok=True)

    def finish(self, folder: Path, step: int, run: Mapping[str, str] | None = None) -> None:
        """Writes the states, then the marker; then deletes the oldest checkpoints beyond `keep`.

        Args:
            folder: The checkpoint.
            step: Its optimizer step.
            run: What the run depends on, which a resume must have alike (`maskwise.training.run_identity`).
        """
        for name, stateful in self.states.items():
            if state := stateful.state_dict():
                torch.save(state, state_file(folder, name))
        marker = {"step": step, "files": record_files(folder), "run": dict(run or {})}
        atomic_write(folder / MARKER, json.dumps(marker, indent=1))
        self._delete_old(folder)

    def restore(self, folder: Path) -> None:
        """Loads the states from a complete checkpoint.

        Raises:
            InputError: If a state is not one of what it is loaded into.
        """
        for name, stateful in self.states.items():
            path = state_file(folder, name)
            state = torch.load(path, map_location="cpu", weights_only=True) if path.exists() else {}
            try:
                stateful.load_state_dict(state)
            except (KeyError, TypeError, AttributeError, RuntimeError) as error:
                raise InputError(
                    f"{path} does not hold the state of this run's {name} ({type(error).__name__}: "
                    f"{first_line(error)}). Resume with the {name} that the run was started with."
                ) from error

    def newest(self, run_folder: str | Path | None) -> Path | None:
        """Returns the newest complete checkpoint of a run folder, or None."""
        found = complete_checkpoints(Path(run_folder)) if run_folder else []
        return found[-1] if found else None

    def _delete_old(self, written: Path) -> None:
        """Counts the one just written as the newest; later steps are of an earlier run in the same folder."""
        if self.keep is None:
            return
        others = [path for path in complete_checkpoints(written.parent) if path != written]
        removable = [path for path in others if step_of(path) != self.kept_step]
        removable.sort(key=lambda path: (step_of(path) < step_of(written), step_of(path)))
        room = max(self.keep - 1 - (len(others) - len(removable)), 0)
        for path in removable[: max(len(removable) - room, 0)]:
            self.begin(path)
            shutil.rmtree(path)


def state_file(folder: Path, name: str) -> Path:
    """Returns where a checkpoint keeps a state."""
    return folder / f"{name}_state.pt"
