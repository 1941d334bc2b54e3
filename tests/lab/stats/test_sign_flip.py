"""The exact test by other routes: all signings one by one, scipy's permutation test, and integers counted exactly."""

import itertools
import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from maskwise.lab.stats.sign_flip import MOST_ENUMERATED, _by_convolution, sign_flip_floor, sign_flip_p

differences = st.lists(st.floats(-1, 1, allow_nan=False), min_size=2, max_size=9)


def brute_force_sign_flip(values):
    observed = abs(math.fsum(values))
    sums = [
        abs(math.fsum(sign * value for sign, value in zip(signs, values, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(values))
    ]
    return np.mean([total >= observed - 1e-9 * math.fsum(map(abs, values)) for total in sums])


def counted_exactly(integers):
    """The same by a table of sums in whole numbers."""
    ways = {0: 1}
    for size in map(abs, integers):
        step = {}
        for total, count in ways.items():
            for reached in (total + size, total - size):
                step[reached] = step.get(reached, 0) + count
        ways = step
    reaching = sum(count for total, count in ways.items() if abs(total) >= abs(sum(integers)))
    return float(Fraction(reaching, 2 ** len(integers)))


@given(differences)
def test_the_sign_flip_p_is_the_share_of_all_signings(values):
    values = [round(value, 6) for value in values]
    assert sign_flip_p(np.array(values)) == pytest.approx(brute_force_sign_flip(values), abs=1e-12)


def test_the_sign_flip_p_is_scipys_permutation_test():
    values = np.random.default_rng(3).normal(0.4, 1, size=10)
    found = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(values) == pytest.approx(found.pvalue, abs=1e-12)


@pytest.mark.parametrize("num_seeds", [2, 5, 6, 10, 24, 31, 64])
def test_the_exact_test_has_a_floor_and_reaches_it(num_seeds):
    assert sign_flip_p(np.linspace(1, 2, num_seeds)) == pytest.approx(sign_flip_floor(num_seeds), rel=1e-9)


def test_five_seeds_cannot_reach_five_percent_exactly():
    assert sign_flip_floor(5) == 0.0625
    assert stats.wilcoxon([1, 2, 3, 4, 5]).pvalue == 0.0625


@pytest.mark.parametrize("num_seeds", [31, 64, 150])
def test_many_seeds_are_counted_as_scipy_draws_them(num_seeds):
    values = np.random.default_rng(num_seeds).normal(0.2, 1, size=num_seeds)
    drawn = stats.permutation_test(
        (values,), np.sum, permutation_type="samples", n_resamples=50_000, batch=1000, rng=np.random.default_rng(1)
    ).pvalue
    assert 0.001 < drawn < 0.9
    assert sign_flip_p(values) == pytest.approx(drawn, abs=4 * math.sqrt(drawn / 50_000))


@pytest.mark.parametrize("num_seeds", [31, 40, 64])
def test_whole_numbers_are_counted_exactly_ties_included(num_seeds):
    integers = np.random.default_rng(num_seeds).integers(-3, 5, size=num_seeds).tolist()
    p = counted_exactly(integers)
    assert 0 < p < 0.9
    assert sign_flip_p(np.array(integers) / 8) == pytest.approx(p, rel=1e-9)


def test_both_ways_of_counting_agree_and_rounding_never_lowers_p():
    rng = np.random.default_rng(0)
    for num_seeds in (2, 9, 16, 25, MOST_ENUMERATED):
        for _ in range(5):
            values = rng.normal(0.2, 1, size=num_seeds)
            exact = sign_flip_p(values)
            assert exact - 1e-12 <= _by_convolution(values) <= exact + 1e-3


def test_a_thousand_seeds_take_megabytes():
    """By halves 64 seeds would take 9 GB, and a finished study would die of its report."""
    values = np.random.default_rng(2).normal(0.05, 1, size=1000)
    tracemalloc.start()
    p = sign_flip_p(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0 < p < 1 and peak < 1e8
    assert p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=0.05)


@pytest.mark.parametrize("num_seeds", [5, 40])
def test_no_difference_at_all_has_p_1(num_seeds):
    assert sign_flip_p(np.zeros(num_seeds)) == sign_flip_p(np.full(num_seeds, 1e-17)) == 1.0
    balanced = np.resize([0.5, -0.5], num_seeds + num_seeds % 2)
    assert sign_flip_p(balanced) == 1.0
