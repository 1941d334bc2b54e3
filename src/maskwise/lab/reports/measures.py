"""What was measured, arm by arm: scores beside the constant classifier's, collapsed runs, and costs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from maskwise.lab.reports.hypotheses import collapsed_runs
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.stats.paired import paired_t
from maskwise.lab.study.study_file import HELD_OUT, HELD_OUT_METRICS, Study

CONSTANT = "constant classifier"
SCORE_COLUMNS = (
    Column("arm"), Column("task"), Column("metric"), Column("backbone"), Column("mean", kind="number"),
    Column("low", "95% from", "number"), Column("high", "to", "number"), Column("sd", kind="number"),
    Column("seeds", kind="count"), Column("collapsed", "collapsed runs", "count"),
)  # fmt: skip
COST_COLUMNS = (
    Column("arm"), Column("backbone"), Column("adapted_to", "on the text of"), Column("steps", kind="count"),
    Column("tokens", kind="count"), Column("flops", kind="flops"), Column("flops_ratio", "flops, of baseline", "times"),
    Column("seconds", "time", "seconds"), Column("seconds_ratio", "time, of baseline", "times"),
    Column("peak_memory", "peak memory", "bytes"), Column("tuning_seconds", "tuning, all tasks", "seconds"),
    Column("runs", kind="count"),
)  # fmt: skip
VALUE_COLUMNS = (
    Column("arm"), Column("backbone"), Column("task"), Column("metric"), Column("seed", kind="count"),
    Column("tuning_seed", "tuning seed", "count"), Column("value", kind="exact"),
    Column("one_class", "one class"), Column("settings_hash", "settings"),
)  # fmt: skip
COLLAPSED_COLUMNS = (
    Column("arm"), Column("backbone"), Column("task"), Column("seed", kind="count"),
    Column("tuning_seed", "tuning seed", "count"),
)  # fmt: skip

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Scores:
    """One arm's values of a metric by pretraining seed, tuning seeds averaged; `constant` needs no model.

    `task` is "held_out" for the held-out evaluation; where arms adapt to a task's text it is "evaluation on" that
    task's.
    """

    arm: str
    backbone: str
    task: str
    metric: str
    by_seed: Mapping[int, float]
    constant: float | None
    num_collapsed: int

    def interval(self, alpha: float) -> tuple[float, float, float, float]:
        """Returns mean, sd, and the mean's interval; all but the mean are nan for one seed."""
        values = np.array(list(self.by_seed.values()))
        if len(values) < 2:
            return float(values.mean()), math.nan, math.nan, math.nan
        test = paired_t(values, alpha)
        return float(test.mean), float(test.sd), float(test.low), float(test.high)


def scores_of(rows: Rows, study: Study) -> list[Scores]:
    """Returns the scores by task, backbone, metric and arm: tasks and arms in the study's order, held-out loss last."""
    found: dict[tuple[str, str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[task_label(row), row["backbone"], row["metric"], row["arm"]].append(row)
    tasks, arms = [*study.tuned_tasks], [arm.name for arm in study.arms]
    backbones = [backbone.name for backbone in study.backbones]

    def place(key: tuple[str, str, str, str]) -> tuple[int, str, int, int]:
        task, backbone, _, arm = key
        return (tasks.index(task) if task in tasks else len(tasks), task, backbones.index(backbone), arms.index(arm))

    metrics = {(task, backbone, metric): None for task, backbone, metric, _ in found}
    ordered = sorted(found, key=lambda key: (*place(key)[:3], list(metrics).index(key[:3]), place(key)[3]))
    return [_scores(key, found[key]) for key in ordered]


def task_label(row: Mapping[str, Any]) -> str:
    """Returns a row's task; an evaluation on a task's own text is another for each."""
    return f"{HELD_OUT} on {row['adapted_to']}" if row["task"] == HELD_OUT and row["adapted_to"] else row["task"]


def is_main(scores: Scores, study: Study) -> bool:
    """Returns whether this is the metric that the study's hypotheses on the task are about."""
    return scores.metric == study.metric(HELD_OUT if scores.task.startswith(HELD_OUT) else scores.task)


def score_table(scores: Sequence[Scores], study: Study) -> Table:
    """Returns mean, interval and deviation of every arm, and what reading nothing scores."""
    note = (
        "Means over pretraining seeds with their t interval. These intervals are not paired: two arms whose intervals "
        "overlap may still differ, and the comparisons above say whether they do. The constant classifier gives one "
        "answer to everything, the one that scores best by the metric."
    )
    return Table("scores", "Scores", SCORE_COLUMNS, tuple(_score_rows(scores, study.statistics.alpha)), note)


def cost_table(rows: Rows, study: Study, against: str) -> Table:
    """Returns what one run of each arm cost in the mean, and its ratio to the baseline's."""
    pretraining: dict[tuple[str, str, str | None], list[Mapping[str, Any]]] = defaultdict(list)
    tuning: dict[tuple[str, str, str | None], dict[tuple[int, str, int], float]] = defaultdict(dict)
    for row in rows:
        key = (row["arm"], row["backbone"], row["adapted_to"])
        if row["task"] == HELD_OUT and row["metric"] == HELD_OUT_METRICS[0]:
            pretraining[key].append(row)
        elif row["task"] != HELD_OUT and row["seconds"] is not None:
            tuning[key][row["seed"], row["task"], row["tuning_seed"]] = row["seconds"]
    table = {key: _cost(runs, tuning[key]) for key, runs in pretraining.items()}
    for (_, backbone, task), cost in table.items():
        base = table.get((against, backbone, task), {})
        for name in ("flops", "seconds"):
            cost[f"{name}_ratio"] = cost[name] / base[name] if base.get(name) else None
    costs = (
        {"arm": arm, "backbone": backbone, "adapted_to": task, **cost} for (arm, backbone, task), cost in table.items()
    )
    note = (
        "The mean of one pretraining run; tuning is the sum over tasks and tuning seeds. Flops are counted, not "
        "measured: forward and backward passes, scoring and teacher. Times are of the machine the runs shared."
    )
    return Table("cost", "Cost of a run", COST_COLUMNS, tuple(costs), note)


def collapsed_table(rows: Rows) -> Table:
    """Returns the tuned models that give one answer to every held-out example, by name."""
    note = "These models give one answer to every held-out example. Their scores count like all others."
    return Table("collapsed", "Collapsed runs", COLLAPSED_COLUMNS, tuple(collapsed_runs(rows)), note)


def value_table(rows: Rows) -> Table:
    """Returns every single value in full precision, with the hash of the settings it comes from."""
    named = tuple({**row, "task": task_label(row)} for row in rows)
    return Table("values", "Every value", VALUE_COLUMNS, named)


def _scores(key: tuple[str, str, str, str], rows: list[Mapping[str, Any]]) -> Scores:
    task, backbone, metric, arm = key
    by_seed: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        by_seed[row["seed"]].append(row["value"])
    means = {seed: fmean(values) for seed, values in sorted(by_seed.items())}
    return Scores(arm, backbone, task, metric, means, rows[0]["constant"], sum(bool(row["one_class"]) for row in rows))


def _score_rows(scores: Sequence[Scores], alpha: float) -> Iterator[dict[str, Any]]:
    for i, one in enumerate(scores):
        names = {"task": one.task, "backbone": one.backbone, "metric": one.metric}
        mean, sd, low, high = one.interval(alpha)
        figures = {"mean": mean, "sd": sd, "low": low, "high": high, "seeds": len(one.by_seed)}
        yield names | {"arm": one.arm, **figures, "collapsed": one.num_collapsed}
        after = scores[i + 1] if i + 1 < len(scores) else None
        is_last = after is None or (after.task, after.backbone, after.metric) != tuple(names.values())
        if is_last and one.constant is not None:
            yield names | {"arm": CONSTANT, "mean": one.constant}


def _cost(runs: list[Mapping[str, Any]], tuning: Mapping[tuple[int, str, int], float]) -> dict[str, Any]:
    names = ("steps", "tokens", "flops", "seconds", "peak_memory")
    values = {name: [run[name] for run in runs if run[name] is not None] for name in names}
    num_tuned = len({seed for seed, *_ in tuning})
    return {name: fmean(found) if found else None for name, found in values.items()} | {
        "tuning_seconds": sum(tuning.values()) / num_tuned if num_tuned else None,
        "runs": len(runs),
    }
