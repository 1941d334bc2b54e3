"""A study with a verdict of every kind: in which order they are said, in which words, and what is never decided."""

import json

import numpy as np
import pytest

from made_up_study import make_study
from maskwise.lab.config import merge
from maskwise.lab.reports.assemble import assemble as report_of
from maskwise.lab.reports.files import as_json, as_markdown
from maskwise.lab.reports.findings import REPORT_ORDER, find, tally, verdict_table
from maskwise.lab.reports.measures import score_table
from maskwise.lab.reports.page import report_page
from maskwise.lab.reports.scores import scores_of
from maskwise.lab.study.study_file import check_study

SEEDS = range(8)
ARMS = ("random", "bert", "span", "whole-word", "entropy-self-cold")
TASKS = ("pos", "rte", "held_out")
TREE = {
    "seeds": list(SEEDS), "tasks": list(TASKS), "pretrain": {"data": {"path": "d"}},
    "backbones": [{"name": "tiny", "preset": "tiny"}], "arms": [{"name": arm} for arm in ARMS],
    "statistics": {
        "family": [[arm, "random"] for arm in ARMS[1:]], "margin": "5%", "gain_of": "random",
    },
}  # fmt: skip
METRIC = {"pos": "accuracy_pooled", "rte": "accuracy", "held_out": "loss"}
# Of a gain of 0.1 the margin is 0.005. On RTE no arm has learned anything.
EFFECTS = {"bert": (0.03, 0.001), "span": (-0.08, 0.001), "whole-word": (0.003, 0.0005), "entropy-self-cold": (0, 0.02)}


def make_rows(effects=EFFECTS, start=0.75, word_list=0.861):
    rng, rows = np.random.default_rng(3), []
    luck = rng.normal(0, 0.01, size=(len(TASKS), len(SEEDS)))
    for arm in (*ARMS, "not-pretrained"):
        effect, sd = effects.get(arm, (0.0, 0.0))
        for number, task in enumerate(TASKS):
            if (arm, task) == ("not-pretrained", "held_out"):
                continue
            for seed in SEEDS:
                base = {"pos": start if arm == "not-pretrained" else 0.85, "rte": 0.53, "held_out": 4.0}[task]
                value = base + luck[number, seed] + (0.0 if task == "rte" else effect) + rng.normal(0, max(sd, 1e-4))
                rows.append({
                    "arm": arm, "backbone": "tiny", "seed": seed, "task": task, "adapted_to": None, "tuning_seed": 0,
                    "metric": METRIC[task], "value": value, "one_class": False, "settings_hash": "x",
                    "constant": {"pos": 0.18, "rte": 0.527}.get(task), "bm25": None,
                    "word_list": word_list if task == "pos" else None,
                })  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def study():
    return check_study(TREE)


@pytest.fixture(scope="module")
def findings(study):
    return find(make_rows(), study, "random")


def said(findings, ours, task):
    (found,) = (one for one in findings if (one.hypothesis.ours, one.hypothesis.task) == (ours, task))
    return found


def test_every_kind_of_verdict_in_a_reports_order(findings, study):
    assert [found.verdict for found in findings] == [
        "better", "worse", "better, smaller than the margin", "inconclusive", *["no signal"] * 4, *["no verdict"] * 4,
    ]  # fmt: skip
    equal = find(make_rows(EFFECTS | {"entropy-self-cold": (0.0, 0.001)}), study, "random")
    assert [found.verdict for found in equal][3] == "equivalent"
    assert list(dict(tally(findings))) == [name for name in REPORT_ORDER if name in dict(tally(findings))]


def test_the_sentences_claim_what_the_verdicts_allow(findings):
    better = said(findings, "bert", "pos").sentence
    assert better.startswith("bert did better than random on pos, tiny: accuracy pooled +0.03")
    assert "; of pretraining's gain +3" in better
    worse = said(findings, "span", "pos").sentence
    assert worse.startswith("span did worse than random on pos, tiny: accuracy pooled -0.08")
    small = said(findings, "whole-word", "pos").sentence
    assert small.startswith("whole-word did better than random, by less than the margin of 5% of the gain, on pos")
    open_ = said(findings, "entropy-self-cold", "pos").sentence
    assert open_.startswith("Neither a difference nor equality of entropy-self-cold and random is shown on pos")
    silent = said(findings, "bert", "rte").sentence
    assert silent.startswith("Nothing can be concluded about bert and random on rte, tiny: accuracy ")
    assert "not shown to be above the model without pretraining" in silent
    assert "the task cannot tell kinds of pretraining apart." in silent and "of pretraining's gain" not in silent
    assert "no model without pretraining was run" not in " ".join(found.sentence for found in findings)


def test_the_held_out_loss_never_decides_and_says_whom_it_favours(findings, study):
    losses = [found for found in findings if found.hypothesis.task == "held_out"]
    assert len(losses) == 4
    assert {found.verdict for found in losses} == {"no verdict"}
    assert min(found.hypothesis.p for found in losses) < 1e-6
    assert all("so it favours random." in found.sentence for found in losses)
    assert {found.hypothesis.num_hypotheses for found in findings if found not in losses} == {8}
    turned = find(make_rows(), study, "bert")
    assert {one.verdict for one in turned if one.hypothesis.task == "held_out"} == {"no verdict"}
    assert all("favours random" in one.sentence for one in turned if one.hypothesis.task == "held_out")


def test_arms_below_the_word_list_are_told_so(findings, study):
    assert "random is below the word list (0.8610), which needs no model." in said(findings, "bert", "pos").sentence
    assert "span and random are below the word list" in said(findings, "span", "pos").sentence
    high = find(make_rows(word_list=0.5), study, "random")
    assert "word list" not in " ".join(found.sentence for found in high)


def test_an_arm_that_fell_below_the_model_without_pretraining_is_harm(study):
    rows = make_rows(EFFECTS | {"span": (-0.15, 0.001)})
    found = said(find(rows, study, "random"), "span", "pos")
    assert found.verdict == "worse"
    assert "span (0.6" in found.sentence and "not shown to be above the model without pretraining" in found.sentence


def test_references_are_rows_of_the_scores(study):
    table = score_table(scores_of(make_rows(), study), study)
    rows = [row["arm"] for row in table.rows if row["task"] == "pos"]
    assert rows == [*ARMS, "not-pretrained", "constant classifier", "word list"]
    assert next(row["mean"] for row in table.rows if row["arm"] == "word list") == pytest.approx(0.861)


def test_a_checkpoint_as_given_is_one_run_and_a_row_of_its_own():
    """It is the same at every seed: its one score is what the arms gain on, and no bar of the gate."""
    adapting = check_study(TREE | {"backbones": [{"name": "tiny", "checkpoint": "runs/tiny"}]})
    rows = [
        row | {"arm": "as-given"} if row["arm"] == "not-pretrained" else row
        for row in make_rows(start=0.85)
        if row["arm"] != "not-pretrained" or row["seed"] == 0
    ]
    table = score_table(scores_of(rows, adapting), adapting)
    assert [row["seeds"] for row in table.rows if row["arm"] == "as-given"] == [1, 1]
    found = said(find(rows, adapting, "random"), "bert", "pos")
    assert found.verdict == "better" and found.hypothesis.has_signal == {"bert": True, "random": True}
    given = next(row["value"] for row in rows if (row["arm"], row["task"]) == ("as-given", "pos"))
    random = np.mean([row["value"] for row in rows if (row["arm"], row["task"]) == ("random", "pos")])
    assert float(found.hypothesis.share.gain) == pytest.approx(random - given)
    assert "no model without pretraining" not in found.sentence


def test_rows_of_teachers_follow_the_arms(study):
    rows = make_rows()
    teacher = [row | {"arm": "teacher"} for row in rows if (row["arm"], row["task"]) == ("random", "held_out")]
    table = score_table(scores_of([*rows, *teacher], study), study)
    assert [row["arm"] for row in table.rows if row["task"] == "held_out"] == [*ARMS, "teacher"]
    assert len(find([*rows, *teacher], study, "random")) == 12


def test_the_table_says_the_share_in_words_and_in_numbers(findings, study):
    table = verdict_table(findings, study)
    rows = {(row["ours"], row["task"]): row for row in table.rows}
    better, silent = rows["bert", "pos"], rows["bert", "rte"]
    assert better["share"].startswith("+3") and better["share_low"] < better["share_ratio"] < better["share_high"]
    assert silent["share"] == "unbounded: the gain itself is not shown" and "share_low" not in silent
    assert (better["signal"], silent["signal"]) == ("yes", "no signal")
    assert "within the declared margin of 5% of the gain" in table.note
    assert "The error rate is that of the whole study" in table.note


def test_a_comparison_that_is_turned_keeps_its_meaning(findings, study):
    turned = find(make_rows(), study, "bert")
    against = said(turned, "random", "pos")
    straight = said(findings, "bert", "pos")
    assert (against.verdict, straight.verdict) == ("worse", "better")
    one, other = against.hypothesis.share, straight.hypothesis.share
    assert (one.low, one.high) == (-other.high, -other.low)
    small = said(find(make_rows(), study, "whole-word"), "random", "pos")
    assert small.verdict == "worse" and "smaller than the margin" in small.sentence
    harm = said(find(make_rows(), study, "span"), "random", "pos")
    assert harm.verdict == "better"
    silent = said(find(make_rows(), study, "bert"), "random", "rte")
    assert silent.verdict == "no signal" and "random (0." in silent.sentence


def test_arms_that_were_not_declared_are_leads_after_all_verdicts(study):
    fewer = check_study(merge(TREE, {"statistics": {"family": [["bert", "random"]]}}))
    found = find(make_rows(), fewer, "random")
    verdicts = [one.verdict for one in found]
    assert verdicts == ["better", "no signal", *["not declared"] * 6, *["no verdict"] * 4]


@pytest.mark.parametrize(("share", "expected"), [(1, 0), (0, 1)])
def test_a_disagreement_of_the_exact_test_is_said(study, share, expected):
    """At 8 seeds and 8 hypotheses its floor is 0.0625, so it cannot confirm; alone it can."""
    family = [["bert", "random"]] if share else TREE["statistics"]["family"]
    declared = check_study(merge(TREE, {"statistics": {"family": family}}))
    sentence = said(find(make_rows(), declared, "random"), "bert", "pos").sentence
    words = "The exact test does not confirm it (p = 0.00781, 0.0625 by Holm; with 8 seeds and a family of 8"
    assert sentence.count(words) == expected


def test_a_report_shows_the_models_without_pretraining_everywhere(tmp_path):
    make_study(tmp_path / "study", {"statistics": {"gain_of": "random", "margin": "5%"}}, reference=-0.2)
    report = report_of(tmp_path / "study", against="random")
    assert report.is_finished
    assert [row["arm"] for row in report.tables["scores"].rows].count("not-pretrained") == 6 + 4
    high = next(one for one in report.findings if one.hypothesis.ours == "high" and one.hypothesis.task == "cola")
    assert high.verdict == "better" and high.hypothesis.items is not None
    html, text = report_page(report), as_markdown(report)
    assert "not-pretrained" in text and "5% of the gain" in text
    assert html.count("not-pretrained, seed 0") == 3
    assert "5% of the gain, at its mean" in html
    assert "The unit of replication is the pretraining seed" in html
    told = json.loads(as_json(report), parse_constant=lambda name: pytest.fail(name))
    assert told["study"]["statistics"]["margin"] == "5%"
    assert repr(report).splitlines()[0].startswith("better: high did better than random on cola")


def test_a_report_of_a_study_without_a_reference_ends_every_verdict_line_with_it(tmp_path):
    make_study(tmp_path / "study", {"tasks": ["cola", "mrpc", "held_out"]})
    report = report_of(tmp_path / "study", against="random")
    lines = repr(report).splitlines()
    on_tasks = [line for line in lines if "held-out loss" not in line]
    assert len(on_tasks) == 4 and len(lines) == 6
    assert all(line.endswith("(no model without pretraining was run)") for line in on_tasks)
