"""Folders `checkpoint-N` of a run: which are complete, which a kill left without a marker."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

MARKER = "complete.json"


def complete_checkpoints(run_folder: Path) -> list[Path]:
    """Returns the marked checkpoints of a run folder, oldest first."""
    return sorted((path for path in _all(run_folder) if (path / MARKER).exists()), key=step_of)


def delete_incomplete(run_folder: Path) -> list[Path]:
    """Deletes the checkpoints a kill left without a marker; returns them."""
    broken = [path for path in _all(run_folder) if not (path / MARKER).exists()]
    for path in broken:
        shutil.rmtree(path)
    return broken


def _all(run_folder: Path) -> list[Path]:
    return [path for path in run_folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]


def step_of(path: Path) -> int:
    """Returns the optimizer step a checkpoint folder is named after."""
    return int(path.name.rpartition("-")[2])
