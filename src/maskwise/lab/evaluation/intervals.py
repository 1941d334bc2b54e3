"""Intervals for one model: what another draw of the items would have given.

They answer for the items alone. Between arms of a study the unit is the pretraining seed, and the interval is that of
`maskwise.lab.stats`; how a score spreads over paradigms is a picture of the benchmark, and no interval of anything.

Shapes: I items, D draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

_NUM_DRAWS = 2000
_ALPHA = 0.05


class Interval(NamedTuple):
    """A value with the bounds of its 95% interval and its standard error."""

    value: float
    low: float
    high: float
    error: float

    def __str__(self) -> str:
        """Returns percent with two decimals and the bounds, for tables."""
        return f"{self.value:.2%} ({self.low:.2%} to {self.high:.2%})"


def macro_average(credits_by_paradigm: Sequence[np.ndarray], *, seed: int = 0, num_draws: int = _NUM_DRAWS) -> Interval:
    """Returns the mean over paradigms of the mean credit, with the interval of items drawn anew within paradigms.

    The paradigms are what the benchmark is, so they are not drawn.

    Args:
        credits_by_paradigm: What each item counts, 0 to 1, one array a paradigm.
        seed: Of the draws.
        num_draws: The number of draws of the percentile bootstrap.

    >>> interval = macro_average([np.array([1.0, 1.0, 0.0, 1.0]), np.array([0.5, 0.5])])
    >>> interval.value, interval.low >= 0.25, interval.high <= 0.75
    (0.625, True, True)
    """
    rng = np.random.default_rng(seed)
    means_D = np.zeros(num_draws)
    for credits_I in credits_by_paradigm:
        values, counts = np.unique(credits_I, return_counts=True)
        drawn = rng.multinomial(len(credits_I), counts / len(credits_I), size=num_draws)
        means_D += drawn @ values / len(credits_I)
    means_D /= len(credits_by_paradigm)
    return _percentiles(float(np.mean([np.mean(credits_I) for credits_I in credits_by_paradigm])), means_D)


def resampled(
    statistic: Callable[[np.ndarray], float], num_items: int, *, seed: int = 0, num_draws: int = _NUM_DRAWS
) -> Interval:
    """Returns a statistic of items with the percentile interval over items drawn anew.

    Args:
        statistic: Takes item numbers [I], some of them more than once.
        num_items: How many items there are.
        seed: Of the draws.
        num_draws: How many draws; those whose statistic is not a number (a constant side) are left out.
    """
    rng = np.random.default_rng(seed)
    values_D = np.array([statistic(rng.integers(num_items, size=num_items)) for _ in range(num_draws)])
    return _percentiles(statistic(np.arange(num_items)), values_D[np.isfinite(values_D)])


def _percentiles(value: float, draws_D: np.ndarray) -> Interval:
    if len(draws_D) < 2:
        return Interval(value, float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(draws_D, [_ALPHA / 2, 1 - _ALPHA / 2])
    return Interval(value, float(low), float(high), float(draws_D.std(ddof=1)))
