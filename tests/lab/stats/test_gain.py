"""Fieller's set is what inverting scipy's t test share by share gives, and it covers what it says."""

import math

import numpy as np
import pytest
from scipy import stats

from maskwise.lab.stats.gain import share_in_words, share_of_gain

NUM_STUDIES = 20_000


def simulated(gain, share, num_seeds, seed=0):
    """Differences and gains as a study has them: the reference's own luck is in both, with opposite signs."""
    rng = np.random.default_rng(seed)
    reference, start, ours = rng.normal(0, math.sqrt(0.5), size=(3, NUM_STUDIES, num_seeds))
    gains = gain + reference - start  # of sd 1
    return share * gain + 0.6 * (ours - reference), gains


def delta_method_covers(differences, gains, share):
    """The textbook interval around the ratio, its error propagated as if the gain were far from 0."""
    ratio = differences.mean(1) / gains.mean(1)
    left = differences - ratio[:, None] * gains
    num_seeds = gains.shape[1]
    error = left.std(1, ddof=1) / math.sqrt(num_seeds) / np.abs(gains.mean(1))
    return np.abs(ratio - share) <= stats.t.ppf(0.975, num_seeds - 1) * error


@pytest.mark.parametrize("share", [-3.0, -0.2, 0.0, 0.09, 0.1, 0.5, 40.0])
@pytest.mark.parametrize("gain", [0.0, 1.0, 3.0])
def test_the_set_holds_the_shares_that_scipys_t_test_does_not_reject(share, gain):
    differences, gains = (array[:500] for array in simulated(gain, 0.1, 6))
    kept = stats.ttest_1samp(differences - share * gains, 0, axis=1).pvalue > 0.05
    found = share_of_gain(differences, gains)
    np.testing.assert_array_equal(found.contains(share), kept)
    if 0 < gain < 3:
        assert 0 < found.is_bounded.sum() < 500


def test_it_is_bounded_exactly_if_the_gain_passes_its_test():
    differences, gains = simulated(1.0, 0.1, 5)
    found = share_of_gain(differences, gains)
    np.testing.assert_array_equal(found.is_bounded, stats.ttest_1samp(gains, 0, axis=1).pvalue < 0.05)
    assert 0.2 < found.is_bounded.mean() < 0.8
    inside = found.low[found.is_bounded] < found.ratio[found.is_bounded]
    assert inside.all() and (found.ratio < found.high)[found.is_bounded].all()


@pytest.mark.parametrize("num_seeds", [8, 10])
@pytest.mark.parametrize("gain", [1.0, 0.7])
def test_fiellers_set_covers_95_percent_and_the_delta_method_does_not(gain, num_seeds):
    differences, gains = simulated(gain, 0.3, num_seeds)
    covered = share_of_gain(differences, gains).contains(0.3).mean()
    assert 0.94 <= covered <= 0.96
    if num_seeds == 8:
        assert delta_method_covers(differences, gains, 0.3).mean() < 0.94


def test_a_gain_without_spread_gives_the_t_interval_divided_by_it():
    differences = np.array([0.01, 0.04, 0.02, 0.03])
    found = share_of_gain(differences, np.full(4, 0.5))
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low / 0.5, interval.high / 0.5))
    assert found.is_bounded


def test_without_any_gain_every_share_is_possible():
    found = share_of_gain([0.01, 0.02, -0.01], np.zeros(3))
    assert not found.is_bounded and (found.low, found.high) == (-math.inf, math.inf)
    assert share_of_gain(np.zeros(3), [0.2, 0.3, 0.1]).ratio == 0


def test_the_words_give_an_interval_only_for_a_gain_that_is_shown():
    strong, weak = [0.2, 0.25, 0.22], [0.2, -0.25, 0.1]
    assert share_in_words(share_of_gain([0.02, 0.02, 0.03], strong)).startswith("+10% (")
    assert share_in_words(share_of_gain([0.02, 0.02, 0.03], weak)) == "unbounded: the gain itself is not shown"
    lost = share_of_gain([0.02, 0.02, 0.03], [-gain for gain in strong])
    assert share_in_words(lost) == "none: pretraining lowered the score"
