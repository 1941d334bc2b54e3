"""From rows to verdicts: the family is the declared one, and each figure is what scipy says of the same numbers."""

import math

import numpy as np
import pytest
from scipy import stats

from maskwise.lab.config import merge
from maskwise.lab.records.record import RunKey, RunRecord, write_record
from maskwise.lab.reports.hypotheses import NO_VERDICT, judge
from maskwise.lab.reports.predictions import stored_items
from maskwise.lab.stats.gain import share_of_gain
from maskwise.lab.stats.paired import holm
from maskwise.lab.study.layout import Layout
from maskwise.lab.study.study_file import check_study
from maskwise.lab.tuning.results import write_predictions

SEEDS, TUNING = range(6), range(2)
TREE = {
    "seeds": list(SEEDS), "tuning_seeds": list(TUNING), "tasks": ["mrpc", "rte", "held_out"],
    "pretrain": {"data": {"path": "d"}}, "backbones": [{"name": "tiny", "preset": "tiny"}],
    "arms": [{"name": "random"}, {"name": "bert"}, {"name": "span"}],
    "statistics": {"family": [["bert", "random"], ["span", "random"]], "margin": 0.01, "metrics": {"mrpc": "f1"}},
}  # fmt: skip
START = 0.65  # the score without pretraining
CONSTANT = 0.6


@pytest.fixture
def study():
    return check_study(TREE)


@pytest.fixture
def gain_study():
    return check_study(merge(TREE, {"statistics": {"margin": "5%", "gain_of": "random"}}))


def rows_of(gains, sd=0.002, start=None, task_gains=(0.0, 0.0)):
    """Scores whose differences are the gains, the luck of a seed and of tuning being shared or not."""
    rng = np.random.default_rng(0)
    luck, rows = rng.normal(0, 0.01, size=len(SEEDS)), []
    arms = gains | ({} if start is None else {"not-pretrained": start - 0.8})
    for arm, gain in arms.items():
        for seed in SEEDS:
            own = {"arm": arm, "backbone": "tiny", "seed": seed, "one_class": False, "adapted_to": None}
            for (task, metric), more in zip((("mrpc", "f1"), ("rte", "accuracy")), task_gains, strict=True):
                value = 0.8 + luck[seed] + gain + more + rng.normal(0, sd)
                rows += [
                    own | {"task": task, "metric": metric, "value": value + 0.001 * (2 * k - 1), "tuning_seed": k,
                           "constant": CONSTANT, "word_list": None, "bm25": None}
                    for k in TUNING
                ]  # fmt: skip
                rows += [rows[-1] | {"metric": "other", "value": 0.5}]
            if arm != "not-pretrained":
                loss = 3 - luck[seed] - gain + rng.normal(0, sd)
                rows += [own | {"task": "held_out", "metric": "loss", "value": loss, "constant": None}]
    return rows


def changed(rows, arm, task, **columns):
    return [row | columns if (row["arm"], row["task"]) == (arm, task) else row for row in rows]


def verdicts(rows, study):
    return {(one.ours, one.task): one.verdict for one in judge(rows, study)}


def test_verdicts_of_known_effects(study):
    family = judge(rows_of({"random": 0.0, "bert": 0.05, "span": 0.0}, sd=0.001), study)
    assert [(one.ours, one.theirs, one.task, one.metric) for one in family] == [
        ("bert", "random", "mrpc", "f1"), ("bert", "random", "rte", "accuracy"), ("span", "random", "mrpc", "f1"),
        ("span", "random", "rte", "accuracy"), ("bert", "random", "held_out", "loss"),
        ("span", "random", "held_out", "loss"),
    ]  # fmt: skip
    assert [one.verdict for one in family] == ["better", "better", "equivalent", "equivalent", NO_VERDICT, NO_VERDICT]


def test_a_lower_score_is_worse_and_a_lower_loss_a_positive_difference_without_a_verdict(study):
    family = judge(rows_of({"random": 0.0, "bert": -0.05, "span": 0.05}), study)
    assert [one.verdict for one in family] == ["worse", "worse", "better", "better", NO_VERDICT, NO_VERDICT]
    losses = {one.ours: one for one in family if one.task == "held_out"}
    assert losses["bert"].mean < 0 < losses["span"].mean
    assert losses["span"].p < 0.05 and math.isnan(losses["span"].p_holm)


def test_the_held_out_loss_is_not_in_the_family(study):
    """A loss that always differs would take the first step of Holm's procedure for itself."""
    rows = rows_of({"random": 0.0, "bert": 0.003, "span": 0.001}, sd=0.01)
    tasks = [one for one in judge(rows, study) if one.task != "held_out"]
    np.testing.assert_allclose([one.p_holm for one in tasks], holm([one.p for one in tasks]))
    assert {one.num_hypotheses for one in tasks} == {4}


def test_figures_are_those_of_the_seeds_means(study):
    rows = rows_of({"random": 0.0, "bert": 0.003, "span": 0.0}, sd=0.01)
    first = judge(rows, study)[0]
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
    assert first.verdict == "inconclusive"


def test_both_families_are_adjusted_by_holm(study):
    family = judge(rows_of({"random": 0.0, "bert": 0.002, "span": 0.0}, sd=0.006), study)[:4]
    for name in ("p", "p_equivalence", "p_exact"):
        raw = [getattr(one, name) for one in family]
        np.testing.assert_allclose([getattr(one, f"{name}_holm") for one in family], holm(raw))


def test_what_is_not_measured_is_inconclusive_and_still_counts(study):
    """Dropping a failed arm from the family would make the others' evidence look stronger."""
    rows = [row for row in rows_of({"random": 0.0, "bert": 0.003, "span": 0.0}) if row["arm"] != "span"]
    family = judge(rows, study)
    assert [one.verdict for one in family[2:4]] == ["inconclusive"] * 2
    assert math.isnan(family[2].p) and family[2].differences == {}
    smaller = min(family[:2], key=lambda one: one.p)
    assert smaller.p_holm == pytest.approx(4 * smaller.p)


def test_seeds_that_only_one_arm_has_are_left_out(study):
    rows = rows_of({"random": 0.0, "bert": 0.05, "span": 0.0})
    rows = [row for row in rows if not (row["arm"] == "bert" and row["seed"] in (1, 4))]
    assert list(judge(rows, study)[0].differences) == [0, 2, 3, 5]


def test_a_baseline_at_the_constant_answer_has_no_signal(study):
    rows = rows_of({"random": 0.0, "bert": 0.05, "span": 0.0})
    at_constant = changed(rows, "random", "mrpc", constant=0.81)
    family = judge(at_constant, study)
    assert [one.verdict for one in family[:4]] == ["no signal", "better", "no signal", "equivalent"]
    assert family[0].p < 1e-4 and family[0].p_holm == 1.0
    assert family[1].p_holm == pytest.approx(holm([1, family[1].p, 1, family[3].p])[1])


@pytest.mark.parametrize(("number", "verdict"), [(1, "better"), (2, "no signal")])
def test_of_the_baselines_runs_one_may_have_collapsed(study, number, verdict):
    rows = rows_of({"random": 0.0, "bert": 0.05, "span": 0.0})
    places = [i for i, row in enumerate(rows) if (row["arm"], row["task"], row["metric"]) == ("random", "mrpc", "f1")]
    for i in places[:number]:
        rows[i] = rows[i] | {"one_class": True}
    assert verdicts(rows, study)["bert", "mrpc"] == verdict


def test_the_model_without_pretraining_is_the_other_half_of_the_gate(gain_study):
    gains = {"random": 0.0, "bert": 0.05, "span": 0.0}
    assert verdicts(rows_of(gains, start=START), gain_study)["bert", "mrpc"] == "better"
    assert verdicts(rows_of(gains, start=0.8), gain_study)["bert", "mrpc"] == "no signal"
    assert verdicts(rows_of(gains, start=0.9), gain_study)["bert", "mrpc"] == "no signal"


def test_an_arm_below_the_model_without_pretraining_is_worse_and_not_without_signal(gain_study):
    family = judge(rows_of({"random": 0.0, "bert": -0.3, "span": 0.0}, start=START), gain_study)
    assert family[0].verdict == "worse"
    assert family[0].has_signal == {"bert": False, "random": True}


def test_a_backbone_that_is_continued_is_no_bar(gain_study):
    """Adapting may well leave a model as good as it was; the constant answer alone is the gate then."""
    tree = merge(TREE, {"statistics": {"margin": "5%", "gain_of": "random"}})
    adapting = check_study(tree | {"backbones": [{"name": "tiny", "checkpoint": "runs/tiny"}]})
    rows = rows_of({"random": 0.0, "bert": 0.05, "span": 0.0}, start=0.8)
    assert verdicts(rows, adapting)["bert", "mrpc"] == "better"
    assert verdicts(rows, gain_study)["bert", "mrpc"] == "no signal"
    assert judge(rows, adapting)[0].share is not None


def test_the_share_of_the_gain_is_fiellers_of_the_reference_arm(gain_study):
    rows = rows_of({"random": 0.0, "bert": 0.03, "span": 0.0}, start=START)
    first = judge(rows, gain_study)[0]

    def scores(arm):
        found = [row for row in rows if (row["arm"], row["task"], row["metric"]) == (arm, "mrpc", "f1")]
        return np.array([np.mean([row["value"] for row in found if row["seed"] == seed]) for seed in SEEDS])

    gains = scores("random") - scores("not-pretrained")
    share = share_of_gain(scores("bert") - scores("random"), gains)
    edges = [float(edge) for found in (first.share, share) for edge in (found.low, found.high)]
    assert edges[:2] == pytest.approx(edges[2:])
    below = stats.ttest_1samp(scores("bert") - scores("random") - 0.05 * gains, 0, alternative="less").pvalue
    above = stats.ttest_1samp(scores("bert") - scores("random") + 0.05 * gains, 0, alternative="greater").pvalue
    assert first.p_equivalence == pytest.approx(max(below, above))


def test_the_yardstick_is_the_same_arm_in_every_comparison(gain_study):
    tree = merge(TREE, {"statistics": {"family": [["span", "bert"]], "margin": "5%", "gain_of": "random"}})
    rows = rows_of({"random": 0.0, "bert": 0.05, "span": 0.06}, start=START)
    (first, *_) = judge(rows, check_study(tree))
    assert float(first.share.gain) == pytest.approx(0.15, abs=0.005)


def test_small_and_equivalent_arms_against_a_share_of_the_gain(gain_study):
    found = verdicts(rows_of({"random": 0.0, "bert": 0.004, "span": 0.0}, sd=0.0007, start=START), gain_study)
    assert found["bert", "mrpc"] == "better, smaller than the margin"
    assert found["span", "mrpc"] == "equivalent"


def test_before_two_models_without_pretraining_are_done_nothing_is_decided(gain_study):
    rows = rows_of({"random": 0.0, "bert": 0.05, "span": 0.0}, start=START)
    rows = [row for row in rows if row["arm"] != "not-pretrained" or row["seed"] == 0]
    family = judge(rows, gain_study)
    assert {one.verdict for one in family[:4]} == {"inconclusive"}
    assert all(one.awaits_reference and one.p_holm == 1 for one in family[:4])


def items_in(study, out):
    return lambda one: stored_items(study, out, one.ours, one.theirs, one.backbone, one.task, one.differences)


@pytest.fixture
def predicted(study, tmp_path):
    """Predictions on MRPC, and rows that have their scores."""
    rng, labels = np.random.default_rng(1), np.arange(40) % 2
    rows = rows_of({"random": 0.0, "bert": 0.05, "span": 0.0})
    scores = {}
    for arm, right in (("random", 0.6), ("bert", 0.9), ("span", 0.6)):
        for seed in SEEDS:
            for k in TUNING:
                folder = Layout(tmp_path).tuned(RunKey(arm, "tiny", seed, "mrpc"), k)
                folder.mkdir(parents=True)
                settings = {"task": "mrpc", "task kind": "classify", "held out": ["validation"]}
                write_record(folder, RunRecord(kind="tune", settings=settings))
                answers = np.where(rng.random(40) < right, labels, 1 - labels)
                columns = {"split": ["validation"] * 40, "index": range(40), "label": labels, "prediction": answers}
                write_predictions(folder / "predictions.parquet", columns)
                hits = (labels & answers).sum()
                scores[arm, seed, k] = 2 * hits / (labels.sum() + answers.sum())
    keys = ((row["arm"], row["seed"], row.get("tuning_seed")) for row in rows)
    return [
        row | {"value": scores[key], "constant": 0.3} if (row["task"], row["metric"]) == ("mrpc", "f1") else row
        for row, key in zip(rows, keys, strict=True)
    ]


def test_intervals_over_items_read_the_stored_predictions(study, tmp_path, predicted):
    better, rte, none, _, held_out, _ = judge(predicted, study, items_in(study, tmp_path))
    assert better.bootstrap is not None and 0.1 < better.bootstrap.low < better.mean < better.bootstrap.high
    assert better.items.low < better.low < better.mean == pytest.approx(better.items.mean)
    assert rte.bootstrap is None and held_out.bootstrap is None and rte.items is None
    assert none.bootstrap.low < 0 < none.bootstrap.high
    assert better.p_bootstrap_holm == pytest.approx(0, abs=0.01)


def test_predictions_of_other_runs_are_left_out_and_named(study, tmp_path, predicted):
    others = [row | {"value": row["value"] + 0.01 * (row["arm"] == "bert")} for row in predicted]
    first = judge(others, study, items_in(study, tmp_path))[0]
    assert first.bootstrap is None and first.items is None
    assert "they are of other runs" in first.caution
