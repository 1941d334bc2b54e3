"""The tests of paired differences by scipy, at their limits, and on studies whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from maskwise.lab.stats.paired import equivalence_p, holm, one_sided_p, paired_t, welch_interval

NUM_STUDIES, NUM_SEEDS = 4000, 5


def test_the_paired_t_test_is_scipys():
    """The two arms are handed to scipy, not their differences."""
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 50, 7))
    test = paired_t(ours - theirs)
    expected = stats.ttest_rel(ours, theirs, axis=1)
    interval = expected.confidence_interval(0.95)
    for found, wanted in ((test.p, expected.pvalue), (test.low, interval.low), (test.high, interval.high)):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)
    np.testing.assert_allclose(test.dz * math.sqrt(7), expected.statistic, rtol=1e-10)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_step_down_procedure(p_values):
    """Rejecting where the adjusted p is at most alpha must be what walking down the sorted p values rejects."""
    adjusted = holm(np.array(p_values))
    for alpha in (0.01, 0.05, 0.2):
        rejected = set()
        for step, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
            if p_values[i] * (len(p_values) - step) > alpha:
                break
            rejected.add(i)
        assert {i for i, p in enumerate(adjusted) if p <= alpha} == rejected


def test_holm_is_taken_study_by_study():
    p_values = np.random.default_rng(1).uniform(size=(3, 4))
    np.testing.assert_array_equal(holm(p_values), [holm(row) for row in p_values])


@pytest.mark.parametrize("mean", [-0.02, -0.004, 0.0, 0.004, 0.02])
def test_equivalence_is_two_one_sided_t_tests_by_scipy(mean):
    values = np.random.default_rng(5).normal(mean, 0.005, size=8)
    below = stats.ttest_1samp(values, 0.01, alternative="less").pvalue
    above = stats.ttest_1samp(values, -0.01, alternative="greater").pvalue
    assert float(equivalence_p(values, 0.01)) == pytest.approx(max(below, above), rel=1e-9)


def test_equivalence_is_a_90_percent_interval_inside_the_margin():
    values = np.random.default_rng(6).normal(0.003, 0.006, size=(500, 6))
    inside = np.maximum(np.abs(paired_t(values, 0.1).low), np.abs(paired_t(values, 0.1).high)) < 0.01
    assert 50 < inside.sum() < 450
    np.testing.assert_array_equal(equivalence_p(values, 0.01) < 0.05, inside)


def test_a_margin_by_seed_is_two_t_tests_of_contrasts():
    """A margin of 5% of the gain: d + 0.05 g above 0 and d - 0.05 g below, whatever the gain is at a seed."""
    rng = np.random.default_rng(9)
    values, gains = rng.normal(0, 0.004, size=(2, 40, 7)) + np.array([0, 0.1])[:, None, None]
    above = stats.ttest_1samp(values + 0.05 * gains, 0, axis=1, alternative="greater").pvalue
    below = stats.ttest_1samp(values - 0.05 * gains, 0, axis=1, alternative="less").pvalue
    found = equivalence_p(values, 0.05 * gains)
    np.testing.assert_allclose(found, np.maximum(above, below), rtol=1e-9)
    assert 3 < (found <= 0.05).sum() < 40


def test_arms_that_never_differ_have_p_1_and_a_last_bit_is_no_difference():
    """Collapsed runs give one score everywhere; 1e-17 in every seed would be infinitely significant."""
    for values in (np.zeros(5), np.full(5, 1e-17)):
        test = paired_t(values)
        assert (float(test.p), float(test.dz), float(test.sd)) == (1.0, 0.0, 0.0)
        assert (float(test.low), float(test.high)) == (0.0, 0.0)
        assert float(equivalence_p(values, 0.01)) == 0.0
        assert float(one_sided_p(values, "greater")) == float(one_sided_p(values, "less")) == 1.0


def test_rows_with_and_without_a_spread_stand_in_one_array():
    """Scipy warns of a row without a spread, and says nan."""
    values = np.array([[0.1, 0.1, 0.1], [0.1, 0.2, 0.4]])
    test = paired_t(values)
    assert test.p.tolist() == [0.0, pytest.approx(stats.ttest_1samp(values[1], 0).pvalue)]
    assert (test.low[0], test.high[0]) == pytest.approx((0.1, 0.1))
    assert one_sided_p(values, "less")[0] == 1.0


def test_welchs_interval_is_scipys_and_a_number_without_any_spread():
    some, others = [0.3, 0.1, 0.25, 0.4], [0.0, 0.1, 0.05]
    reference = stats.ttest_ind(some, others, equal_var=False).confidence_interval(0.95)
    assert welch_interval(some, others) == pytest.approx((reference.low, reference.high))
    assert welch_interval([0.3, 0.3], [0.1, 0.1]) == pytest.approx((0.2, 0.2))
    assert all(math.isnan(edge) for edge in welch_interval([0.3], others))
    low, high = welch_interval([0.3, 0.3, 0.3], others)
    reference = stats.ttest_1samp(others, 0.3).confidence_interval(0.95)
    assert (low, high) == pytest.approx((0.3 - reference.high, 0.3 - reference.low))


def test_the_same_difference_in_every_seed_is_taken_to_its_limit():
    test = paired_t(np.full(5, 0.1))
    assert (float(test.p), float(test.dz)) == (0.0, math.inf)
    assert float(equivalence_p(np.full(5, 0.1), 0.01)) == 1.0


def three_errors(share, number):
    return 3 * math.sqrt(share * (1 - share) / number)


def test_arms_at_the_margin_are_rarely_called_equivalent():
    """The margin's test has the error rate it says: 5% where the truth is the margin itself."""
    values = np.random.default_rng(7).normal(0.01, 0.005, size=(NUM_STUDIES, NUM_SEEDS))
    share = (equivalence_p(values, 0.01) <= 0.05).mean()
    assert share == pytest.approx(0.05, abs=three_errors(0.05, NUM_STUDIES))


def test_a_known_effect_is_found_as_often_as_the_plan_says():
    from maskwise.lab.stats.power import smallest_effect

    for alpha in (0.05, 0.05 / 12):
        effect = smallest_effect(NUM_SEEDS, alpha)
        values = np.random.default_rng(8).normal(effect, 1, size=(NUM_STUDIES, NUM_SEEDS))
        assert (paired_t(values).p <= alpha).mean() == pytest.approx(0.8, abs=three_errors(0.8, NUM_STUDIES))
