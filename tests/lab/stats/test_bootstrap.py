import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from maskwise.lab.stats.bootstrap import multi_bootstrap
from maskwise.lab.stats.items import CLASS_METRICS, TAG_METRICS, class_counts, macro_average_counts, total

BY_SKLEARN = {"accuracy": accuracy_score, "f1": f1_score, "matthews_correlation": matthews_corrcoef}


METRICS = {name: CLASS_METRICS[name] for name in BY_SKLEARN}


def bootstrapped(labels, ours, theirs, metric, **rules):
    """The multi-bootstrap of class numbers."""
    num_classes = 1 + max(labels.max(), ours.max(), theirs.max())
    arms = ([[class_counts(labels, one, num_classes) for one in of_seed] for of_seed in arm] for arm in (ours, theirs))
    return multi_bootstrap(*arms, metric, **rules)


def made_up(num_seeds=5, tuning_seeds=1, num_examples=200, ours=0.8, theirs=0.8, seed=0):
    """Predictions that are right with a probability that varies by seed."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=num_examples)
    arms = []
    for mean in (ours, theirs):
        rates = np.clip(rng.normal(mean, 0.02, size=(num_seeds, tuning_seeds, 1)), 0, 1)
        right = rng.random((num_seeds, tuning_seeds, num_examples)) < rates
        arms.append(np.where(right, labels, 1 - labels))
    return labels, *arms


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("name", METRICS)
def test_draws_are_those_of_a_plain_loop(name):
    """The same seeds and examples drawn one by one, each arm scored by sklearn on the drawn examples."""
    labels, ours, theirs = made_up(num_seeds=3, tuning_seeds=2, num_examples=40)
    found = bootstrapped(labels, ours, theirs, METRICS[name], seed=4, num_draws=25)
    rng = np.random.default_rng(4)
    weights = rng.multinomial(40, np.full(40, 1 / 40), size=25)
    seeds = rng.integers(3, size=(25, 3))
    means = []
    for weights_E, seeds_S in zip(weights, seeds, strict=True):
        drawn = np.repeat(np.arange(40), weights_E)
        arms = [
            np.mean([BY_SKLEARN[name](labels[drawn], arm[s, k][drawn]) for s in seeds_S for k in range(2)])
            for arm in (ours, theirs)
        ]
        means.append(arms[0] - arms[1])
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("sign", [1, -1], ids=["behind", "ahead"])
def test_the_mean_and_p_are_those_of_a_plain_loop(name, sign):
    """The mean is of the predictions as they are; p is twice the share of draws on the rarer side of 0."""
    labels, *arms = made_up(num_seeds=3, tuning_seeds=2, num_examples=40)
    arms = arms[::sign]
    found = bootstrapped(labels, *arms, METRICS[name], seed=4, num_draws=25)
    score = BY_SKLEARN[name]
    ours, theirs = ([score(labels, answers) for of_seed in arm for answers in of_seed] for arm in arms)
    assert len(ours) == len(theirs) == 6
    mean = sum(ours) / 6 - sum(theirs) / 6
    assert abs(mean) > 0.02
    assert found.mean == pytest.approx(mean, abs=1e-12)
    rng = np.random.default_rng(4)
    drawn = rng.multinomial(40, np.full(40, 1 / 40), size=25), rng.integers(3, size=(25, 3))
    num_up = num_down = 0
    for weights_E, seeds_S in zip(*drawn, strict=True):
        examples = [e for e, weight in enumerate(weights_E) for _ in range(weight)]
        difference = 0.0
        for side, arm in zip((1, -1), arms, strict=True):
            difference += side * sum(score(labels[examples], arm[s, k][examples]) for s in seeds_S for k in range(2))
        assert abs(difference) > 1e-6, "a draw without a difference would count on both sides"
        num_up += difference > 0
        num_down += difference < 0
    assert 0 < min(num_up, num_down) < max(num_up, num_down)
    assert found.p == pytest.approx(2 * min(num_up, num_down) / 25, abs=1e-12)


def test_p_counts_draws_without_a_difference_on_both_sides_and_is_at_most_1():
    """Ours is right once more in one example of ten: the draws without it, some 0.9^10, are all that is not above 0."""
    labels = np.zeros(10, dtype=int)
    ours, theirs = np.zeros((2, 1, 10), dtype=int), np.zeros((2, 1, 10), dtype=int)
    theirs[:, :, 3] = 1
    found = bootstrapped(labels, ours, theirs, METRICS["accuracy"], seed=1, num_draws=150)
    rng = np.random.default_rng(1)
    weights = []
    for size in (100, 50):  # draws are made a hundred at a time
        weights += rng.multinomial(10, np.full(10, 0.1), size=size).tolist()
        rng.integers(2, size=(size, 2))
    num_without = sum(weights_E[3] == 0 for weights_E in weights)
    assert 20 < num_without < 75
    assert found.mean == pytest.approx(0.1)
    assert found.p == pytest.approx(2 * num_without / 150, abs=1e-12)
    assert bootstrapped(labels, ours, ours, METRICS["accuracy"], num_draws=20).p == 1


def test_a_large_difference_is_found_and_none_is_not():
    clear = bootstrapped(*made_up(num_seeds=8, ours=0.9, theirs=0.7), METRICS["accuracy"], num_draws=300)
    assert 0.1 < clear.low < clear.mean < clear.high < 0.3 and clear.p == 0
    none = bootstrapped(*made_up(num_seeds=8, seed=2), METRICS["accuracy"], num_draws=300)
    assert none.low < 0 < none.high and none.p > 0.05


def test_the_interval_answers_for_the_examples_too():
    """With one and the same seed five times, all that is left to vary are the examples."""
    labels, ours, theirs = made_up(num_seeds=1, num_examples=100, ours=0.9)
    repeated = bootstrapped(labels, *(np.repeat(arm, 5, 0) for arm in (ours, theirs)), METRICS["accuracy"])
    right = (ours[0, 0] == labels).astype(float) - (theirs[0, 0] == labels)
    error = right.std() / 10
    assert repeated.high - repeated.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_an_arm_against_itself_differs_by_nothing():
    labels, ours, _ = made_up()
    assert bootstrapped(labels, ours, ours, METRICS["f1"], num_draws=50)[:3] == (0, 0, 0)


def test_sentences_are_drawn_with_all_of_their_words():
    """The unit is the sentence: the same draws by a plain loop over sentences of unequal length."""
    rng = np.random.default_rng(5)
    words = rng.integers(1, 9, size=30)
    arms = [[[np.stack([rng.binomial(words, share), words], 1)] for _ in range(3)] for share in (0.8, 0.6)]
    found = multi_bootstrap(*arms, TAG_METRICS["accuracy"], seed=2, num_draws=20)
    drawn = np.random.default_rng(2)
    weights = drawn.multinomial(30, np.full(30, 1 / 30), size=20)
    seeds = drawn.integers(3, size=(20, 3))
    means = []
    for weights_E, seeds_S in zip(weights, seeds, strict=True):
        sentences = np.repeat(np.arange(30), weights_E)
        scores = [[arm[s][0][sentences, 0].sum() / words[sentences].sum() for s in seeds_S] for arm in arms]
        means.append(np.mean(scores[0]) - np.mean(scores[1]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=1e-9)
    assert found.low > 0.05


def test_pairs_are_drawn_within_their_paradigms():
    """Two paradigms that are all right and all wrong leave nothing to draw; drawn across, they would."""
    paradigms = np.repeat([4, 9], [20, 60])
    right = (paradigms == 4).astype(float)
    ours = [[macro_average_counts(right, paradigms)]] * 2
    theirs = [[macro_average_counts(np.zeros(80), paradigms)]] * 2
    found = multi_bootstrap(ours, theirs, total, strata_E=paradigms, num_draws=50)
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    mixed = [[macro_average_counts(np.resize([1.0, 0.0], 80), paradigms)]] * 2
    spread = multi_bootstrap(mixed, theirs, total, strata_E=paradigms, num_draws=1000)
    error = (0.25 / 20 + 0.25 / 60) ** 0.5 / 2
    assert spread.high - spread.low == pytest.approx(2 * 1.96 * error, rel=0.1)
