"""What a number of seeds can find, known before anything runs."""

from __future__ import annotations

import math

from scipy import integrate, optimize, special, stats

from maskwise.lab.stats.paired import ALPHA

POWER = 0.8
LARGEST_EFFECT = 1e4


def power(effect: float, num_seeds: int, alpha: float = ALPHA) -> float:
    """Returns the probability that a two-sided paired t test finds an effect of this size (dz, in sd of a difference).

    Given the sample's sd the mean is normal, so the power is one integral over it; scipy's noncentral t gives nan for
    few seeds and large effects.

    >>> round(power(1.682, 5), 3)
    0.8
    """
    freedom, shift = num_seeds - 1, effect * math.sqrt(num_seeds)
    bound = float(stats.t.ppf(1 - alpha / 2, freedom)) / math.sqrt(freedom)
    log_norm = (freedom / 2 - 1) * math.log(2) + math.lgamma(freedom / 2)

    def found(chi: float) -> float:  # chi is the sample's sd times sqrt(n - 1)
        density = chi ** (freedom - 1) * math.exp(-chi * chi / 2 - log_norm)
        return density * (special.ndtr(shift - bound * chi) + special.ndtr(-shift - bound * chi))

    return float(integrate.quad(found, 0, math.sqrt(freedom) + 10, limit=200)[0])


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


def largest_sd_for_equivalence(num_seeds: int, margin: float, alpha: float = ALPHA) -> float:
    """Returns the sd of differences above which no result, not even a mean of 0, can be called equivalent.

    >>> round(largest_sd_for_equivalence(5, margin=0.01), 4)
    0.0105
    """
    return margin * math.sqrt(num_seeds) / float(stats.t.ppf(1 - alpha, num_seeds - 1))
