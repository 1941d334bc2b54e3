import math

import numpy as np
import pytest
from scipy import stats

from maskwise.lab.stats.paired import equivalence_p
from maskwise.lab.stats.power import largest_sd_for_equivalence, power, smallest_effect


@pytest.mark.parametrize(
    ("num_seeds", "alone", "of_twelve"),
    [(3, 3.26, None), (5, 1.69, 3.31), (8, 1.16, 1.86), (10, 1.00, 1.53), (15, 0.78, None), (20, 0.66, 0.94),
     (25, 0.59, None), (30, 0.53, 0.73)],
)  # fmt: skip
def test_the_smallest_effect_is_the_published_one(num_seeds, alone, of_twelve):
    """The table is rounded up to hundredths, or to the nearest."""
    assert alone - 0.01 < smallest_effect(num_seeds) < alone + 0.005
    if of_twelve:
        assert of_twelve - 0.01 < smallest_effect(num_seeds, 0.05 / 12) < of_twelve + 0.005


def test_power_without_an_effect_is_alpha():
    assert power(0.0, 5) == pytest.approx(0.05)
    assert power(0.0, 9, alpha=0.01) == pytest.approx(0.01)


@pytest.mark.parametrize(("effect", "num_seeds"), [(0.4, 4), (1.2, 6), (0.5, 34), (0.8, 15)])
def test_power_is_that_of_the_noncentral_t(effect, num_seeds):
    bound, shift = stats.t.ppf(0.975, num_seeds - 1), effect * math.sqrt(num_seeds)
    expected = stats.nct.sf(bound, num_seeds - 1, shift) + stats.nct.cdf(-bound, num_seeds - 1, shift)
    assert power(effect, num_seeds) == pytest.approx(expected, rel=1e-7)


def test_two_seeds_find_only_huge_effects():
    assert smallest_effect(2) > 10
    assert smallest_effect(2, 0.05 / 100) > smallest_effect(2)


def test_equivalence_is_possible_just_below_the_largest_sd_and_impossible_above():
    shape = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    shape /= shape.std(ddof=1)
    sd = largest_sd_for_equivalence(5, 0.01)
    assert float(equivalence_p(shape * sd * 0.999, 0.01)) < 0.05 < float(equivalence_p(shape * sd * 1.001, 0.01))
