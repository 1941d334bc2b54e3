"""Every statistic by another route, and what the verdict does to studies whose truth is known."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from maskwise.lab.stats.paired import (
    equivalence_p,
    holm,
    paired_t,
    sign_flip_floor,
    sign_flip_p,
    verdicts,
)

NUM_STUDIES, NUM_SEEDS, NUM_HYPOTHESES = 4000, 5, 12
differences = st.lists(st.floats(-1, 1, allow_nan=False), min_size=2, max_size=9)


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


def brute_force_sign_flip(values):
    observed = abs(math.fsum(values))
    sums = [
        abs(math.fsum(sign * value for sign, value in zip(signs, values, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(values))
    ]
    return np.mean([total >= observed - 1e-9 * math.fsum(map(abs, values)) for total in sums])


@given(differences)
def test_the_sign_flip_p_is_the_share_of_all_signings(values):
    values = [round(value, 6) for value in values]
    assert sign_flip_p(np.array(values)) == pytest.approx(brute_force_sign_flip(values), abs=1e-12)


def test_the_sign_flip_p_is_scipys_permutation_test():
    values = np.random.default_rng(3).normal(0.4, 1, size=10)
    found = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(values) == pytest.approx(found.pvalue, abs=1e-12)


@pytest.mark.parametrize("num_seeds", [2, 5, 6, 10, 24])
def test_the_exact_test_has_a_floor_and_reaches_it(num_seeds):
    assert sign_flip_p(np.linspace(1, 2, num_seeds)) == pytest.approx(sign_flip_floor(num_seeds))


def test_five_seeds_cannot_reach_five_percent_exactly():
    assert sign_flip_floor(5) == 0.0625
    assert stats.wilcoxon([1, 2, 3, 4, 5]).pvalue == 0.0625


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


def test_arms_that_never_differ_are_equivalent_and_a_last_bit_is_no_difference():
    """Collapsed runs give one score everywhere; 1e-17 in every seed would be infinitely significant."""
    for values in (np.zeros(5), np.full(5, 1e-17)):
        test = paired_t(values)
        assert (float(test.p), float(test.dz), float(test.sd)) == (1.0, 0.0, 0.0)
        assert sign_flip_p(values) == 1.0
        assert verdicts(test.mean, test.p, equivalence_p(values, 0.01)) == "equivalent"


def test_the_same_difference_in_every_seed_is_taken_to_its_limit():
    test = paired_t(np.full(5, 0.1))
    assert (float(test.p), float(test.dz)) == (0.0, math.inf)
    assert float(equivalence_p(np.full(5, 0.1), 0.01)) == 1.0


@given(differences, st.floats(1e-3, 0.1))
def test_swapping_the_arms_swaps_better_and_worse_and_nothing_else(values, margin):
    swap = {"better": "worse", "worse": "better", "equivalent": "equivalent", "inconclusive": "inconclusive"}
    one, other = (
        str(verdicts(paired_t(signed).mean, paired_t(signed).p, equivalence_p(signed, margin)))
        for signed in (np.array(values), -np.array(values))
    )
    assert swap[one] == other


def simulated_null(sd=0.01):
    """Scores as a study has them: each hypothesis compares an arm with one baseline, whose seeds all share."""
    rng = np.random.default_rng(20_260)
    arms = rng.normal(0, sd, size=(NUM_STUDIES, NUM_HYPOTHESES, NUM_SEEDS))
    baseline = rng.normal(0, sd, size=(NUM_STUDIES, 1, NUM_SEEDS))
    luck_of_the_seed = rng.normal(0, 3 * sd, size=(NUM_STUDIES, 1, NUM_SEEDS))
    return (0.7 + arms + luck_of_the_seed) - (0.7 + baseline + luck_of_the_seed)


def three_errors(share, number):
    return 3 * math.sqrt(share * (1 - share) / number)


def test_under_the_null_few_studies_claim_anything():
    """The promise of the whole laboratory: at most 5% of studies without any effect say better or worse."""
    null = simulated_null()
    test = paired_t(null)
    found = verdicts(test.mean, holm(test.p), equivalence_p(null, 0.01))
    claims = np.isin(found, ["better", "worse"]).any(1).mean()
    assert 0 < claims <= 0.05 + three_errors(0.05, NUM_STUDIES)
    unadjusted = (test.p <= 0.05).any(1).mean()
    assert unadjusted > 0.2, "without Holm the same studies claim something far more often"
    covered = ((test.low <= 0) & (test.high >= 0)).mean(1)
    assert covered.mean() == pytest.approx(0.95, abs=three_errors(0.95, NUM_STUDIES))


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
