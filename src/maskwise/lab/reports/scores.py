"""The scores of every arm by pretraining seed, next to what needs no pretrained model.

Shapes: S pretraining seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from maskwise.lab.stats.paired import paired_t
from maskwise.lab.study.statistics import REFERENCES
from maskwise.lab.study.study_file import HELD_OUT, LESS_IS_BETTER, Study

ResultRows = Sequence[Mapping[str, Any]] | pd.DataFrame
# What needs no pretrained model, by the column of the results that has its score.
BASELINES = {
    "constant": "constant classifier", "word_list": "word list", "bm25": "BM25", "unigram_floor": "unigram floor",
    "chance": "chance",
}  # fmt: skip


@dataclass(frozen=True)
class Scores:
    """One arm's values of a metric by pretraining seed, tuning seeds averaged.

    `task` is "held_out" for the held-out evaluation; if arms adapt to a task's text it is "held_out on" that task's.
    `baselines` need no pretrained model: the best constant answer and, for tags, each word's commonest one. Of the
    runs, `num_collapsed` give one answer to everything; `num_copies` seeds have the same scores to the last digit.
    """

    arm: str
    backbone: str
    task: str
    metric: str
    by_seed: Mapping[int, float]
    baselines: Mapping[str, float]
    num_runs: int = 0
    num_collapsed: int = 0
    num_copies: int = 0

    @property
    def constant(self) -> float | None:
        """What one answer to everything scores, or a coin among options; None if the metric has no such answer."""
        return self.baselines.get("constant", self.baselines.get("chance"))

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(list(self.by_seed.values())))

    def at(self, seeds: Sequence[int]) -> np.ndarray:
        """Returns the scores at these seeds [S]."""
        return np.array([self.by_seed[seed] for seed in seeds], dtype=float)

    def interval(self, alpha: float) -> tuple[float, float, float, float]:
        """Returns mean, sd, and the mean's interval; all but the mean are nan for one seed."""
        if len(self.by_seed) < 2:
            return self.mean, math.nan, math.nan, math.nan
        test = paired_t(self.at(list(self.by_seed)), alpha)
        return float(test.mean), float(test.sd), float(test.low), float(test.high)

    def more_is_better(self) -> Scores:
        """Returns the same with all signs turned if less is better."""
        if self.metric not in LESS_IS_BETTER:
            return self
        turned = ({key: -value for key, value in found.items()} for found in (self.by_seed, self.baselines))
        return replace(self, by_seed=next(turned), baselines=next(turned))


def scores_of(rows: ResultRows, study: Study) -> list[Scores]:
    """Returns the scores by task, backbone, metric and arm: tasks and arms in the study's order, held-out ones last.

    What is not an arm of the study, such as the models without pretraining, follows the arms.
    """
    frame = as_frame(rows)
    labels = [task_label(row) for row in frame[["task", "adapted_to"]].to_dict("records")]
    found = scores_by(frame.assign(task=labels))
    tasks, arms = [*study.tuned_tasks], shown_arms(study, found)
    backbones = [backbone.name for backbone in study.backbones]
    metrics = list(dict.fromkeys((one.task, one.backbone, one.metric) for one in found))

    def place(one: Scores) -> tuple[Any, ...]:
        number = tasks.index(one.task) if one.task in tasks else len(tasks)
        metric = metrics.index((one.task, one.backbone, one.metric))
        return (number, one.task, backbones.index(one.backbone), metric, arms.index(one.arm))

    return sorted(found, key=place)


def as_frame(rows: ResultRows) -> Any:
    """Returns the rows as a data frame. Its type is Any: what pandas says of a frame's columns fits no use of them."""
    return pd.DataFrame(rows)


def scores_by(frame: Any) -> list[Scores]:
    """Returns the scores by the frame's columns arm, backbone, task and metric, in the order of first appearance."""
    copies = num_copies(frame)
    found = []
    for (arm, backbone, task, metric), runs in frame.groupby(["arm", "backbone", "task", "metric"], sort=False):
        means = runs.groupby("seed")["value"].mean()
        baselines = {name: runs[name].astype(float).mean() for name in BASELINES if name in runs}
        found.append(
            Scores(
                arm, backbone, task, metric,
                {int(seed): float(value) for seed, value in means.items()},
                {name: float(value) for name, value in baselines.items() if not math.isnan(value)},
                len(runs), int(_is_collapsed(runs).sum()), copies.get((arm, backbone, task), 0),
            )
        )  # fmt: skip
    return found


def num_copies(rows: ResultRows) -> dict[tuple[str, str, str], int]:
    """Returns how many seeds of (arm, backbone, task) have the same scores to the last digit, if more than one has.

    Collapsed runs are left out: they score alike, but each went there by itself.
    """
    frame = as_frame(rows)
    found = {}
    for place, runs in frame[~_is_collapsed(frame)].groupby(["arm", "backbone", "task"], sort=False):
        scores = [tuple(sorted(zip(one["metric"], one["value"], strict=True))) for _, one in runs.groupby("seed")]
        most = max(scores.count(score) for score in scores)
        if most > 1:
            found[place] = most
    return found


def collapsed_runs(rows: ResultRows) -> list[dict[str, Any]]:
    """Returns one row for each tuned model that gives one answer to every held-out item."""
    frame = as_frame(rows)
    one_each = frame[_is_collapsed(frame)].drop_duplicates(["arm", "backbone", "seed", "task", "tuning_seed"])
    return one_each.to_dict("records")


def _is_collapsed(frame: Any) -> Any:
    """Which rows are of runs that gave one answer to everything; evaluations without tuning cannot tell."""
    return frame["one_class"].eq(True).fillna(False).astype(bool)


def task_label(row: Mapping[str, Any]) -> str:
    """Returns a row's task; a held-out evaluation on a task's own text is another for each."""
    is_adapted = row["task"] == HELD_OUT and isinstance(row["adapted_to"], str)
    return f"{HELD_OUT} on {row['adapted_to']}" if is_adapted else row["task"]


def is_main(scores: Scores, study: Study) -> bool:
    """Returns whether this is the metric that the study's hypotheses on the task are about."""
    return scores.metric == study.metric(HELD_OUT if scores.task.startswith(HELD_OUT) else scores.task)


def is_adaptation(study: Study, backbone: str) -> bool:
    """Returns whether a backbone is a checkpoint that the study continues: then it is itself the reference."""
    return next(one for one in study.backbones if one.name == backbone).checkpoint is not None


def shown_arms(study: Study, scores: Sequence[Scores]) -> list[str]:
    """Returns the study's arms, then the references and what else has scores."""
    arms = [arm.name for arm in study.arms]
    found = list(dict.fromkeys(one.arm for one in scores if one.arm not in arms))
    return [*arms, *sorted(found, key=lambda name: name not in REFERENCES)]
