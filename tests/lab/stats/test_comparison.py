"""One comparison outside of a study: the figures are scipy's, the seeds must agree, and the words say its limits."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from maskwise.errors import InputError
from maskwise.lab.stats.comparison import ALONE, NO_REFERENCE, compare
from maskwise.lab.stats.gain import share_of_gain
from maskwise.lab.stats.sign_flip import sign_flip_p

RNG = np.random.default_rng(0)
START = RNG.normal(0.60, 0.01, size=8)
THEIRS = START + RNG.normal(0.1, 0.01, size=8)
OURS = THEIRS + RNG.normal(0.03, 0.01, size=8)


def by_seed(values):
    return dict(enumerate(values))


def test_the_figures_are_those_of_the_tests():
    found = compare(by_seed(OURS), by_seed(THEIRS), 0.02)
    expected = stats.ttest_rel(OURS, THEIRS)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(interval))
    assert (found.n, found.p) == (8, pytest.approx(expected.pvalue))
    assert found.difference == pytest.approx((OURS - THEIRS).mean())
    assert found.p_exact == sign_flip_p(OURS - THEIRS)
    below = stats.ttest_1samp(OURS - THEIRS, 0.02, alternative="less").pvalue
    above = stats.ttest_1samp(OURS - THEIRS, -0.02, alternative="greater").pvalue
    assert found.p_equivalence == pytest.approx(max(below, above))
    assert found.verdict == "better"
    assert found.differences[3] == OURS[3] - THEIRS[3]


def test_seeds_are_matched_by_name_and_lists_by_place():
    shuffled = {seed: OURS[seed] for seed in (5, 0, 7, 1, 3, 2, 4, 6)}
    assert compare(shuffled, by_seed(THEIRS)).p == pytest.approx(compare(list(OURS), THEIRS).p)
    series = compare(pd.Series(OURS, index=list("hgfedcba")), pd.Series(THEIRS[::-1], index=list("abcdefgh")))
    assert series.p == pytest.approx(compare(OURS, THEIRS).p)
    assert set(series.differences) == set("abcdefgh")


def test_a_model_without_pretraining_brings_the_gate_and_the_share():
    found = compare(OURS, THEIRS, "5%", not_pretrained=START, constant=0.5)
    assert (found.verdict, str(found.margin)) == ("better", "5% of the gain")
    share = share_of_gain(OURS - THEIRS, THEIRS - START)
    assert (found.share.low, found.share.high) == (share.low, share.high)
    assert "share of pretraining's gain: +3" in repr(found) and NO_REFERENCE not in repr(found)
    assert compare(OURS, THEIRS, not_pretrained=THEIRS[::-1]).verdict == "no signal"
    assert compare(OURS, THEIRS, constant=0.8).verdict == "no signal"
    assert NO_REFERENCE in repr(compare(OURS, THEIRS))


@pytest.mark.parametrize(
    ("ours", "margin", "expected"),
    [
        (THEIRS + 0.0002 * np.resize([1, -1], 8), 0.01, "equivalent"),
        (THEIRS + 0.0002 * np.resize([1, -1], 8), "5%", "equivalent"),
        (THEIRS + 0.0002 * np.resize([1, -1], 8), None, "inconclusive"),
        (THEIRS + 0.002 + 0.0002 * np.resize([1, -1], 8), "5%", "better, smaller than the margin"),
        (THEIRS - 0.03 + 0.0002 * np.resize([1, -1], 8), "5%", "worse"),
    ],
)
def test_verdicts_of_known_effects(ours, margin, expected):
    assert compare(ours, THEIRS, margin, not_pretrained=START).verdict == expected


def test_it_says_that_holm_is_the_callers():
    found = compare(OURS, THEIRS, 0.01)
    assert repr(found).endswith(ALONE) and ALONE in found._repr_html_()
    assert "Holm" in ALONE and "holm" in compare.__doc__


def test_a_notebook_gets_a_table():
    page = compare({"<a>": 1.0, "b": 2.0}, {"<a>": 0.5, "b": 1.7}, 0.1)._repr_html_()
    assert page.count("<tr>") == 4 and "it cannot be below 0.5" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"theirs": [0.1, 0.2]}, "ours has 8 seeds and theirs 2; not in both: 2 only in ours"),
        ({"theirs": {seed + 1: 0.5 for seed in range(8)}}, "0 only in ours, 8 only in theirs"),
        ({"not_pretrained": [0.1, 0.2]}, "theirs has 8 seeds and not_pretrained 2"),
        ({"ours": [0.5]}, "give at least 2"),
        ({"ours": []}, "give at least 2"),
        ({"ours": 0.5}, "ours has to be scores by seed"),
        ({"ours": "0.5"}, "ours has to be scores by seed"),
        ({"ours": [0.5, float("nan")]}, "ours has nan at seed 1"),
        ({"ours": [0.5, None]}, "ours has None at seed 1"),
        ({"ours": [0.5, True]}, "ours has True at seed 1"),
        ({"ours": np.ones((8, 2))}, "A score is one finite number for each seed"),
        ({"margin": 0}, "above 0"),
        ({"margin": -1.0}, "above 0"),
        ({"margin": "0%"}, "above 0"),
        ({"margin": "a little"}, "A margin is a number"),
        ({"margin": float("nan")}, "A margin is a number"),
        ({"margin": True}, "A margin is a number"),
        ({"margin": "5%"}, "takes not_pretrained"),
        ({"alpha": 5}, "between 0 and 1"),
        ({"constant": float("nan")}, "constant is the score"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_refused_in_words(arguments, said):
    with pytest.raises(InputError) as refused:
        compare(**{"ours": by_seed(OURS), "theirs": by_seed(THEIRS)} | arguments)
    assert said in str(refused.value)
