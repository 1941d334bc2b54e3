"""Folders `checkpoint-N` of a run: which are complete, and whether one is as it was written.

A checkpoint is complete if it has the marker `complete.json`, which is written last and holds the step and the record
of the other files (`maskwise.files.checksums`).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maskwise.errors import InputError, first_line
from maskwise.files.checksums import damage

MARKER, TRAINER_STATE = "complete.json", "trainer_state.json"


def complete_checkpoints(run_folder: Path) -> list[Path]:
    """Returns the marked checkpoints of a run folder, oldest first; nothing inside them is looked at."""
    return sorted((path for path in _all(run_folder) if (path / MARKER).exists()), key=step_of)


def delete_incomplete(run_folder: Path) -> list[Path]:
    """Deletes the checkpoints a kill left without a marker; returns them."""
    broken = [path for path in _all(run_folder) if not (path / MARKER).exists()]
    for path in broken:
        shutil.rmtree(path)
    return broken


def newest_undamaged(
    run_folder: Path, say: Callable[[str], None], look: Callable[[Path], str | None] = lambda _: None
) -> Path | None:
    """Returns the newest checkpoint that is complete and as it was written; None if no checkpoint is marked.

    Damaged ones that are newer lose their marker, so that nobody takes them again.

    Args:
        run_folder: The run's folder.
        say: Is told of each damaged checkpoint that is passed over.
        look: Returns what else is wrong with a checkpoint that is as it was written, or None.

    Raises:
        InputError: If there are marked checkpoints, and every one of them is damaged.
    """
    marked, damaged = complete_checkpoints(run_folder), dict[Path, str]()
    for path in reversed(marked):
        if (reason := whats_wrong(path) or look(path)) is None:
            for other, why in damaged.items():
                (other / MARKER).unlink(missing_ok=True)
                say(f"{other} is damaged ({why}); resuming from {path.name} instead.")
            return path
        damaged[path] = reason
    if not marked:
        return None
    reasons = "\n".join(f"{path.name}: {reason}" for path, reason in damaged.items())
    raise InputError(
        f"Every checkpoint in {run_folder} is damaged:\n{reasons}\n"
        "Put the files back, or delete these checkpoints to start the run again."
    )


def whats_wrong(checkpoint: Path) -> str | None:
    """Returns why a checkpoint cannot be resumed from; None if it can.

    Marker, folder name and `trainer_state.json` must agree on the step, which must lie within the run, and every file
    must have the size and content that was recorded.
    """
    try:
        marker, state = read_marker(checkpoint), _read_object(checkpoint / TRAINER_STATE)
    except InputError as error:
        return str(error)
    step, named = marker.get("step"), step_of(checkpoint)
    if step != named:
        return f"its marker is of step {step!r}"
    if state.get("global_step") != named:
        return f"its {TRAINER_STATE} is of step {state.get('global_step')!r}"
    max_steps = state.get("max_steps")
    if not isinstance(max_steps, int) or not 0 < named <= max_steps:
        return f"its {TRAINER_STATE} is of a run of {max_steps!r} steps"
    return "; ".join(damage(checkpoint, marker.get("files"), read_all=True)[:3]) or None


def read_marker(checkpoint: Path) -> dict[str, Any]:
    """Returns what a checkpoint's marker holds; raises InputError if there is none or it does not parse."""
    return _read_object(checkpoint / MARKER)


def step_of(path: Path) -> int:
    """Returns the optimizer step a checkpoint folder is named after."""
    return int(path.name.rpartition("-")[2])


def _all(run_folder: Path) -> list[Path]:
    return [path for path in run_folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]


def _read_object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"its {file.name} cannot be read ({first_line(error)})") from None
    if not isinstance(value, dict):
        raise InputError(f"its {file.name} holds no table")
    return value
