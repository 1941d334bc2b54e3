"""The metrics of classification and regression, by name, all as shares of 1: scikit-learn's and scipy's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics as sk

from maskwise.lab.tasks.table import POOLED, Task

TAG_ENDINGS = ("", "_test", POOLED)  # of the metrics of validation and test set, and of both together
TaskMetric = Callable[[np.ndarray, np.ndarray], float]


def _correlation(kind: Callable[..., Any]) -> TaskMetric:
    """A constant correlates with nothing: 0, where the libraries say not a number, or warn."""
    return lambda labels_N, predictions_N: (
        float(kind(labels_N, predictions_N)) if np.ptp(labels_N) and np.ptp(predictions_N) else 0.0
    )


NO_WARNING: dict[str, Any] = {"zero_division": 0}  # a class never predicted has F1 0, without being told
TASK_METRICS: dict[str, TaskMetric] = {
    "accuracy": lambda labels, predictions: float(sk.accuracy_score(labels, predictions)),
    "f1": lambda labels, predictions: float(sk.f1_score(labels, predictions, **NO_WARNING)),
    "macro_f1": lambda labels, predictions: float(sk.f1_score(labels, predictions, average="macro", **NO_WARNING)),
    "matthews_correlation": _correlation(sk.matthews_corrcoef),
    "pearson": _correlation(lambda *rows: stats.pearsonr(*rows)[0]),
    "spearman": _correlation(lambda *rows: stats.spearmanr(*rows)[0]),
}


def metric_names(task: Task) -> tuple[str, ...]:
    """Returns the task's official metrics, then the paper's if it is another; of a tagging task for each held-out set.

    >>> from maskwise.lab.tasks.table import COLA
    >>> metric_names(COLA)
    ('matthews_correlation', 'accuracy')
    """
    names: list[str] = list(dict.fromkeys((*task.official, *([task.paper] if task.paper else []))))
    endings = TAG_ENDINGS if task.kind == "tag" else ("",)
    return tuple(name + ending for name in names for ending in endings)


def score_split(task: Task, split: str, labels: Sequence[float], predictions: Sequence[float]) -> dict[str, float]:
    """Returns the metrics of one held-out split; with more than one, their names end with what tells them apart.

    >>> from maskwise.lab.tasks.table import MNLI
    >>> score_split(MNLI, "validation_matched", [0, 1, 2, 2], [0, 1, 1, 1])
    {'accuracy_matched': 0.5}
    """
    suffix = split.removeprefix("validation") if len(task.held_out) > 1 else ""
    names = dict.fromkeys(name.removesuffix(suffix) for name in metric_names(task) if name.endswith(suffix))
    labels_N, predictions_N = np.asarray(labels), np.asarray(predictions)
    return {name + suffix: TASK_METRICS[name](labels_N, predictions_N) for name in names}


def selection_score(task: Task, labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Returns the mean of the official metrics on one set of examples: what decides which epoch is kept."""
    names = dict.fromkeys(name.removesuffix("_matched").removesuffix("_mismatched") for name in task.official)
    labels_N, predictions_N = np.asarray(labels), np.asarray(predictions)
    return float(np.mean([TASK_METRICS[name](labels_N, predictions_N) for name in names]))
