"""The gate and the verdicts on cases by hand, and on thousands of simulated studies whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from maskwise.lab.stats.paired import equivalence_p, holm, paired_t
from maskwise.lab.stats.verdicts import ORDER, decide, has_signal

NUM_STUDIES, CONSTANT = 2000, 0.5
SHARE = 0.05  # of the gain: the margin
WITHIN = ("equivalent", "better, smaller than the margin")  # the verdicts that claim a difference below the margin
NUM_SEEDS = pytest.mark.parametrize("num_seeds", [8, 10])


class Arms:
    """Scores of simulated studies: [N, M, S] of ours, [N, 1, S] of the baseline and of not pretrained."""

    def __init__(self, ours, theirs, start, collapsed_ours=0, collapsed_theirs=0):
        self.ours, self.theirs, self.start = ours, theirs, start
        self.collapsed = collapsed_theirs, collapsed_ours

    def verdicts(self, margin=None):
        """What the package decides; the margin is `SHARE` of the gain, or what is given instead."""
        differences, gains = self.ours - self.theirs, self.theirs - self.start
        limits = SHARE * gains if margin is None else margin
        theirs, ours = (
            has_signal(scores, self.start, np.full(scores.shape[:-1], CONSTANT), number)
            for scores, number in zip((self.theirs, self.ours), self.collapsed, strict=True)
        )
        test = paired_t(differences)
        return decide(test.mean, test.p, equivalence_p(differences, limits), theirs, ours).verdict


def healthy(num_seeds, *, gain, sd, effect=0.0, num_arms=1, gain_sd=0.02, seed=0):
    """Arms that learned: the gain has a standard deviation of `gain_sd`, the differences one of `sd`."""
    rng = np.random.default_rng(seed)
    shape = (NUM_STUDIES, 1, num_seeds)
    start = 0.7 + rng.normal(0, 0.01, size=shape)
    theirs = start + gain + rng.normal(0, gain_sd, size=shape)
    ours = theirs + effect + rng.normal(0, sd, size=(NUM_STUDIES, num_arms, num_seeds))
    return Arms(ours, theirs, start)


@pytest.mark.parametrize("share_collapsed", [0.8, 0.95])
@NUM_SEEDS
def test_arms_that_collapsed_are_never_called_equivalent(num_seeds, share_collapsed):
    """(a) Constant answers are alike whatever the models are; two one-sided tests alone call them equivalent."""
    rng = np.random.default_rng(1)
    shape = (NUM_STUDIES, 1, num_seeds)
    is_collapsed = rng.random((2, *shape)) < share_collapsed
    ours, theirs = np.where(is_collapsed, CONSTANT, CONSTANT + rng.normal(0.0, 0.02, size=(2, *shape)))
    start = np.full(shape, CONSTANT)
    arms = Arms(ours, theirs, start, *is_collapsed.sum(-1))
    found = arms.verdicts(margin=0.01)
    assert (found == "equivalent").sum() == 0
    assert (found == "no signal").mean() > 0.999
    ungated = equivalence_p(ours - theirs, 0.01) <= 0.05
    assert ungated.mean() > 0.1, "the tests alone call a tenth or more of these studies equivalent"


@pytest.mark.parametrize("gain_in_sds", [1.0, 2.0])
@NUM_SEEDS
def test_arms_that_differ_by_the_margin_are_rarely_called_equivalent(num_seeds, gain_in_sds):
    """(b) The margin is a share of a gain that is measured too: a contrast keeps its level, a plug-in does not."""
    gain_sd = 0.02
    margin = SHARE * gain_in_sds * gain_sd
    settings = {"gain": gain_in_sds * gain_sd, "gain_sd": gain_sd, "effect": margin, "sd": margin / 2}
    arms = healthy(num_seeds, **settings, seed=2)
    assert np.isin(arms.verdicts(), WITHIN).mean() <= 0.06
    mean_gain = (arms.theirs - arms.start).mean(-1, keepdims=True)
    assert np.isin(arms.verdicts(margin=SHARE * mean_gain), WITHIN).mean() > 0.08


@pytest.mark.parametrize("num_hypotheses", [1, 4])
@NUM_SEEDS
def test_arms_without_a_difference_are_called_equivalent_if_they_vary_little(num_seeds, num_hypotheses):
    """(c) A gate that never opened would pass every other test."""
    arms = healthy(num_seeds, gain=0.1, gain_sd=0.01, sd=0.5 * SHARE * 0.1, num_arms=num_hypotheses, seed=3)
    assert (arms.verdicts() == "equivalent").mean() >= 0.9


@NUM_SEEDS
def test_an_arm_that_collapsed_throughout_is_worse_than_a_healthy_baseline(num_seeds):
    """(d) A gate on both arms would hide the greatest harm there is."""
    arms = healthy(num_seeds, gain=0.06, gain_sd=0.02, sd=0.01, seed=4)
    arms.ours = np.full_like(arms.ours, CONSTANT)
    arms.collapsed = 0, np.full((NUM_STUDIES, 1), num_seeds)
    found = arms.verdicts()
    assert (found == "worse").mean() >= 0.95
    assert not (found == "no signal").any()


@NUM_SEEDS
def test_of_twenty_null_hypotheses_a_study_rarely_claims_any(num_seeds):
    """(e) The arms share a baseline, so their differences are correlated."""
    rng = np.random.default_rng(5)
    arms = healthy(num_seeds, gain=0.06, sd=0.01, num_arms=20, seed=5)
    luck = rng.normal(0, 0.01, size=arms.theirs.shape)
    arms.theirs = arms.theirs + luck
    is_claim = np.isin(arms.verdicts(), ["better", "worse", "better, smaller than the margin"])
    assert 0 < is_claim.any(-1).mean() <= 0.06
    unadjusted = (paired_t(arms.ours - arms.theirs).p <= 0.05).any(-1).mean()
    assert unadjusted > 0.2, "without Holm the same studies claim something far more often"


def test_twenty_hypotheses_at_the_margin_are_rarely_any_of_them_called_equivalent():
    """The equivalence tests are a family too."""
    margin = SHARE * 0.1
    arms = healthy(8, gain=0.1, gain_sd=0.01, effect=margin, sd=margin / 2, num_arms=20, seed=6)
    assert (arms.verdicts() == "equivalent").any(-1).mean() <= 0.06
    differences, gains = arms.ours - arms.theirs, arms.theirs - arms.start
    assert (equivalence_p(differences, SHARE * gains) <= 0.05).any(-1).mean() > 0.2


def test_the_gate_is_two_t_tests_of_scipys_and_a_count():
    rng = np.random.default_rng(7)
    start = rng.normal(0.70, 0.01, size=(400, 6))
    arm = start + rng.normal(0.015, 0.012, size=(400, 6))
    collapsed = rng.integers(0, 4, size=400)
    versus_start = stats.ttest_rel(arm, start, axis=1)
    versus_constant = stats.ttest_1samp(arm, 0.705, axis=1)
    above = [(test.pvalue <= 0.05) & (test.statistic > 0) for test in (versus_start, versus_constant)]
    expected = above[0] & above[1] & (collapsed <= 1)
    assert 20 < expected.sum() < 300 and (above[0] != above[1]).any()
    found = has_signal(arm, start, np.full(400, 0.705), collapsed)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(has_signal(arm, None, 0.705), above[1])
    np.testing.assert_array_equal(has_signal(arm, start), above[0])


def test_an_arm_far_below_the_constant_has_no_signal():
    assert not has_signal(np.array([0.40, 0.41, 0.42]), None, 0.5)
    assert not has_signal(np.array([0.80, 0.81, 0.82]), np.array([0.90, 0.91, 0.93]), 0.5)


def verdict(mean=0.02, p=0.01, p_equivalence=0.5, theirs=True, ours=True):
    return str(decide([mean], [p], [p_equivalence], [theirs], [ours]).verdict[0])


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({}, "better"),
        ({"mean": -0.02}, "worse"),
        ({"p_equivalence": 0.05}, "better, smaller than the margin"),
        ({"mean": -0.02, "p_equivalence": 0.05}, "worse"),
        ({"p": 0.3, "p_equivalence": 0.05}, "equivalent"),
        ({"p": 0.3}, "inconclusive"),
        ({"theirs": False}, "no signal"),
        ({"theirs": False, "p": 0.3, "p_equivalence": 0.01}, "no signal"),
        ({"ours": False, "mean": -0.02}, "worse"),
        ({"ours": False, "p": 0.3, "p_equivalence": 0.01}, "inconclusive"),
        ({"p": np.nan, "p_equivalence": np.nan}, "inconclusive"),
        ({"p": np.nan, "p_equivalence": np.nan, "theirs": False}, "inconclusive"),
    ],
    ids=str,
)
def test_every_verdict_by_hand(case, expected):
    assert verdict(**case) == expected
    assert expected in ORDER


def test_claims_come_first_in_a_report():
    assert ORDER == (
        "better", "worse", "better, smaller than the margin", "equivalent", "inconclusive", "no signal",
    )  # fmt: skip


def test_gated_and_unmeasured_hypotheses_stay_in_the_family_with_p_1():
    """Dropping those that cannot show anything would make the evidence of the others look stronger."""
    p = [0.02, 0.001, np.nan, 0.04]
    signal = [True, False, True, True]
    decided = decide([0.1] * 4, p, [0.02, 0.001, np.nan, 0.03], signal, signal)
    np.testing.assert_allclose(decided.p_holm, holm([0.02, 1, 1, 0.04]))
    np.testing.assert_allclose(decided.p_equivalence_holm, holm([0.02, 1, 1, 0.03]))
    assert decided.p_holm[0] == pytest.approx(0.08)
    assert decided.verdict.tolist() == ["inconclusive", "no signal", "inconclusive", "inconclusive"]


def test_swapping_the_arms_swaps_better_and_worse():
    """Both have a signal; what is better by less than the margin is, seen from the other arm, worse."""
    rng = np.random.default_rng(8)
    differences = rng.normal(rng.normal(0, 0.01, size=(500, 1)), 0.004, size=(500, 6))
    swap = {"better": "worse", "better, smaller than the margin": "worse"}
    here, there = (
        decide(paired_t(d).mean, paired_t(d).p, equivalence_p(d, 0.01), True, True).verdict
        for d in (differences, -differences)
    )
    assert {"better", "worse", "equivalent", "inconclusive"} <= set(here)
    for one, other in zip(here, there, strict=True):
        assert swap.get(one) == other or swap.get(other) == one or (one == other and one not in (*swap, "worse"))
