"""The kinds of task behind one protocol: what fine-tuning, studies and reports need of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from maskwise.lab.tasks.table import Task
from maskwise.lab.tuning.settings import TuneSettings


class LoadedTask(Protocol):
    """A task's data; `repairs` says what was put right or passed over in reading it."""

    repairs: list[str]

    @property
    def class_counts(self) -> Mapping[str, Mapping[str, int]]:
        """How often each class, tag or grade occurs in each split; empty for a regression."""
        ...


class TaskKind(Protocol):
    """What a kind of task does."""

    def load(self, task: Task, source: str | Path | None) -> Any:
        """Returns the task's data, a `LoadedTask`; raises InputError for data that cannot be used."""
        ...

    def baselines(self, task: Task, data: Any) -> dict[str, dict[str, float]]:
        """Returns scores that need no model, by the name of what gets them and by metric."""
        ...

    def tune(
        self, checkpoint: str, task: Task, data: Any, settings: TuneSettings, seed: int, out: Path, *, show: bool = True
    ) -> dict[str, Any]:
        """Tunes a checkpoint with one seed, and returns what it wrote to `out/result.json`."""
        ...


def kind_of(task: Task) -> TaskKind:
    """Returns the kind of a task; what it needs is imported now, and not with this module."""
    if task.kind == "tag":
        from maskwise.lab.tuning.tag import Tagging

        return Tagging()
    if task.kind == "retrieve":
        from maskwise.lab.tuning.retrieve import Retrieval

        return Retrieval()
    from maskwise.lab.tuning.classify import Classification

    return Classification()
