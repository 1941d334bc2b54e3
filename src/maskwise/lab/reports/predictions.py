"""The held-out items of two arms, read from the predictions that tuned models left: what a metric counts of each.

An item is an example, a sentence of tagged words, a query, or a minimal pair.

Shapes: S pretraining seeds, K tuning seeds, E items; X what a metric counts of an item.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from maskwise.lab.evaluation.zero_shot import is_zero_shot
from maskwise.lab.records.record import RunKey, read_record
from maskwise.lab.stats.bootstrap import Bootstrapped, multi_bootstrap
from maskwise.lab.stats.items import (
    CLASS_METRICS,
    TAG_METRICS,
    ItemInterval,
    ItemMetric,
    class_counts,
    interval_over_items,
    macro_average_counts,
    pseudo_values,
    total,
)
from maskwise.lab.study.layout import Layout
from maskwise.lab.study.study_file import Study
from maskwise.lab.tasks.table import POOLED, Task
from maskwise.lab.tuning.iob import entities
from maskwise.lab.tuning.results import PREDICTIONS

CREDITS = {"accuracy": "credit", "accuracy_per_token": "credit_mean"}  # of minimal pairs: what a pair counts
PARADIGM = "uid"  # what it tests
_Columns = Mapping[str, list[Any]]
_Runs = Sequence[Sequence[_Columns]]  # by pretraining and tuning seed, the columns of a run's predictions


@dataclass(frozen=True)
class PairedItems:
    """Two arms on the same items: by arm and run what is counted of each item, and each item's own value.

    Counts are summed over (weighted) items and given to `metric`; `differences_SE` are the items' own differences,
    tuning seeds averaged. Items are drawn, and vary, within their strata.
    """

    ours_SKEX: Sequence[Sequence[np.ndarray]]
    theirs_SKEX: Sequence[Sequence[np.ndarray]]
    metric: ItemMetric
    differences_SE: np.ndarray
    strata_E: np.ndarray | None = None

    def bootstrap(self, alpha: float) -> Bootstrapped:
        """Returns the mean difference with its percentile interval over seeds and items."""
        return multi_bootstrap(self.ours_SKEX, self.theirs_SKEX, self.metric, strata_E=self.strata_E, alpha=alpha)

    def interval(self, mean: float, alpha: float) -> ItemInterval:
        """Returns the mean difference with its t interval over seeds and items."""
        return interval_over_items(self.differences_SE, strata_E=self.strata_E, mean=mean, alpha=alpha)


def paired_items(
    task: Task, metric: str, ours_SK: Sequence[Sequence[Path]], theirs_SK: Sequence[Sequence[Path]]
) -> PairedItems | None:
    """Returns what the metric counts of each item that both arms predicted; None if it cannot be counted by items.

    Args:
        task: The task, whose kind says what an item is.
        metric: Its name, with the ending of the held-out set that it is of.
        ours_SK: The prediction files by pretraining and tuning seed.
        theirs_SK: Those of the other arm.
    """
    name, splits = held_out_of(task, metric)
    if task.kind == "retrieve":
        return valued_items(ours_SK, theirs_SK, value=name, splits=splits)
    known = {"classify": CLASS_METRICS, "tag": TAG_METRICS}.get(task.kind, {})
    if name not in known:
        return None
    columns = ["label", "prediction"]
    arms = [[[_read(path, columns, splits) for path in of_seed] for of_seed in arm] for arm in (ours_SK, theirs_SK)]
    if not _same_items(arms, "label"):
        return None
    count = _count_classes(arms) if task.kind == "classify" else _COUNT_TAGS[name]
    ours, theirs = ([[count(run["label"], run["prediction"]) for run in of_seed] for of_seed in arm] for arm in arms)
    values = [[[pseudo_values(run, known[name]) for run in of_seed] for of_seed in arm] for arm in (ours, theirs)]
    return PairedItems(ours, theirs, known[name], np.mean(values[0], 1) - np.mean(values[1], 1))


def stored_items(
    study: Study, out: Path, ours: str, theirs: str, backbone: str, task: str, seeds: Collection[int]
) -> PairedItems | None:
    """Returns the items of two arms of a study from its folder; None if the predictions of a run are not there."""
    layout = Layout(out)
    keys = [[RunKey(arm, backbone, seed, task) for seed in seeds] for arm in (ours, theirs)]
    paths = [[_prediction_files(layout, key, study.tuning_seeds_of(task)) for key in of_arm] for of_arm in keys]
    if not all(path.exists() for of_arm in paths for of_seed in of_arm for path in of_seed):
        return None
    if is_zero_shot(task):
        credit = CREDITS.get(study.metric(task))
        return None if credit is None else valued_items(paths[0], paths[1], value=credit, stratum=PARADIGM)
    return paired_items(_recorded_task(paths[0][0][0].parent), study.metric(task), paths[0], paths[1])


def _prediction_files(layout: Layout, key: RunKey, tuning_seeds: Iterable[int]) -> list[Path]:
    """Returns a run's files by tuning seed; a model that is asked about a set without tuning has one."""
    if is_zero_shot(key.task):
        return [layout.folder(key) / PREDICTIONS]
    return [layout.tuned(key, tuning) / PREDICTIONS for tuning in tuning_seeds]


def _recorded_task(folder: Path) -> Task:
    """Returns the task that a tuned model was graded on, as its record has it."""
    settings = read_record(folder).settings
    return Task(settings["task"], settings["task kind"], held_out=tuple(settings["held out"]))


def valued_items(
    ours_SK: Sequence[Sequence[Path]],
    theirs_SK: Sequence[Sequence[Path]],
    *,
    value: str,
    stratum: str | None = None,
    splits: Sequence[str] | None = None,
) -> PairedItems | None:
    """Returns items whose scores are means of a value by item, or means over strata of such means.

    Args:
        ours_SK: The prediction files by pretraining and tuning seed.
        theirs_SK: Those of the other arm.
        value: The column with what an item counts, such as 1, 0, or a half for a tie.
        stratum: The column whose values, such as paradigms, are averaged; items are drawn within theirs.
        splits: The held-out sets that count; None: the file is of one.
    """
    columns = [value, *([stratum] if stratum else [])]
    files = [path for arm in (ours_SK, theirs_SK) for of_seed in arm for path in of_seed]
    if not all(set(columns) <= set(pq.read_schema(path).names) for path in files):
        return None
    arms = [[[_read(path, columns, splits) for path in of_seed] for of_seed in arm] for arm in (ours_SK, theirs_SK)]
    if not _same_items(arms, stratum):
        return None
    first = arms[0][0][0]
    strata_E = np.unique(first[stratum], return_inverse=True)[1] if stratum else np.zeros(len(first[value]), dtype=int)
    ours, theirs = ([[np.array(run[value], dtype=float) for run in of_seed] for of_seed in arm] for arm in arms)
    counts = [[[macro_average_counts(run, strata_E) for run in of_seed] for of_seed in arm] for arm in (ours, theirs)]
    return PairedItems(counts[0], counts[1], total, np.mean(ours, 1) - np.mean(theirs, 1), strata_E)


def held_out_of(task: Task, metric: str) -> tuple[str, tuple[str, ...]]:
    """Returns a metric's name without its ending, and the held-out sets that the ending stands for.

    >>> from maskwise.lab.tasks.table import MNLI, NER
    >>> held_out_of(MNLI, "accuracy_matched"), held_out_of(NER, "entity_f1_pooled")
    (('accuracy', ('validation_matched',)), ('entity_f1', ('validation', 'test')))
    """
    if len(task.held_out) == 1:
        return metric, task.held_out
    if metric.endswith(POOLED):
        return metric.removesuffix(POOLED), task.held_out
    endings = {split: split.removeprefix("validation").removeprefix("_") for split in task.held_out}
    for split, ending in endings.items():
        if ending and metric.endswith(f"_{ending}"):
            return metric.removesuffix(f"_{ending}"), (split,)
    return metric, tuple(split for split, ending in endings.items() if not ending)


def _read(path: Path, columns: Sequence[str], splits: Sequence[str] | None) -> _Columns:
    if splits is None:
        return pq.read_table(path, columns=list(columns)).to_pydict()
    table = pq.read_table(path, columns=["split", *columns]).to_pydict()
    rows = [i for i, split in enumerate(table["split"]) if split in splits]
    return {name: [table[name][i] for i in rows] for name in columns}


def _same_items(arms: Sequence[_Runs], told_by: str | None) -> bool:
    """Whether all runs answered the same questions: as many, and with the same values in the column that tells them."""
    runs = [run for arm in arms for of_seed in arm for run in of_seed]
    first = runs[0]
    sizes = {len(values) for run in runs for values in run.values()}
    return len(sizes) == 1 and sizes != {0} and all(told_by is None or run[told_by] == first[told_by] for run in runs)


def _count_classes(arms: Sequence[_Runs]) -> Any:
    runs = [run for arm in arms for of_seed in arm for run in of_seed]
    num_classes = 1 + max(max(run[column]) for run in runs for column in ("label", "prediction"))
    return lambda labels, answers: class_counts(np.array(labels), np.array(answers), num_classes)


def _count_right(labels: list[list[str]], answers: list[list[str]]) -> np.ndarray:
    pairs = zip(labels, answers, strict=True)
    return np.array([(sum(x == y for x, y in zip(*rows, strict=True)), len(rows[0])) for rows in pairs])


def _count_entities(labels: list[list[str]], answers: list[list[str]]) -> np.ndarray:
    found = ((set(entities(answer)), set(entities(label))) for label, answer in zip(labels, answers, strict=True))
    return np.array([(len(said & there), len(said), len(there)) for said, there in found])


_COUNT_TAGS = {"accuracy": _count_right, "entity_f1": _count_entities}
