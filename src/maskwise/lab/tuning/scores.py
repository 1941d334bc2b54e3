"""The scores of fine-tuning side by side: every seed, mean and deviation, and what reading nothing would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from maskwise.lab.printed import Printed
from maskwise.lab.records.strict_json import to_json
from maskwise.lab.tasks.table import GLUE, Task
from maskwise.lab.tuning.metrics import metric_names
from maskwise.lab.tuning.settings import TuneSettings

PAPER_TASKS = tuple(task for task in GLUE if task.paper)


@dataclass(frozen=True)
class TaskScores:
    """The results of one task by seed, its baselines by name, and what was repaired in its data."""

    task: Task
    results: Mapping[int, Mapping[str, Any]]
    baselines: Mapping[str, Mapping[str, float]]
    repairs: Sequence[str] = ()

    @property
    def metrics(self) -> list[str]:
        """The metrics' names: the official ones, the paper's, then any others."""
        found = next(iter(self.results.values()))["metrics"]
        return list(dict.fromkeys([name for name in metric_names(self.task) if name in found] + list(found)))

    def values(self, metric: str) -> dict[int, float]:
        """Returns a metric by seed."""
        return {seed: result["metrics"][metric] for seed, result in self.results.items()}

    def mean(self, metric: str) -> float:
        """Returns a metric's mean over the seeds."""
        return fmean(self.values(metric).values())

    @property
    def one_class(self) -> list[int]:
        """The seeds whose model gave one answer to every held-out example."""
        return [seed for seed, result in self.results.items() if result.get("one_class")]

    def as_dict(self) -> dict[str, Any]:
        """Returns what `results.json` says of the task."""
        return {
            "metrics": {
                name: {
                    "seeds": {str(seed): value for seed, value in self.values(name).items()},
                    "mean": self.mean(name),
                    "sd": _sd(list(self.values(name).values())),
                    **{row: scores.get(name) for row, scores in self.baselines.items()},
                }
                for name in self.metrics
            },
            "one_class_seeds": self.one_class,
            "repairs": list(self.repairs),
        }


@dataclass(frozen=True)
class FinetuneResult(Printed):
    """The outcome of `finetune`: `table()` for people, `as_json()` for machines. It stands for its folder."""

    folder: Path
    checkpoint: str
    settings: TuneSettings
    tasks: Sequence[TaskScores]

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return self.table()

    @property
    def glue_average(self) -> float | None:
        """The mean over GLUE's nine tasks, each the mean of its official metrics; None unless all nine are here."""
        return self._mean_of({task.name: task.official for task in GLUE})

    @property
    def glue_average_without_wnli(self) -> float | None:
        """The same over eight tasks, as the BERT paper has it; None unless all eight are here."""
        return self._mean_of({task.name: task.official for task in GLUE if task.name != "wnli"})

    @property
    def paper_total(self) -> float | None:
        """The entropy masking paper's Total: the mean of its metric over its seven tasks; None unless all are here."""
        return self._mean_of({task.name: (str(task.paper),) for task in PAPER_TASKS})

    def _mean_of(self, cells: Mapping[str, Sequence[str]]) -> float | None:
        found = {scores.task.name: scores for scores in self.tasks}
        if not cells.keys() <= found.keys():
            return None
        return fmean(fmean(found[name].mean(metric) for metric in metrics) for name, metrics in cells.items())

    def as_dict(self) -> dict[str, Any]:
        """Returns what `results.json` holds; scores are shares of 1."""
        return {
            "checkpoint": self.checkpoint,
            "settings": self.settings.model_dump(mode="json"),
            "tasks": {scores.task.name: scores.as_dict() for scores in self.tasks},
            "glue_average": self.glue_average,
            "glue_average_without_wnli": self.glue_average_without_wnli,
            "paper_total": self.paper_total,
        }

    def as_json(self) -> str:
        """Returns `as_dict` as JSON."""
        return to_json(self.as_dict()).rstrip()

    def table(self) -> str:
        """Returns all scores x 100 as plain text, how the epoch was selected, and the averages that can be formed."""
        rows = [row for scores in self.tasks for row in _rows(scores)]
        seeds = list(dict.fromkeys(seed for scores in self.tasks for seed in scores.results))
        header = ["task", "metric", *(f"seed {seed}" for seed in seeds), "mean", "sd", "no model", ""]
        lines = _aligned([header, *rows])
        averages = {
            "GLUE average (9 tasks)": self.glue_average,
            "GLUE average without WNLI (8 tasks)": self.glue_average_without_wnli,
            "The paper's Total (7 tasks)": self.paper_total,
        }
        lines += [f"{name}: {100 * value:.2f}" for name, value in averages.items() if value is not None]
        return "\n".join([*lines, _selection(self.settings)])


def _rows(scores: TaskScores) -> list[list[str]]:
    rows = []
    for name in scores.metrics:
        values = list(scores.values(name).values())
        sd = _sd(values)
        rivals = [f"{100 * row[name]:.2f} ({kind})" for kind, row in scores.baselines.items() if name in row]
        mark = f"one class: seed {', '.join(map(str, scores.one_class))}" if scores.one_class else ""
        cells = [*(f"{100 * value:.2f}" for value in values), f"{100 * scores.mean(name):.2f}"]
        rows.append([scores.task.name, name, *cells, "-" if sd is None else f"{100 * sd:.2f}", "; ".join(rivals), mark])
    return rows


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    cells = [
        [cell.ljust(width) if i in (0, 1, last) else cell.rjust(width) for i, (cell, width) in enumerate(columns)]
        for columns in (zip(row, widths, strict=True) for row in rows)
    ]
    return ["  ".join(row).rstrip() for row in cells]


def _sd(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _selection(settings: TuneSettings) -> str:
    if settings.select_on == "validation":
        return "The epoch was selected on the same validation data that is reported: the figures are optimistic."
    return f"The epoch was selected on {settings.select_share:.0%} of the training data; validation was seen once."
