"""The constant classifier: what a model that reads nothing can score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from maskwise.lab.tasks.classification import TaskData
from maskwise.lab.tasks.table import Task
from maskwise.lab.tuning.metrics import score_split


def constant_scores(task: Task, data: TaskData) -> dict[str, float]:
    """Returns, for each metric, the best that answering one class for every held-out example gives.

    The class is chosen on the held-out labels themselves, metric by metric, so the row is the bar to pass and not an
    estimate. For a regression it is 0: a constant correlates with nothing.
    """
    best: dict[str, float] = {}
    for name, split in data.held_out.items():
        best |= _best_constant(task, name, split.labels, range(len(data.classes)) or [0])
    return best


def _best_constant(task: Task, split: str, labels: Sequence[float], answers: Sequence[float]) -> Mapping[str, float]:
    rows = [score_split(task, split, labels, [answer] * len(labels)) for answer in answers]
    return {name: max(row[name] for row in rows) for name in rows[0]}
