"""The multi-bootstrap: seeds and held-out items resampled together, so that an interval answers for both.

A t interval over seeds treats the held-out items as given; with 277 examples of RTE they move a score by 3 points.
Source: Sellam et al. 2021 (MultiBERTs), the paired form: both arms see the same draws of seeds and of items.

Shapes: S pretraining seeds, K tuning seeds, E held-out items, D draws; X what a metric counts of an item.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from maskwise.lab.stats.items import ItemMetric, weighted_scores

_NUM_DRAWS = 2000
DRAWS_AT_A_TIME = 100


class Bootstrapped(NamedTuple):
    """The observed mean difference, its percentile interval, and the share of draws on the other side of 0, doubled."""

    mean: float
    low: float
    high: float
    p: float


def multi_bootstrap(
    ours_SKEX: Sequence[Sequence[np.ndarray]],
    theirs_SKEX: Sequence[Sequence[np.ndarray]],
    metric: ItemMetric,
    *,
    strata_E: np.ndarray | None = None,
    seed: int = 0,
    num_draws: int = _NUM_DRAWS,
    alpha: float = 0.05,
) -> Bootstrapped:
    """Returns the mean difference of a metric, ours minus theirs, with an interval over seeds and items.

    Tuning seeds are averaged, not drawn. With few seeds a percentile interval is too short (84% instead of 95% at
    five), so it is shown alongside the t interval and does not replace it.

    Args:
        ours_SKEX: By pretraining and tuning seed, what the metric counts of each held-out item [E, ...].
        theirs_SKEX: The same of the other arm, for the same seeds and items.
        metric: The score of summed counts.
        strata_E: The stratum of each item: items are drawn within their own. None: all are of one.
        seed: Of the draws.
        num_draws: How often seeds and items are drawn.
        alpha: One minus the level of the interval.
    """
    rng = np.random.default_rng(seed)
    num_seeds, num_items = len(ours_SKEX), len(ours_SKEX[0][0])

    def differences(weights_DE: np.ndarray) -> np.ndarray:
        ours_DS, theirs_DS = (weighted_scores(weights_DE, counts, metric) for counts in (ours_SKEX, theirs_SKEX))
        return ours_DS - theirs_DS

    drawn = []
    for weights_DE in _item_draws(rng, strata_E, num_items, num_draws):
        seeds_DS = rng.integers(num_seeds, size=(len(weights_DE), num_seeds))
        drawn.append(np.take_along_axis(differences(weights_DE), seeds_DS, 1).mean(1))
    means_D = np.concatenate(drawn)
    observed = float(differences(np.ones((1, num_items))).mean())
    low, high = np.quantile(means_D, [alpha / 2, 1 - alpha / 2])
    other_side = min((means_D <= 0).mean(), (means_D >= 0).mean())
    return Bootstrapped(observed, float(low), float(high), float(min(1.0, 2 * other_side)))


def _item_draws(
    rng: np.random.Generator, strata_E: np.ndarray | None, num_items: int, num_draws: int
) -> Iterator[np.ndarray]:
    """Yields how often each item is in each draw [D, E], a hundred draws at a time."""
    strata_E = np.zeros(num_items, dtype=int) if strata_E is None else strata_E
    members = [np.flatnonzero(strata_E == stratum) for stratum in np.unique(strata_E)]
    for first in range(0, num_draws, DRAWS_AT_A_TIME):
        weights_DE = np.empty((min(DRAWS_AT_A_TIME, num_draws - first), num_items))
        for places in members:
            even = np.full(len(places), 1 / len(places))
            weights_DE[:, places] = rng.multinomial(len(places), even, size=len(weights_DE))
        yield weights_DE
