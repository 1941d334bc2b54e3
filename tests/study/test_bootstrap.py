import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from maskwise.study.bootstrap import METRICS, multi_bootstrap

BY_SKLEARN = {"accuracy": accuracy_score, "f1": f1_score, "matthews_correlation": matthews_corrcoef}


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


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("num_classes", [2, 4])
def test_metrics_of_counts_are_sklearns(name, num_classes):
    if name == "f1" and num_classes > 2:
        return
    rng = np.random.default_rng(1)
    labels, answers = rng.integers(num_classes, size=(2, 300))
    counts = np.zeros((num_classes, num_classes))
    np.add.at(counts, (labels, answers), 1)
    assert METRICS[name](counts) == pytest.approx(BY_SKLEARN[name](labels, answers), abs=1e-12)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("name", METRICS)
def test_draws_are_those_of_a_plain_loop(name):
    """The same seeds and examples drawn one by one, each arm scored by sklearn on the drawn examples."""
    labels, ours, theirs = made_up(num_seeds=3, tuning_seeds=2, num_examples=40)
    found = multi_bootstrap(labels, ours, theirs, METRICS[name], seed=4, num_draws=25)
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


def test_a_large_difference_is_found_and_none_is_not():
    clear = multi_bootstrap(*made_up(num_seeds=8, ours=0.9, theirs=0.7), METRICS["accuracy"], num_draws=300)
    assert 0.1 < clear.low < clear.mean < clear.high < 0.3 and clear.p == 0
    none = multi_bootstrap(*made_up(num_seeds=8, seed=2), METRICS["accuracy"], num_draws=300)
    assert none.low < 0 < none.high and none.p > 0.05


def test_the_interval_answers_for_the_examples_too():
    """With one and the same seed five times, all that is left to vary are the examples."""
    labels, ours, theirs = made_up(num_seeds=1, num_examples=100, ours=0.9)
    repeated = multi_bootstrap(labels, *(np.repeat(arm, 5, 0) for arm in (ours, theirs)), METRICS["accuracy"])
    right = (ours[0, 0] == labels).astype(float) - (theirs[0, 0] == labels)
    error = right.std() / 10
    assert repeated.high - repeated.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_an_arm_against_itself_differs_by_nothing():
    labels, ours, _ = made_up()
    assert multi_bootstrap(labels, ours, ours, METRICS["f1"], num_draws=50)[:3] == (0, 0, 0)
