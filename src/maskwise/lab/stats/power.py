"""What a number of seeds can find, known before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import integrate, optimize, special, stats

from maskwise.lab.stats.paired import ALPHA

POWER = 0.8
LARGEST_EFFECT = 1e4
SD_CONFIDENCE = 0.8  # of the upper limit of a pilot's sd that plans are made with


def power(effect: float, num_seeds: int, alpha: float = ALPHA) -> float:
    """Returns the probability that a two-sided paired t test finds an effect of this size (dz, in sd of a difference).

    Given the sample's sd the mean is normal, so the power is one integral over it; scipy's noncentral t gives nan for
    few seeds and large effects.

    >>> round(power(1.682, 5), 3)
    0.8
    """
    freedom, shift = num_seeds - 1, effect * math.sqrt(num_seeds)
    bound = float(stats.t.ppf(1 - alpha / 2, freedom)) / math.sqrt(freedom)
    return _over_sample_sds(
        lambda chi: special.ndtr(shift - bound * chi) + special.ndtr(-shift - bound * chi), num_seeds
    )


def smallest_effect(num_seeds: int, alpha: float = ALPHA, wanted: float = POWER) -> float:
    """Returns the effect size dz that is found with probability `wanted`.

    For the hardest step of Holm over m hypotheses, pass alpha / m.

    >>> round(smallest_effect(5), 2), round(smallest_effect(5, alpha=0.05 / 12), 2)
    (1.68, 3.31)
    """
    high = 1.0
    while power(high, num_seeds, alpha) < wanted and high < LARGEST_EFFECT:
        high *= 2
    found = optimize.root_scalar(lambda effect: power(effect, num_seeds, alpha) - wanted, bracket=(0.0, high))
    return found.root


def equivalence_power(sd: float, num_seeds: int, alpha: float = ALPHA) -> float:
    """Returns the probability that two arms without any difference are shown to be within the margin of each other.

    Args:
        sd: Standard deviation of the paired differences, in margins.
        num_seeds: Pretraining seeds.
        alpha: The level of the two one-sided t tests.

    >>> round(equivalence_power(0.5, 8), 2), round(equivalence_power(1.05, 5), 2)
    (1.0, 0.25)
    """
    reach, bound = math.sqrt(num_seeds) / sd, float(stats.t.ppf(1 - alpha, num_seeds - 1))
    # The interval reaches bound * s / sqrt(n) to both sides, and the mean must leave it room inside the margin.
    largest_chi = reach * math.sqrt(num_seeds - 1) / bound
    return _over_sample_sds(
        lambda chi: 2 * special.ndtr(reach - bound * chi / math.sqrt(num_seeds - 1)) - 1, num_seeds, largest_chi
    )


def largest_sd_for_equivalence(num_seeds: int, alpha: float = ALPHA, wanted: float = POWER) -> float:
    """Returns the sd of paired differences, in margins, up to which equal arms are called equivalent often enough.

    For the hardest step of Holm over m hypotheses, pass alpha / m.

    >>> [round(largest_sd_for_equivalence(number), 2) for number in (5, 8, 10, 12)]
    [0.62, 0.87, 1.0, 1.11]
    """
    low, high = 1.0, 1.0
    while equivalence_power(low, num_seeds, alpha) < wanted:
        low /= 2
    while equivalence_power(high, num_seeds, alpha) > wanted:
        high *= 2
    found = optimize.root_scalar(
        lambda sd: equivalence_power(sd, num_seeds, alpha) - wanted, bracket=(low, high), xtol=1e-12
    )
    return found.root


def sd_upper_limit(sd: float, num_seeds: int, confidence: float = SD_CONFIDENCE) -> float:
    """Returns the upper confidence limit of a standard deviation that a pilot of so many seeds has measured.

    A pilot of 3 seeds misses the true sd by a factor of 2 easily, and a plan made with too small a one finds nothing.
    The limit is sd * sqrt((n - 1) / chi2), with chi2 the (1 - confidence) quantile of n - 1 degrees of freedom.

    >>> [round(sd_upper_limit(1.0, number), 2) for number in (3, 5, 8)]
    [2.12, 1.56, 1.35]
    """
    freedom = num_seeds - 1
    return sd * math.sqrt(freedom / float(stats.chi2.ppf(1 - confidence, freedom)))


def _over_sample_sds(share: Callable[[float], float], num_seeds: int, largest: float = math.inf) -> float:
    """Returns the mean of `share` over chi, the sample's sd times sqrt(n - 1), in units of the true sd; 0 beyond it."""
    freedom = num_seeds - 1
    log_norm = (freedom / 2 - 1) * math.log(2) + math.lgamma(freedom / 2)

    def weighted(chi: float) -> float:
        return math.exp((freedom - 1) * math.log(chi) - chi * chi / 2 - log_norm) * share(chi)

    middle = math.sqrt(freedom)  # chi is within 10 of it
    lowest, highest = max(0.0, middle - 10), min(largest, middle + 10)
    return float(integrate.quad(weighted, lowest, highest, limit=200)[0]) if highest > lowest else 0.0
