"""A difference as a share of what pretraining gains, with an interval that stays honest when the gain is weak.

With d_s the difference and g_s the gain of the reference arm over the same model without pretraining, both at
pretraining seed s, the share is E[d] / E[g]. Its interval is Fieller's (1954): every share rho for which the t test of
d_s - rho g_s over seeds does not reject 0. It has its level exactly for normal d and g, whatever their correlation and
however weak the gain, since no ratio is ever taken of a noisy denominator. That costs: if the gain itself is not
distinguishable from 0, no share can be excluded by its size, and the set is unbounded.

Shapes: S pretraining seeds, N studies at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from maskwise.lab.stats.paired import ALPHA, drop_rounding


class ShareOfGain(NamedTuple):
    """Shares of pretraining's gain: the mean gain, the ratio of the means and Fieller's set, an array [N] each.

    If `is_bounded`, the set is the interval from `low` to `high`. If not, and `low` > `high`, it is everything
    outside the gap between them: the shares from `low` upwards, and those up to `high`. Without a gap it is the whole
    line, from minus infinity to infinity.
    """

    gain: np.ndarray
    ratio: np.ndarray
    low: np.ndarray
    high: np.ndarray
    is_bounded: np.ndarray

    def contains(self, share: ArrayLike) -> np.ndarray:
        """Returns whether Fieller's set contains a share."""
        from_low, to_high = np.asarray(share) >= self.low, np.asarray(share) <= self.high
        return np.where(self.low <= self.high, from_low & to_high, from_low | to_high)


def share_of_gain(differences_NS: ArrayLike, gains_NS: ArrayLike, alpha: float = ALPHA) -> ShareOfGain:
    """Returns mean(d) / mean(g) with Fieller's set at level 1 - alpha: all rho with |t(d - rho g)| <= t(1 - alpha/2).

    Args:
        differences_NS: Differences by study and seed [..., S].
        gains_NS: Gains of the reference arm over not pretrained, by study and seed [..., S].
        alpha: One minus the level of the set.

    Returns:
        The ratio and the set, which is bounded exactly if the gain differs from 0 by the two-sided t test at alpha.

    >>> share = share_of_gain([0.01, 0.03, 0.02, 0.02], [0.2, 0.25, 0.22, 0.21])
    >>> bool(share.is_bounded), [round(float(edge), 3) for edge in (share.ratio, share.low, share.high)]
    (True, [0.091, 0.037, 0.131])
    """
    d_NS, g_NS = np.broadcast_arrays(drop_rounding(differences_NS), drop_rounding(gains_NS))
    num_seeds = d_NS.shape[-1]
    d, g = d_NS.mean(-1), g_NS.mean(-1)
    d_left, g_left = d_NS - d[..., None], g_NS - g[..., None]
    scale = stats.t.ppf(1 - alpha / 2, num_seeds - 1) ** 2 / (num_seeds * (num_seeds - 1))
    # mean(d - rho g)^2 <= t^2 var(d - rho g) / S is square * rho^2 - 2 * linear * rho + constant <= 0.
    square = g**2 - scale * (g_left**2).sum(-1)
    linear = d * g - scale * (d_left * g_left).sum(-1)
    constant = d**2 - scale * (d_left**2).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = d / g
        low, high = _solutions(square, linear, constant)
    return ShareOfGain(g, ratio, low, high, square > 0)


def _solutions(square: np.ndarray, linear: np.ndarray, constant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns `low` and `high` of the set on which the quadratic is at most 0.

    An upward parabola is so between its roots, and has them: it is not above 0 at the ratio of the means. A downward
    one is so outside them, and everywhere if it has none. A straight line takes a gain of exactly 0: everything.
    """
    root = np.sqrt(np.maximum(linear**2 - square * constant, 0.0))
    outer = linear + np.copysign(root, linear)  # the root without cancellation; the other one from their product
    one, other = outer / square, np.where(outer == 0, 0.0, constant / outer)
    left, right = np.minimum(one, other), np.maximum(one, other)
    is_gap = (square < 0) & (linear**2 > square * constant)
    low = np.select([square > 0, is_gap], [left, right], -np.inf)
    high = np.select([square > 0, is_gap], [right, left], np.inf)
    return low, high


def share_in_words(share: ShareOfGain) -> str:
    """Returns one share of pretraining's gain with its interval, or why it has none.

    >>> share_in_words(share_of_gain([0.01, 0.03, 0.02, 0.02], [0.2, 0.25, 0.22, 0.21]))
    '+9% (+4% to +13%)'
    """
    if not share.is_bounded:
        return "unbounded: the gain itself is not shown"
    if share.gain < 0:
        return "none: pretraining lowered the score"
    return f"{float(share.ratio):+.0%} ({float(share.low):+.0%} to {float(share.high):+.0%})"
