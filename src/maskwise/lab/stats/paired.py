"""What paired seeds say of a difference, and what they do not.

A difference d_s = A_s - B_s is taken at one pretraining seed s, which gives both arms the same initial weights, order
of the data and noise; tuning seeds are averaged inside. Its sign is turned where less is better, so that more is better
in all that follows.

Shapes: S pretraining seeds, N studies tested at once, M hypotheses of a family.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

Verdict = Literal["better", "worse", "equivalent", "inconclusive"]
ALPHA = 0.05
ROUNDING = 1e-12  # differences below this are what is left of adding the same numbers in another order


class Paired(NamedTuple):
    """The paired t test of differences: an array [N] each, or a number where there is one study.

    `low` and `high` bound the mean's interval at level 1 - alpha; `dz` is mean / sd, the effect size; `p` is two-sided.
    """

    mean: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    dz: np.ndarray


def paired_t(differences_NS: np.ndarray, alpha: float = ALPHA) -> Paired:
    """Returns the paired t test along the last axis, which needs at least two seeds.

    Where all differences are alike, sd is 0: the limit is taken, p = 1 if they are 0 and p = 0 if not.

    >>> test = paired_t(np.array([0.01, 0.03, 0.02]))
    >>> round(float(test.mean), 3), round(float(test.p), 3)
    (0.02, 0.074)
    """
    clean_NS = _clean(differences_NS)
    num_seeds = clean_NS.shape[-1]
    mean, sd = clean_NS.mean(-1), clean_NS.std(-1, ddof=1)
    sd = np.where(sd > ROUNDING, sd, 0.0)
    error = sd / np.sqrt(num_seeds)
    half = stats.t.ppf(1 - alpha / 2, num_seeds - 1) * error
    p = 2 * stats.t.sf(np.abs(_ratio(mean, error)), num_seeds - 1)
    return Paired(mean, sd, mean - half, mean + half, p, _ratio(mean, sd))


def sign_flip_p(differences_S: np.ndarray) -> float:
    """Returns the exact two-sided sign-flip p: the share of all 2^S signings whose sum is as far from 0 as the sum is.

    The sums of both halves of the seeds are paired by bisection, so 30 seeds cost 2^15 and not 2^30.

    >>> sign_flip_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    0.0625
    """
    clean_S = np.abs(_clean(differences_S))
    bound = abs(_clean(differences_S).sum()) - 1e-9 * clean_S.sum()
    if bound <= 0:
        return 1.0
    some, others = (_signed_sums(half) for half in np.array_split(clean_S, 2))
    others.sort()
    reaching = len(others) - np.searchsorted(others, bound - some)
    return float(min(1.0, 2 * reaching.sum() / 2 ** len(clean_S)))


def sign_flip_floor(num_seeds: int) -> float:
    """Returns the smallest p that any exact two-sided test of signs or ranks can reach: 2 / 2^S."""
    return 2.0 ** (1 - num_seeds)


def holm(p_NM: np.ndarray) -> np.ndarray:
    """Returns Holm's adjusted p values along the last axis: compared with alpha, they bound the family's error rate.

    p_(i) becomes the largest of min(1, (M - j + 1) p_(j)) over j <= i (Holm 1979).

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p_NM = np.asarray(p_NM, dtype=float)
    order = np.argsort(p_NM, axis=-1)
    weights_M = np.arange(p_NM.shape[-1], 0, -1)
    stepped = np.maximum.accumulate(np.take_along_axis(p_NM, order, -1) * weights_M, axis=-1)
    adjusted = np.empty_like(p_NM)
    np.put_along_axis(adjusted, order, np.minimum(stepped, 1.0), -1)
    return adjusted


def equivalence_p(differences_NS: np.ndarray, margin: float) -> np.ndarray:
    """Returns the p of two one-sided t tests (Schuirmann 1987): small where |difference| < margin is shown."""
    test = paired_t(differences_NS)
    num_seeds = np.shape(differences_NS)[-1]
    error = test.sd / np.sqrt(num_seeds)
    below = stats.t.sf(_ratio(margin - test.mean, error), num_seeds - 1)
    above = stats.t.sf(_ratio(test.mean + margin, error), num_seeds - 1)
    return np.maximum(below, above)


def verdicts(mean: ArrayLike, p_holm: ArrayLike, p_equivalence: ArrayLike, alpha: float = ALPHA) -> np.ndarray:
    """Returns the verdict of each difference, as an array of `Verdict`.

    Better or worse where the Holm-adjusted paired t says so; else equivalent where the margin's test says so; else
    inconclusive.

    >>> verdicts(np.array([0.02, 0.0, 0.01]), np.array([0.01, 0.9, 0.2]), np.array([0.5, 0.01, 0.3])).tolist()
    ['better', 'equivalent', 'inconclusive']
    """
    unequal = np.where(np.asarray(mean) > 0, "better", "worse")
    rest = np.where(np.asarray(p_equivalence) <= alpha, "equivalent", "inconclusive")
    return np.where(np.asarray(p_holm) <= alpha, unequal, rest)


def _clean(differences: np.ndarray) -> np.ndarray:
    differences = np.asarray(differences, dtype=float)
    return np.where(np.abs(differences) > ROUNDING, differences, 0.0)


def _ratio(value: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The quotient, with its limits where the spread is 0: 0 / 0 is 0."""
    value, spread = np.asarray(value, dtype=float), np.asarray(spread, dtype=float)
    limit = np.where(value == 0, 0.0, np.copysign(np.inf, value))
    return np.where(spread > 0, value / np.where(spread > 0, spread, 1.0), limit)


def _signed_sums(sizes: np.ndarray) -> np.ndarray:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return sums
