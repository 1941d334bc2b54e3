"""What was measured, arm by arm: scores next to what needs no pretrained model, collapsed runs, and costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

from maskwise.lab.reports.scores import BASELINES, Scores, collapsed_runs, task_label
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.study.study_file import HELD_OUT, HELD_OUT_METRICS, Study

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


def score_table(scores: Sequence[Scores], study: Study) -> Table:
    """Returns mean, interval and deviation of every arm, and what reading nothing scores."""
    note = (
        "Means over pretraining seeds with their t interval. These intervals are not paired: two arms whose intervals "
        "overlap may still differ, and the comparisons above say whether they do. Not pretrained: the weights that "
        "each seed starts from, tuned like its arms; as given: the checkpoint that the arms continue. The constant "
        "classifier gives one answer to everything, the one that scores best by the metric; the word list gives each "
        "word its commonest tag; the unigram floor prefers frequent words."
    )
    return Table("scores", "Scores", SCORE_COLUMNS, tuple(_score_rows(scores, study)), note)


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


def _score_rows(scores: Sequence[Scores], study: Study) -> Iterator[dict[str, Any]]:
    for _, group in groupby(scores, key=lambda one: (one.task, one.backbone, one.metric)):
        arms = list(group)
        names = {"task": arms[0].task, "backbone": arms[0].backbone, "metric": arms[0].metric}
        for one in arms:
            mean, sd, low, high = one.interval(study.statistics.alpha)
            figures = {"mean": mean, "sd": sd, "low": low, "high": high, "seeds": len(one.by_seed)}
            yield names | {"arm": one.arm, **figures, "collapsed": one.num_collapsed}
        baselines = {name: value for one in arms for name, value in one.baselines.items()}
        for name, label in BASELINES.items():
            if name in baselines:
                yield names | {"arm": label, "mean": baselines[name]}


def _cost(runs: list[Mapping[str, Any]], tuning: Mapping[tuple[int, str, int], float]) -> dict[str, Any]:
    names = ("steps", "tokens", "flops", "seconds", "peak_memory")
    values = {name: [run[name] for run in runs if run[name] is not None] for name in names}
    num_tuned = len({seed for seed, *_ in tuning})
    return {name: fmean(found) if found else None for name, found in values.items()} | {
        "tuning_seconds": sum(tuning.values()) / num_tuned if num_tuned else None,
        "runs": len(runs),
    }
