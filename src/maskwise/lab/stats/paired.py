"""Tests of paired differences, each vectorised over many studies at once.

A difference d_s = A_s - B_s is taken at one pretraining seed s, which gives both arms the same initial weights, order
of the data and noise; tuning seeds are averaged inside. Its sign is turned if less is better, so that more is better
in all that follows. The pretraining seed is the unit of replication.

Shapes: S pretraining seeds, N studies tested at once, M hypotheses of a family.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from maskwise.errors import InputError

ALPHA = 0.05
_ROUNDING = 1e-12  # differences below this are what is left of adding the same numbers in another order

Alternative = Literal["two-sided", "less", "greater"]


class Paired(NamedTuple):
    """The paired t test of differences: an array [N] each, or a number for one study.

    `low` and `high` bound the mean's interval at level 1 - alpha; `dz` is mean / sd, the effect size; `p` is two-sided.
    """

    mean: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    dz: np.ndarray


def paired_t(differences_NS: np.ndarray, alpha: float = ALPHA) -> Paired:
    """Returns the paired t test along the last axis, by scipy, with the limit taken if all differences are alike.

    Args:
        differences_NS: Differences by study and seed [..., S], at least two seeds.
        alpha: One minus the interval's level.

    Returns:
        Mean, sd, interval, two-sided p and effect size. If sd is 0, p = 1 for a mean of 0 and p = 0 for any other.

    >>> test = paired_t(np.array([0.01, 0.03, 0.02]))
    >>> round(float(test.mean), 3), round(float(test.p), 3)
    (0.02, 0.074)
    """
    clean_NS = drop_rounding(differences_NS)
    mean, sd = _mean_and_sd(clean_NS)
    test = _scipys_t(clean_NS, sd, "two-sided")
    interval = test.confidence_interval(1 - alpha)
    low, high = (np.where(sd > 0, edge, mean) for edge in interval)
    p = np.where(sd > 0, test.pvalue, np.where(mean == 0, 1.0, 0.0))
    return Paired(mean, sd, low, high, p, _ratio(mean, sd))


def one_sided_p(values_NS: np.ndarray, alternative: Alternative) -> np.ndarray:
    """Returns the p of the one-sample t test that the mean is "greater" or "less" than 0, along the last axis.

    If all values are alike the limit is taken: 0 for a mean on the alternative's side, else 1.

    >>> float(one_sided_p(np.array([0.1, 0.1, 0.1]), "greater"))
    0.0
    """
    clean_NS = drop_rounding(values_NS)
    mean, sd = _mean_and_sd(clean_NS)
    is_there = mean > 0 if alternative == "greater" else mean < 0
    return np.where(sd > 0, _scipys_t(clean_NS, sd, alternative).pvalue, np.where(is_there, 0.0, 1.0))


def holm(p_NM: ArrayLike) -> np.ndarray:
    """Returns Holm's adjusted p values along the last axis: compared with alpha, they bound the family's error rate.

    p_(i) becomes the largest of min(1, (M - j + 1) p_(j)) over j <= i (Holm 1979).

    Args:
        p_NM: p values, of N families of M comparisons each, or of one family [M].

    Returns:
        The adjusted p values, of the same shape.

    Raises:
        InputError: For something other than numbers.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    try:
        p_NM = np.asarray(p_NM, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"p values are numbers; found {p_NM!r:.80}. Write holm([0.01, 0.04, 0.03]).") from None
    order = np.argsort(p_NM, axis=-1)
    weights_M = np.arange(p_NM.shape[-1], 0, -1)
    stepped = np.maximum.accumulate(np.take_along_axis(p_NM, order, -1) * weights_M, axis=-1)
    adjusted = np.empty_like(p_NM)
    np.put_along_axis(adjusted, order, np.minimum(stepped, 1.0), -1)
    return adjusted


def equivalence_p(differences_NS: np.ndarray, margin: ArrayLike) -> np.ndarray:
    """Returns the p of two one-sided t tests (Schuirmann 1987): small if |difference| < margin is shown.

    A margin that is m times the gain of pretraining is not known, only measured, seed by seed. It is tested as a
    contrast: with `margin = m * gains_NS` the differences are equivalent if d + m g is above 0 and d - m g below 0,
    each by a t test over seeds. The mean gain as a number instead would be an error without a level.

    Args:
        differences_NS: Differences by study and seed [..., S].
        margin: The largest difference that would not matter: a number, or one per study and seed [..., S].

    Returns:
        The larger of both p values [...]; at most alpha exactly if the 1 - 2 alpha interval lies inside the margin.

    >>> differences = np.array([0.001, -0.002, 0.0, 0.002])
    >>> round(float(equivalence_p(differences, 0.01)), 4), round(float(equivalence_p(differences, 0.001)), 2)
    (0.0007, 0.22)
    """
    differences_NS = np.asarray(differences_NS, dtype=float)
    above = one_sided_p(differences_NS + margin, "greater")
    below = one_sided_p(differences_NS - margin, "less")
    return np.maximum(above, below)


def welch_interval(some: ArrayLike, others: ArrayLike, alpha: float = ALPHA) -> tuple[float, float]:
    """Returns Welch's interval of mean(some) - mean(others); nan if either has fewer than two values.

    >>> [round(edge, 3) for edge in welch_interval([3.0, 4.0, 5.0], [1.0, 2.0, 6.0])]
    [-4.741, 6.741]
    """
    first, second = (np.asarray(values, dtype=float) for values in (some, others))
    if min(len(first), len(second)) < 2:
        return float("nan"), float("nan")
    # Measured from a value of theirs: scipy warns of a sample without a spread, unless it is at 0.
    origin = first[0] if np.ptp(second) else second[0]
    first, second = drop_rounding(first - origin), drop_rounding(second - origin)
    if not np.ptp(first) and not np.ptp(second):
        return float(first[0] - second[0]), float(first[0] - second[0])
    interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(1 - alpha)
    return float(interval.low), float(interval.high)


def drop_rounding(values: ArrayLike) -> np.ndarray:
    """Returns the values as floats, those that are left of adding the same numbers in another order made 0."""
    values = np.asarray(values, dtype=float)
    return np.where(np.abs(values) > _ROUNDING, values, 0.0)


def _mean_and_sd(values_NS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, sd = values_NS.mean(-1), values_NS.std(-1, ddof=1)
    return mean, np.where(sd > _ROUNDING * np.maximum(1.0, np.abs(mean)), sd, 0.0)


def _scipys_t(values_NS: np.ndarray, sd_N: np.ndarray, alternative: Alternative) -> Any:
    """The one-sample t test against 0; rows without a spread, of which scipy would warn, are replaced."""
    spread_NS = np.where((sd_N > 0)[..., None], values_NS, np.arange(values_NS.shape[-1]))
    return stats.ttest_1samp(spread_NS, 0.0, axis=-1, alternative=alternative)


def _ratio(value: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The quotient, with its limits for a spread of 0: 0 / 0 is 0."""
    limit = np.where(value == 0, 0.0, np.copysign(np.inf, value))
    return np.where(spread > 0, value / np.where(spread > 0, spread, 1.0), limit)
