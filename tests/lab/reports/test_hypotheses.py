"""From rows to verdicts: the family is the declared one, and each figure is what scipy says of the same numbers."""

import math

import numpy as np
import pytest
from scipy import stats

from maskwise.lab.reports.hypotheses import compare, scores_by_seed
from maskwise.lab.study.jobs_of_a_study import Place
from maskwise.lab.study.study_file import check_study
from maskwise.lab.tuning.results import write_predictions

SEEDS, TUNING = range(6), range(2)


@pytest.fixture
def study():
    return check_study(
        {
            "seeds": list(SEEDS), "tuning_seeds": list(TUNING), "tasks": ["mrpc", "held_out"],
            "pretrain": {"data": {"path": "d"}}, "backbones": [{"name": "tiny", "preset": "tiny"}],
            "arms": [{"name": "random"}, {"name": "bert"}, {"name": "span"}],
            "statistics": {
                "family": [["bert", "random"], ["span", "random"]], "margin": 0.01, "metrics": {"mrpc": "f1"},
            },
        }
    )  # fmt: skip


def rows_of(study, gains, sd=0.002):
    """F1 and held-out losses whose differences are the gains; the luck of a seed and of tuning is shared or not."""
    rng = np.random.default_rng(0)
    luck, rows = rng.normal(0, 0.05, size=len(SEEDS)), []
    for arm, gain in gains.items():
        for seed in SEEDS:
            own = {"arm": arm, "backbone": "tiny", "seed": seed, "one_class": False}
            value = 0.8 + luck[seed] + gain + rng.normal(0, sd)
            rows += [own | {"task": "mrpc", "metric": "f1", "value": value + 0.01 * (2 * k - 1)} for k in TUNING]
            rows += [own | {"task": "mrpc", "metric": "accuracy", "value": 0.5}]
            rows += [own | {"task": "held_out", "metric": "loss", "value": 3 - luck[seed] - gain + rng.normal(0, sd)}]
    return rows


def test_verdicts_of_known_effects(study):
    family = compare(rows_of(study, {"random": 0.0, "bert": 0.05, "span": 0.0}), study)
    assert [(c.ours, c.theirs, c.task, c.metric) for c in family] == [
        ("bert", "random", "mrpc", "f1"), ("bert", "random", "held_out", "loss"),
        ("span", "random", "mrpc", "f1"), ("span", "random", "held_out", "loss"),
    ]  # fmt: skip
    assert [c.verdict for c in family] == ["better", "better", "equivalent", "equivalent"]


def test_a_lower_loss_is_better_and_a_higher_one_worse(study):
    family = compare(rows_of(study, {"random": 0.0, "bert": -0.05, "span": 0.05}), study)
    assert [c.verdict for c in family] == ["worse", "worse", "better", "better"]
    assert all((c.mean > 0) == (c.verdict == "better") for c in family)


def test_figures_are_those_of_the_seeds_means(study):
    rows = rows_of(study, {"random": 0.0, "bert": 0.003, "span": 0.0}, sd=0.01)
    first = compare(rows, study)[0]
    by_arm = {
        arm: [
            np.mean([r["value"] for r in rows if (r["arm"], r["metric"], r["seed"]) == (arm, "f1", seed)])
            for seed in SEEDS
        ]
        for arm in ("bert", "random")
    }
    expected = stats.ttest_rel(by_arm["bert"], by_arm["random"])
    assert first.p == pytest.approx(expected.pvalue)
    assert (first.low, first.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert first.differences == pytest.approx(dict(zip(SEEDS, np.subtract(*by_arm.values()), strict=True)))
    assert first.p <= first.p_holm <= 4 * first.p + 1e-12
    assert first.verdict == "inconclusive"


def test_what_is_not_measured_is_inconclusive_and_still_counts(study):
    """Dropping a failed arm from the family would make the others' evidence look stronger."""
    rows = [row for row in rows_of(study, {"random": 0.0, "bert": 0.003, "span": 0.0}) if row["arm"] != "span"]
    family = compare(rows, study)
    assert [c.verdict for c in family[2:]] == ["inconclusive"] * 2
    assert math.isnan(family[2].p) and family[2].differences == {}
    smaller = min(family[:2], key=lambda c: c.p)
    assert smaller.p_holm == pytest.approx(4 * smaller.p)


def test_seeds_that_only_one_arm_has_are_left_out(study):
    rows = rows_of(study, {"random": 0.0, "bert": 0.05, "span": 0.0})
    rows = [row for row in rows if not (row["arm"] == "bert" and row["seed"] in (1, 4))]
    assert list(compare(rows, study)[0].differences) == [0, 2, 3, 5]


def test_only_the_declared_metric_is_looked_at(study):
    scores = scores_by_seed(rows_of(study, {"random": 0.0}), study)
    assert scores["random", "tiny", "mrpc"][0] != 0.5 and scores["random", "tiny", "held_out"][0] < 0


def test_the_bootstrap_reads_the_stored_predictions(study, tmp_path):
    rng, labels = np.random.default_rng(1), np.arange(40) % 2
    for arm, right in (("random", 0.6), ("bert", 0.9), ("span", 0.6)):
        for seed in SEEDS:
            for k in TUNING:
                place = next(a for a in study.arms if a.name == arm)
                folder = Place(place, study.backbones[0], seed).root(tmp_path) / "mrpc" / "mrpc" / f"seed-{k}"
                folder.mkdir(parents=True)
                answers = np.where(rng.random(40) < right, labels, 1 - labels)
                columns = {"split": ["validation"] * 40, "index": range(40), "label": labels, "prediction": answers}
                write_predictions(folder / "predictions.parquet", columns)
    rows = rows_of(study, {"random": 0.0, "bert": 0.05, "span": 0.0})
    better, held_out, none, _ = compare(rows, study, tmp_path)
    assert better.bootstrap is not None and 0.1 < better.bootstrap.low < better.bootstrap.high
    assert held_out.bootstrap is None
    assert none.bootstrap is not None and none.bootstrap.low < 0 < none.bootstrap.high
