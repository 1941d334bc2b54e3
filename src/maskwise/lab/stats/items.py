"""Held-out items: what a metric counts of each, and an interval that answers for seeds and items together.

The error that comes from the items on hand does not shrink with seeds: 787 mentions leave 1.6 points of F1 open.
Every metric here is a function of counts that are summed over items, so that items can be weighted, drawn again, or
left out one at a time.

Shapes: S pretraining seeds, K tuning seeds, E held-out items, D draws, C classes; X what a metric counts of an item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from maskwise.lab.stats.paired import ALPHA

# A metric of summed counts, whatever axes come before those of one item's counts.
ItemMetric = Callable[[np.ndarray], np.ndarray]


def accuracy(counts_CC: np.ndarray) -> np.ndarray:
    """Returns the share of examples on the diagonal of confusion counts [..., label, prediction]."""
    return np.trace(counts_CC, axis1=-2, axis2=-1) / counts_CC.sum((-2, -1))


def f1(counts_CC: np.ndarray) -> np.ndarray:
    """Returns the F1 of class 1; 0 if it neither occurs nor is predicted."""
    hits = counts_CC[..., 1, 1]
    named = counts_CC[..., 1, :].sum(-1) + counts_CC[..., :, 1].sum(-1)
    return 2 * hits / np.maximum(named, 1)


def macro_f1(counts_CC: np.ndarray) -> np.ndarray:
    """Returns the mean F1 of all classes that occur or are predicted; 0 for one that is never predicted right."""
    hits_C = np.diagonal(counts_CC, axis1=-2, axis2=-1)
    named_C = counts_CC.sum(-1) + counts_CC.sum(-2)
    is_there_C = named_C > 0
    return (2 * hits_C / np.where(is_there_C, named_C, 1)).sum(-1) / is_there_C.sum(-1)


def matthews_correlation(counts_CC: np.ndarray) -> np.ndarray:
    """Returns Matthews' correlation over any number of classes; 0 if a side has one class only."""
    labels_C, answers_C, number = counts_CC.sum(-1), counts_CC.sum(-2), counts_CC.sum((-2, -1))
    covariance = np.trace(counts_CC, axis1=-2, axis2=-1) * number - (labels_C * answers_C).sum(-1)
    spread = (number**2 - (labels_C**2).sum(-1)) * (number**2 - (answers_C**2).sum(-1))
    return np.where(spread > 0, covariance / np.sqrt(np.maximum(spread, 1)), 0.0)


def share_right(counts_2: np.ndarray) -> np.ndarray:
    """Returns the share of words whose tag is right, of counts [..., (right, words)]."""
    return counts_2[..., 0] / counts_2[..., 1]


def entity_f1(counts_3: np.ndarray) -> np.ndarray:
    """Returns the strict F1 of counts [..., (right, predicted, there)]; 0 if nothing is right."""
    return 2 * counts_3[..., 0] / np.maximum(counts_3[..., 1] + counts_3[..., 2], 1)


def total(values_1: np.ndarray) -> np.ndarray:
    """Returns the one value that was summed, of counts [..., 1]; for `macro_average_counts`."""
    return values_1[..., 0]


CLASS_METRICS: dict[str, ItemMetric] = {
    "accuracy": accuracy, "f1": f1, "macro_f1": macro_f1, "matthews_correlation": matthews_correlation,
}  # fmt: skip
TAG_METRICS: dict[str, ItemMetric] = {"accuracy": share_right, "entity_f1": entity_f1}


def class_counts(labels_E: np.ndarray, answers_E: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns each example's confusion counts [E, C, C]: a 1 at its label and answer."""
    cells_E = labels_E * num_classes + answers_E
    hot = cells_E[:, None] == np.arange(num_classes**2)
    return hot.astype(np.int8).reshape(-1, num_classes, num_classes)


def macro_average_counts(values_E: ArrayLike, strata_E: np.ndarray) -> np.ndarray:
    """Returns what each item adds to the mean over strata of their means [E, 1]; `total` is the metric.

    For minimal pairs, `values_E` are 1, 0 and a half for a tie, and the strata are the paradigms.
    """
    _, places_E, sizes = np.unique(strata_E, return_inverse=True, return_counts=True)
    return (np.asarray(values_E, dtype=float) / sizes[places_E] / len(sizes))[:, None]


def weighted_scores(
    weights_DE: np.ndarray, counts_SKEX: Sequence[Sequence[np.ndarray]], metric: ItemMetric
) -> np.ndarray:
    """Returns the metric of weighted items [D, S], tuning seeds averaged."""
    scores_DS = np.empty((len(weights_DE), len(counts_SKEX)))
    for s, counts_KEX in enumerate(counts_SKEX):
        scores_DS[:, s] = np.mean([metric(np.tensordot(weights_DE, counts, 1)) for counts in counts_KEX], axis=0)
    return scores_DS


def pseudo_values(counts_EX: np.ndarray, metric: ItemMetric) -> np.ndarray:
    """Returns the jackknife pseudo-value of each item [E]: E times the score less E - 1 times the score without it.

    Their mean is the score, up to its bias, and their spread is that of the score over items (Tukey 1958). For a mean
    over items they are the items' own values.

    >>> right = np.array([[1, 1], [0, 1], [1, 1]])
    >>> pseudo_values(right, share_right).round(6).tolist()
    [1.0, 0.0, 1.0]
    """
    counts_EX = np.asarray(counts_EX, dtype=float)
    num_items, summed = len(counts_EX), counts_EX.sum(0)
    return num_items * metric(summed) - (num_items - 1) * metric(summed - counts_EX)


class ItemInterval(NamedTuple):
    """A mean difference with its interval over seeds and items, and the two standard errors by themselves."""

    mean: float
    low: float
    high: float
    seed_error: float
    item_error: float


def interval_over_items(
    differences_SE: np.ndarray,
    *,
    strata_E: np.ndarray | None = None,
    mean: float | None = None,
    alpha: float = ALPHA,
) -> ItemInterval:
    """Returns the mean difference with a t interval over seeds and items, both random and crossed.

    SE^2 = s_seed^2 / n + s_item^2 / m - s_both^2 / (n m), with the variances of the seeds' means and of the items'
    means and the residual mean square of both; the last is counted in each of the first two, so once too often. Neither
    seeds nor items take from each other's error, so SE^2 is at least each of the first two by itself. The degrees of
    freedom are n - 1.

    Args:
        differences_SE: The difference at each seed and item [S, E]: pseudo-values, tuning seeds averaged.
        strata_E: The stratum of each item, whose means are averaged; items vary within theirs. None: all are of one.
        mean: The observed mean difference, from which that of pseudo-values differs by a bias. None: the items' own.
        alpha: One minus the level.

    >>> table = np.array([[0.0, 0.1, 0.2], [0.2, 0.1, 0.6]])
    >>> found = interval_over_items(table)
    >>> round(found.mean, 3), round(found.seed_error, 3), round(found.item_error, 3)
    (0.2, 0.1, 0.1)
    """
    num_seeds, num_items = differences_SE.shape
    strata_E = np.zeros(num_items, dtype=int) if strata_E is None else strata_E
    parts_SE = macro_average_counts(np.ones(num_items), strata_E)[:, 0] * differences_SE
    by_seed_S, by_item_E = parts_SE.sum(1), parts_SE.mean(0)
    seed_variance = by_seed_S.var(ddof=1) / num_seeds
    item_variance = _variance_of_sum(by_item_E, strata_E)
    residual_SE = parts_SE - by_item_E
    both_variance = sum(_variance_of_sum(row_E, strata_E) for row_E in residual_SE) / (num_seeds * (num_seeds - 1))
    error = np.sqrt(max(seed_variance + item_variance - both_variance, seed_variance, item_variance))
    half = float(stats.t.ppf(1 - alpha / 2, num_seeds - 1) * error)
    mean = float(by_seed_S.mean()) if mean is None else mean
    return ItemInterval(mean, mean - half, mean + half, float(seed_variance**0.5), float(item_variance**0.5))


def _variance_of_sum(values_E: np.ndarray, strata_E: np.ndarray) -> float:
    """Returns the variance of the sum of items that are drawn within their strata; 0 for strata of one item."""
    groups = (values_E[strata_E == stratum] for stratum in np.unique(strata_E))
    return float(sum(len(values) * values.var(ddof=1) for values in groups if len(values) > 1))
