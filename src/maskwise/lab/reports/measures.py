"""What was measured, arm by arm: scores next to what needs no pretrained model, collapsed runs, and costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

import pandas as pd

from maskwise.lab.records.record import HELD_OUT
from maskwise.lab.reports.scores import BASELINES, Scores, collapsed_runs, task_label
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.study.results import plain_rows
from maskwise.lab.study.study_file import HELD_OUT_METRICS, Study

RUN = ["arm", "backbone", "adapted_to"]
SCORE_COLUMNS = (
    Column("arm"), Column("task"), Column("metric"), Column("backbone"), Column("mean", kind="number"),
    Column("low", "95% from", "number"), Column("high", "to", "number"), Column("sd", kind="number"),
    Column("seeds", kind="count"), Column("collapsed", "collapsed runs", "count"),
)  # fmt: skip
RUN_COST_COLUMNS = (
    Column("arm"), Column("backbone"), Column("adapted_to", "on the text of"), Column("steps", kind="count"),
    Column("tokens", kind="count"), Column("flops", kind="flops"), Column("flops_ratio", "flops, of baseline", "times"),
    Column("training_seconds", "training time", "seconds"),
    Column("seconds_ratio", "training time, of baseline", "times"), Column("seconds", "time, all of it", "seconds"),
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


def cost_table(results: pd.DataFrame, study: Study, against: str) -> Table:
    """Returns what one run of each arm cost in the mean, and its ratio to the baseline's."""
    is_held_out = results["task"].eq(HELD_OUT) & results["training_seconds"].notna()
    runs: Any = results[is_held_out & results["metric"].eq(HELD_OUT_METRICS[0])]
    tuned: Any = results[results["tuning_seed"].notna() & results["training_seconds"].notna()]
    tuned = tuned.drop_duplicates([*RUN, "seed", "task", "tuning_seed"])
    names = ["steps", "tokens", "flops", "training_seconds", "seconds", "peak_memory"]
    table: dict[tuple[Any, ...], dict[str, Any]] = {}
    for place, group in runs.groupby(RUN, sort=False, dropna=False):
        own = tuned[_same(tuned, place)]
        num_seeds = own["seed"].nunique()
        table[_plain_place(place)] = {
            **{name: _mean(group[name]) for name in names},
            "tuning_seconds": float(own["training_seconds"].sum()) / num_seeds if num_seeds else None,
            "runs": len(group),
        }
    for (_, *where), cost in table.items():
        base = table.get((against, *where), {})
        for ratio, name in (("flops_ratio", "flops"), ("seconds_ratio", "training_seconds")):
            cost[ratio] = cost[name] / base[name] if base.get(name) and cost[name] is not None else None
    rows = tuple({**dict(zip(RUN, place, strict=True)), **cost} for place, cost in table.items())
    note = (
        "The mean of one pretraining run; tuning is the sum over tasks and tuning seeds. Flops are counted, not "
        "measured: forward and backward passes, scoring and teacher. Training time is that of the steps, on the "
        "machine that the runs shared; all of it has every attempt from its start to its end."
    )
    return Table("cost", "Cost of a run", RUN_COST_COLUMNS, rows, note)


def collapsed_table(results: pd.DataFrame) -> Table:
    """Returns the tuned models that give one answer to every held-out example, by name."""
    note = "These models give one answer to every held-out example. Their scores count like all others."
    return Table("collapsed", "Collapsed runs", COLLAPSED_COLUMNS, tuple(collapsed_runs(results)), note)


def value_table(results: pd.DataFrame) -> Table:
    """Returns every single value in full precision, with the hash of the settings it comes from."""
    named = tuple({**row, "task": task_label(row)} for row in plain_rows(results))
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


def _same(frame: pd.DataFrame, place: Any) -> pd.Series:
    """Returns which rows are of a run's place; an empty part is equal to an empty one."""
    parts = (frame[name].eq(part) | (frame[name].isna() & pd.isna(part)) for name, part in zip(RUN, place, strict=True))
    found = pd.Series(True, index=frame.index)
    for part in parts:
        found &= part
    return found


def _plain_place(place: Any) -> tuple[Any, ...]:
    return tuple(None if pd.isna(part) else part for part in place)


def _mean(values: Any) -> float | None:
    found = values.dropna()
    return fmean(map(float, found)) if len(found) else None
