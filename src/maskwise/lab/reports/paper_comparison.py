"""What was measured next to what the entropy masking paper printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from maskwise.lab.reports.paper_tables import CONSTANT, PRINTED_METRICS, PRINTED_TASKS, find_row
from maskwise.lab.reports.scores import Scores
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.study.study_file import Study

_BASELINES = {"random": "paper-baseline", "bert": "paper-baseline"}  # random masking at the same rate
BACKBONES = ("bert", "bertlet")
_MARKS = {"": "", "at": " (constant classifier)", "other": " (other constant class)", "below": " (below constant)"}
_COLUMNS = (
    Column("arm"), Column("task"), Column("metric"), Column("backbone"), Column("measured"),
    Column("measured_gain", "over the baseline"), Column("bert", "BERT, printed"),
    Column("bert_gain", "over the baseline"), Column("bertlet", "BERTlet, printed"),
    Column("bertlet_gain", "over the baseline"), Column("constant", "constant classifier"),
)  # fmt: skip


def published_table(scores: Sequence[Scores], study: Study, against: str) -> Table:
    """Returns every arm that the paper has too, in points, by the paper's metric, and gains over baselines."""
    note = (
        "Points of 100. The paper's cells are printed without any spread over seeds; models, corpus and length of "
        "training differ from those here, so gains over each one's own baseline compare better than scores do. A mark "
        "says where a printed cell is what a model scores that reads nothing."
    )
    return Table("published", "Beside the published tables", _COLUMNS, tuple(_rows(scores, study, against)), note)


def _rows(scores: Sequence[Scores], study: Study, against: str) -> Iterator[dict[str, Any]]:
    recipes = {arm.name: _BASELINES.get(arm.recipe_name, arm.recipe_name) for arm in study.arms}
    means = {(one.arm, one.backbone, one.task, one.metric): fmean(one.by_seed.values()) for one in scores}
    for (arm, backbone, task, metric), mean in means.items():
        if (
            arm not in recipes
            or task not in PRINTED_TASKS
            or metric != PRINTED_METRICS[task]
            or find_row("bert", recipes[arm]) is None
        ):
            continue
        base = means.get((against, backbone, task, metric))
        yield {
            "task": task, "backbone": backbone, "metric": metric, "arm": arm, "measured": f"{100 * mean:.2f}",
            "measured_gain": _gain(None if base is None or arm == against else 100 * (mean - base)),
            **_printed(recipes[arm], task), "constant": f"{CONSTANT[task]:.2f}",
        }  # fmt: skip


def _printed(recipe: str, task: str) -> Mapping[str, str | None]:
    cells: dict[str, str | None] = {}
    for backbone in BACKBONES:
        row, base = find_row(backbone, recipe), find_row(backbone, "paper-baseline")
        assert row is not None and base is not None
        cells[backbone] = f"{row.cells[task]:.2f}{_MARKS[row.mark(task)]}"
        cells[f"{backbone}_gain"] = _gain(None if row == base else row.cells[task] - base.cells[task])
    return cells


def _gain(points: float | None) -> str | None:
    return None if points is None else f"{points:+.2f}"
