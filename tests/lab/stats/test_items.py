"""Items: metrics by other libraries, and an interval over seeds and items that covers what percentiles do not."""

import numpy as np
import pytest
from scipy import stats
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.scheme import IOB2
from sklearn import metrics as sk

from maskwise.lab.stats.items import (
    CLASS_METRICS,
    class_counts,
    entity_f1,
    interval_over_items,
    macro_average_counts,
    pseudo_values,
    share_right,
    total,
)
from maskwise.lab.tuning.iob import entities

BY_SKLEARN = {
    "accuracy": sk.accuracy_score,
    "f1": sk.f1_score,
    "matthews_correlation": sk.matthews_corrcoef,
    "macro_f1": lambda labels, answers: sk.f1_score(labels, answers, average="macro", zero_division=0),
}


def variance_components(table_SE):
    """The standard error by a two-way analysis of variance without replication, its mean squares by plain loops."""
    num_seeds, num_items = table_SE.shape
    grand = table_SE.mean()
    seeds, items = table_SE.mean(1), table_SE.mean(0)
    seed_square = num_items * sum((one - grand) ** 2 for one in seeds) / (num_seeds - 1)
    item_square = num_seeds * sum((one - grand) ** 2 for one in items) / (num_items - 1)
    both = sum((table_SE[s, e] - seeds[s] - items[e] + grand) ** 2 for s in range(num_seeds) for e in range(num_items))
    both_square = both / (num_seeds - 1) / (num_items - 1)
    return (seed_square + item_square - both_square) / (num_seeds * num_items)


@pytest.mark.parametrize("name", CLASS_METRICS)
@pytest.mark.parametrize("num_classes", [2, 4])
def test_metrics_of_counts_are_sklearns(name, num_classes):
    if name == "f1" and num_classes > 2:
        return
    rng = np.random.default_rng(1)
    labels, answers = rng.integers(num_classes, size=(2, 300))
    counts = class_counts(labels, answers, num_classes).sum(0)
    assert CLASS_METRICS[name](counts) == pytest.approx(BY_SKLEARN[name](labels, answers), abs=1e-12)


def test_macro_f1_leaves_out_classes_that_neither_occur_nor_are_predicted():
    labels, answers = np.array([0, 1, 3, 3]), np.array([0, 3, 3, 1])
    expected = BY_SKLEARN["macro_f1"](labels, answers)
    assert CLASS_METRICS["macro_f1"](class_counts(labels, answers, 6).sum(0)) == pytest.approx(expected)


def test_entity_f1_of_counts_is_seqevals():
    rng = np.random.default_rng(2)
    labels, answers = (
        [[["O", "B-X", "I-X", "B-Y"][i] for i in row] for row in rng.integers(4, size=(60, 9))] for _ in range(2)
    )
    counts = [
        (len(set(entities(said)) & set(entities(there))), len(entities(said)), len(entities(there)))
        for said, there in zip(answers, labels, strict=True)
    ]
    expected = seqeval_f1(labels, answers, mode="strict", scheme=IOB2)
    assert entity_f1(np.array(counts).sum(0)) == pytest.approx(expected)
    assert 0.05 < expected < 0.95


def test_macro_average_counts_sum_to_the_mean_of_the_paradigms_means():
    values, paradigms = np.array([1, 0, 0.5, 1, 1, 0.0]), np.array([7, 7, 7, 2, 2, 9])
    expected = np.mean([values[paradigms == paradigm].mean() for paradigm in (7, 2, 9)])
    assert total(macro_average_counts(values, paradigms).sum(0)) == pytest.approx(expected)


@pytest.mark.parametrize("name", CLASS_METRICS)
def test_pseudo_values_are_leaving_out_one_example_at_a_time(name):
    rng = np.random.default_rng(3)
    labels = rng.integers(2, size=40)
    answers = np.where(rng.random(40) < 0.7, labels, 1 - labels)
    score = BY_SKLEARN[name]
    expected = [
        40 * score(labels, answers) - 39 * score(np.delete(labels, e), np.delete(answers, e)) for e in range(40)
    ]
    found = pseudo_values(class_counts(labels, answers, 2), CLASS_METRICS[name])
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_pseudo_values_of_a_mean_are_the_items_own_values():
    right = np.array([1, 0, 1, 1])
    np.testing.assert_allclose(pseudo_values(np.stack([right, np.ones(4)], 1), share_right), right)


def test_the_standard_error_is_that_of_a_two_way_analysis_of_variance():
    rng = np.random.default_rng(4)
    table = rng.normal(size=(5, 1)) + 3 * rng.normal(size=(1, 30)) + rng.normal(size=(5, 30))
    found = interval_over_items(table, alpha=0.1)
    half = stats.t.ppf(0.95, 4) * variance_components(table) ** 0.5
    assert (found.mean, found.low, found.high) == pytest.approx(
        (table.mean(), table.mean() - half, table.mean() + half)
    )


def test_items_of_which_no_seed_knows_more_leave_the_t_interval_over_seeds():
    """Where each item differs by the same, items add nothing; where each seed does, all the error is theirs."""
    seeds = np.array([0.1, 0.3, 0.2, 0.05])
    by_seed = interval_over_items(np.repeat(seeds[:, None], 50, 1))
    expected = stats.ttest_1samp(seeds, 0).confidence_interval(0.95)
    assert (by_seed.low, by_seed.high) == pytest.approx((expected.low, expected.high))
    items = np.random.default_rng(5).normal(size=50)
    by_item = interval_over_items(np.repeat(items[None], 4, 0))
    assert by_item.high - by_item.mean == pytest.approx(stats.t.ppf(0.975, 3) * items.std(ddof=1) / 50**0.5)
    assert by_item.seed_error == pytest.approx(0)


def test_an_interval_is_never_shorter_than_that_of_seeds_or_items_alone():
    """By chance the residual can exceed both; the formula alone would then give an interval of no width."""
    table = np.array([[0.1, 0.3, 0.1, 0.3], [0.3, 0.1, 0.3, 0.1]]) + np.array([[0.0], [0.01]])
    assert variance_components(table) < 0
    found = interval_over_items(table)
    expected = stats.ttest_1samp(table.mean(1), 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_items_vary_within_their_strata():
    """Two paradigms with constant differences, one easy and one hard, leave no error of items."""
    strata = np.repeat([0, 1], [10, 30])
    table = np.repeat([[0.0, 1.0]], 3, 0)[:, strata]
    found = interval_over_items(table, strata_E=strata)
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert interval_over_items(table).item_error > 0.05
    noisy = table + np.random.default_rng(6).normal(size=(1, 40))
    errors = [noisy[0, strata == p].var(ddof=1) / (strata == p).sum() for p in (0, 1)]
    assert interval_over_items(noisy, strata_E=strata).item_error == pytest.approx((sum(errors) / 4) ** 0.5)


def test_the_mean_shown_may_be_another_than_that_of_the_pseudo_values():
    table = np.random.default_rng(7).normal(size=(4, 20))
    plain, moved = interval_over_items(table), interval_over_items(table, mean=0.5)
    assert moved.mean == 0.5
    assert moved.high - moved.mean == pytest.approx(plain.high - plain.mean)


@pytest.mark.parametrize(
    ("seed_sd", "item_sd", "both_sd", "falls_short"),
    [(0.1, 0.1, 0.1, "percentiles"), (0.01, 0.3, 0.3, "seeds alone"), (0.0, 0.5, 0.3, "seeds alone")],
)
def test_it_covers_95_percent_where_others_do_not(seed_sd, item_sd, both_sd, falls_short):
    """Seeds and items are drawn anew each time, around a difference of 0.1.

    Percentiles of five seeds are too short; an interval over seeds alone takes the items for granted.
    """
    rng = np.random.default_rng(8)
    num_tables, num_seeds, num_items, num_draws = 1000, 5, 60, 200
    covered = by_percentiles = by_seeds = 0
    for _ in range(num_tables):
        table = 0.1 + seed_sd * rng.normal(size=(num_seeds, 1)) + item_sd * rng.normal(size=(1, num_items))
        table += both_sd * rng.normal(size=table.shape)
        found = interval_over_items(table)
        covered += found.low <= 0.1 <= found.high
        seeds = np.eye(num_seeds)[rng.integers(num_seeds, size=(num_draws, num_seeds))].mean(1)
        items = rng.multinomial(num_items, np.full(num_items, 1 / num_items), size=num_draws) / num_items
        low, high = np.quantile(((seeds @ table) * items).sum(1), [0.025, 0.975])
        by_percentiles += low <= 0.1 <= high
        t = stats.t.ppf(0.975, num_seeds - 1) * table.mean(1).std(ddof=1) / num_seeds**0.5
        by_seeds += abs(table.mean() - 0.1) <= t
    assert covered / num_tables >= 0.94
    other = {"percentiles": by_percentiles, "seeds alone": by_seeds}[falls_short]
    assert other / num_tables < 0.9
