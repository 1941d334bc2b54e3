"""What can be said about a share after so many tokens: intervals over rows, exact limits, and how many are enough.

Shapes: R rows.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.9999
MISS_PROBABILITY = 0.001
STATED_SHARE = 0.05  # a fault in so many of the rows, pairs or batches would have been met


class ShareInterval(NamedTuple):
    """A share with its confidence limits."""

    estimate: float
    low: float
    high: float


def share_by_row(found_R: np.ndarray, total_R: np.ndarray, confidence: float = CONFIDENCE) -> ShareInterval:
    """Returns the share `sum(found) / sum(total)` with a t interval whose standard error is taken over rows.

    Tokens of a row are not independent of each other (a budget ties them together), rows are: the ratio estimator's
    residuals `found - share * total` are summed per row (Cochran, Sampling Techniques, 1977, section 6.4). The
    half-width is at least -log(1 - confidence) / total, the exact limit for a share of 0, so that rows that all agree
    do not give an interval of no width.

    >>> share_by_row(np.array([3, 3, 3]), np.array([10, 10, 10])).estimate
    0.3
    """
    counted_R = total_R > 0
    found_R, total_R = found_R[counted_R], total_R[counted_R]
    num_rows, total = len(total_R), float(total_R.sum())
    if num_rows < 2:
        return ShareInterval(float(found_R.sum()) / total if total else math.nan, -math.inf, math.inf)
    share = float(found_R.sum()) / total
    residuals_R = found_R - share * total_R
    error = math.sqrt(num_rows / (num_rows - 1) * float((residuals_R**2).sum())) / total
    floor = -math.log(1 - confidence) / total
    width = max(t_quantile((1 + confidence) / 2, num_rows - 1) * error, floor)
    return ShareInterval(share, share - width, share + width)


def t_quantile(probability: float, degrees: int) -> float:
    """Returns a quantile of Student's t, by Fisher and Cornish's expansion (1960) in 1 / degrees.

    Below 10 degrees the expansion is too small in the far tails, and the exact values of 1 and 2 degrees hold.

    >>> round(t_quantile(0.99995, 63), 3), round(t_quantile(0.975, 10), 3)
    (4.155, 2.228)
    """
    if degrees == 1:
        return math.tan(math.pi * (probability - 0.5))
    if degrees == 2:
        return (2 * probability - 1) / math.sqrt(2 * probability * (1 - probability))
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees ** (i + 1) for i, term in enumerate(terms))


def enough(stated_rate: float, miss_probability: float = MISS_PROBABILITY) -> int:
    """Returns how many must be seen without a case, so that one in `1 / stated_rate` would have been met.

    >>> enough(1 / 1000), enough(5 / 30522), enough(0.05)
    (6908, 42168, 139)
    """
    return math.ceil(-math.log(miss_probability) / stated_rate)


def upper_limit(found: int, total: int, miss_probability: float = MISS_PROBABILITY) -> float:
    """Returns the exact upper confidence limit of a share (Clopper and Pearson, 1934), one-sided.

    >>> round(upper_limit(0, 139), 3), round(upper_limit(3, 64), 3)
    (0.048, 0.189)
    """
    if found >= total:
        return 1.0
    low, high = found / total, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _binomial_cdf(found, total, middle) > miss_probability else (low, middle)
    return high


def lower_limit(found: int, total: int, miss_probability: float = MISS_PROBABILITY) -> float:
    """Returns the exact lower confidence limit of a share, one-sided.

    >>> round(lower_limit(139, 139), 3), lower_limit(0, 64)
    (0.952, 0.0)
    """
    return 1.0 - upper_limit(total - found, total, miss_probability)


def _binomial_cdf(found: int, total: int, share: float) -> float:
    logs = math.log(share) if share else -math.inf, math.log1p(-share) if share < 1 else -math.inf
    return sum(
        math.exp(_log_choose(total, k) + (k * logs[0] if k else 0.0) + (total - k) * logs[1]) for k in range(found + 1)
    )


def _log_choose(total: int, k: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
