import math

import numpy as np
import pytest
from scipy import stats

from maskwise.lab.stats.paired import equivalence_p, paired_t
from maskwise.lab.stats.power import (
    equivalence_power,
    largest_sd_for_equivalence,
    power,
    sd_upper_limit,
    smallest_effect,
)


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


@pytest.mark.parametrize(("num_seeds", "in_margins"), [(5, 0.63), (8, 0.87), (10, 0.99), (12, 1.11)])
def test_the_largest_sd_at_which_equal_arms_are_called_equivalent(num_seeds, in_margins):
    assert largest_sd_for_equivalence(num_seeds) == pytest.approx(in_margins, abs=0.01)
    assert largest_sd_for_equivalence(num_seeds, 0.05 / 12) < 0.7 * in_margins


@pytest.mark.parametrize(("num_seeds", "alpha"), [(5, 0.05), (8, 0.05), (10, 0.05 / 12)])
def test_equivalence_has_the_power_that_simulated_studies_have(num_seeds, alpha):
    sd = largest_sd_for_equivalence(num_seeds, alpha)
    values = np.random.default_rng(1).normal(0, sd, size=(20_000, num_seeds))
    assert (equivalence_p(values, 1.0) <= alpha).mean() == pytest.approx(0.8, abs=0.01)


def test_equivalence_has_little_power_at_the_sd_where_it_just_becomes_possible():
    """A mean of exactly 0 is then needed: what was taken as a plan's limit before."""
    sd = math.sqrt(8) / stats.t.ppf(0.95, 7)
    values = np.random.default_rng(2).normal(0, sd, size=(20_000, 8))
    share = (equivalence_p(values, 1.0) <= 0.05).mean()
    assert equivalence_power(sd, 8) == pytest.approx(share, abs=0.01)
    assert share < 0.3


@pytest.mark.parametrize(("num_seeds", "factor"), [(3, 2.12), (5, 1.56), (8, 1.35)])
def test_the_upper_limit_of_a_pilots_sd_is_above_the_truth_four_times_in_five(num_seeds, factor):
    assert sd_upper_limit(1.0, num_seeds) == pytest.approx(factor, abs=0.005)
    sds = np.random.default_rng(3).normal(0, 2.0, size=(20_000, num_seeds)).std(1, ddof=1)
    assert (sds * sd_upper_limit(1.0, num_seeds) > 2.0).mean() == pytest.approx(0.8, abs=0.01)


def test_many_seeds_are_planned_for_too():
    """Densities of a thousand seeds overflow if they are not computed in logarithms."""
    values = np.random.default_rng(4).normal(0.1, 1, size=(2000, 1000))
    assert power(0.1, 1000) == pytest.approx((paired_t(values).p <= 0.05).mean(), abs=0.03)
    assert largest_sd_for_equivalence(1000) == pytest.approx(math.sqrt(1000) / (1.645 + 1.282), rel=0.01)
