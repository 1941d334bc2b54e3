"""The report says what the results say: no more, and nothing left out."""

import json
import math

import pytest

from made_up_study import TREE, make_study
from maskwise.errors import InputError
from maskwise.lab.config import merge
from maskwise.lab.reports.assemble import _chosen_by, _compared_at
from maskwise.lab.reports.assemble import assemble as report_of
from maskwise.lab.reports.files import as_json, as_markdown, write_report
from maskwise.lab.reports.findings import find
from maskwise.lab.reports.hypotheses import judge
from maskwise.lab.reports.two_studies import with_other
from maskwise.lab.study.layout import RESULTS
from maskwise.lab.study.results import plain_rows, read_results
from maskwise.lab.study.study_file import check_study

UNFINISHED = ("high/tiny/4/pretrain", "high/tiny/4/cola", "high/tiny/4/mrpc", "random/tiny/3/cola")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "study"
    make_study(out)
    return out


@pytest.fixture(scope="module")
def report(folder):
    return report_of(folder, against="random")


def finding(report, ours, task):
    """The finding of an arm against the report's baseline."""
    wanted = (ours, report.against, task)
    (found,) = (f for f in report.findings if (f.hypothesis.ours, f.hypothesis.theirs, f.hypothesis.task) == wanted)
    return found


def test_the_verdicts_are_those_of_the_statistics(report, folder):
    family = judge(plain_rows(read_results(folder)), report.study)
    assert len(family) == len(report.findings) == 4
    rows = {(row["ours"], row["task"]): row for row in report.tables["verdicts"].rows}
    for one in family:
        row = rows[one.ours, one.task]
        assert finding(report, one.ours, one.task).verdict == one.verdict == row["verdict"]
        assert all(row[name] == getattr(one, name) for name in ("mean", "low", "high", "p", "p_holm", "p_exact_holm"))


def test_a_clear_difference_is_called_better_with_what_weakens_it(report):
    found = finding(report, "high", "cola")
    assert found.verdict == "better"
    assert found.sentence.startswith("high did better than random on cola, tiny: matthews correlation +")
    assert (
        "The exact test does not confirm it (p = 0.0625, 0.25 by Holm; with 5 seeds and a family of 4 it cannot be "
        "below 0.25)."
    ) in found.sentence


def test_no_difference_is_never_called_equal_without_the_margins_test(folder, report):
    lower = [row | {"constant": 0.5} if row["task"] == "mrpc" else row for row in plain_rows(read_results(folder))]
    wanted = ("self-cold", "mrpc")
    (found,) = (f for f in find(lower, report.study, "random") if (f.hypothesis.ours, f.hypothesis.task) == wanted)
    assert found.verdict == "inconclusive"
    assert found.sentence.startswith("Neither a difference nor equality of self-cold and random is shown")


def test_a_baseline_at_the_constant_answer_is_told_so(report):
    found = finding(report, "self-cold", "mrpc")
    assert found.verdict == "no signal"
    assert found.sentence.startswith("Nothing can be concluded about self-cold and random on mrpc, tiny: f1 ")
    assert "is not shown to be above the constant answer (0.8000): the task cannot tell" in found.sentence


def test_a_difference_that_other_examples_could_undo_is_told_so(report):
    found = finding(report, "self-cold", "cola")
    assert found.verdict == "worse"
    assert found.hypothesis.bootstrap.low < 0 < found.hypothesis.bootstrap.high
    assert "It may be due to the held-out items: over seeds and items together" in found.sentence
    assert "held-out" not in finding(report, "high", "cola").sentence


def test_what_arms_have_alike_is_said_arm_by_arm():
    study = check_study(TREE)
    assert _compared_at(study) == "equal steps"
    others = [{"name": "longer", "recipe": "random", "equal": "compute", "equal_to": "high"}]
    others += [{"name": "as-long", "recipe": "random", "equal": "seconds", "equal_to": "self-cold"}]
    mixed = check_study(merge(TREE, {"arms": [*TREE["arms"], *others]}))
    assert _compared_at(mixed) == (
        "equal steps; longer at the counted flops of high; as-long at the seconds of self-cold"
    )
    all_one = check_study(merge(TREE, {"equal": "compute"}))
    assert _compared_at(all_one) == ("high at the counted flops of random; self-cold at the counted flops of random")


def test_a_choice_by_own_masks_is_said_where_it_was_asked_for_and_a_choice_by_the_exam_is_the_default():
    assert _chosen_by(check_study(TREE)) == ""
    adapting = {"adapt": True, "pretrain": {"data": None}, "backbones": [{"name": "tiny", "checkpoint": "runs/tiny"}]}
    adapting["backbones"][0]["settings"] = {"teacher": "runs/teacher"}
    adapted = merge(TREE, adapting)
    del adapted["pretrain"]["data"]
    assert _chosen_by(check_study(adapted)) == "the held-out evaluation, the same for all"
    own = merge(adapted, {"pretrain": {"stopping": {"by": "strategy_masks"}}})
    assert "own masks, as stopping.by asks" in _chosen_by(check_study(own))
    own["arms"] = [TREE["arms"][0], TREE["arms"][1] | {"settings": {"stopping": {"by": "held_out"}}}, TREE["arms"][2]]
    assert _chosen_by(check_study(own)).split("; high: ")[1].startswith("the held-out evaluation")


def test_collapsed_runs_are_named(report):
    (row,) = report.tables["collapsed"].rows
    assert (row["arm"], row["backbone"], row["task"], row["seed"]) == ("self-cold", "tiny", "mrpc", 2)
    assert "give one answer to everything: 1 of self-cold." in finding(report, "self-cold", "mrpc").sentence
    assert "Collapsed" not in finding(report, "high", "mrpc").sentence


def test_seeds_that_are_copies_of_each_other_are_named(report, folder):
    """Runs that kept the same untouched checkpoint: a paired test takes them for seeds, and finds what is not there."""
    rows = plain_rows(read_results(folder))
    first = {
        (r["task"], r["metric"], r["tuning_seed"]): r["value"] for r in rows if (r["arm"], r["seed"]) == ("high", 0)
    }
    copied = [
        row | {"value": first[row["task"], row["metric"], row["tuning_seed"]]}
        if row["arm"] == "high" and row["seed"] in (0, 3) and row["task"] == "cola" else row
        for row in rows
    ]  # fmt: skip
    found = [f for f in find(copied, report.study, "random") if f.hypothesis.task == "cola"]
    sentences = [f.sentence for f in found]
    said = "Seeds with the same scores to the last digit, perhaps copies of one run: 2 of high."
    assert [said in sentence for sentence in sentences] == ["high" in sentence for sentence in sentences]
    assert "copies of one run" not in finding(report, "high", "cola").sentence


def test_an_arm_whose_seeds_are_all_one_run_decides_nothing(report, folder):
    assert finding(report, "high", "cola").verdict == "better"
    copied = [
        row | {"value": 0.9 if row["metric"] == "matthews_correlation" else 0.5, "one_class": False}
        if (row["arm"], row["task"]) == ("high", "cola") else row
        for row in plain_rows(read_results(folder))
    ]  # fmt: skip
    (found,) = (
        f for f in find(copied, report.study, "random") if (f.hypothesis.ours, f.hypothesis.task) == ("high", "cola")
    )
    assert found.hypothesis.p < 0.05
    assert found.verdict == "inconclusive"
    assert "copies of one run: 5 of high." in found.sentence


def test_two_arms_that_collapsed_throughout_are_not_called_equivalent(report, folder):
    """Constant answers are alike to the last digit, whatever the models are."""
    collapsed = [
        row | {"value": 0.0, "one_class": True} if row["task"] == "cola" else row
        for row in plain_rows(read_results(folder))
    ]
    (found,) = (
        f for f in find(collapsed, report.study, "random") if (f.hypothesis.ours, f.hypothesis.task) == ("high", "cola")
    )
    assert found.hypothesis.p_equivalence < 0.05
    assert found.verdict == "no signal"
    assert "has 5 of 5 runs that collapsed: the task cannot tell kinds of pretraining apart." in found.sentence
    assert "give one answer to everything: 5 of high and 5 of random." in found.sentence


def test_scores_stand_beside_the_constant_classifiers(report):
    rows = [row for row in report.tables["scores"].rows if (row["task"], row["metric"]) == ("mrpc", "f1")]
    assert [row["arm"] for row in rows] == ["random", "high", "self-cold", "constant classifier"]
    assert rows[-1]["mean"] == pytest.approx(0.8)
    assert all(row["low"] < row["mean"] < row["high"] for row in rows[:-1])
    held_out = [row for row in report.tables["scores"].rows if row["task"] == "held_out"]
    assert {row["metric"] for row in held_out} == {"loss", "perplexity", "top1", "top5"}


def test_costs_are_ratios_to_the_baseline(report):
    ratios = {row["arm"]: (row["flops_ratio"], row["seconds_ratio"]) for row in report.tables["cost"].rows}
    assert ratios == {"random": (1, 1), "high": (1.6, 1.6), "self-cold": (1.5, 1.5)}
    assert {row["tuning_seconds"] for row in report.tables["cost"].rows} == {25.0}


def test_what_is_masked_is_read_from_the_runs(report):
    rows = {row["arm"]: row for row in report.tables["masks"].rows}
    assert rows["random"]["budget"] == pytest.approx(0.15)
    assert rows["random"]["trained_rate"] == pytest.approx(0.1498)
    assert rows["random"]["masked_q1"] > rows["self-cold"]["masked_q1"]
    assert rows["high"]["sources"] == "teacher"
    assert rows["high"]["most_masked"] == "the of ##ing"


def test_exam_curves_are_by_steps_and_by_the_flops_of_the_run(report):
    assert len(report.curves) == 15
    for curve in report.curves:
        assert curve.steps[-1] == 600
        assert curve.flops[-1] == pytest.approx({"random": 1e12, "high": 1.6e12, "self-cold": 1.5e12}[curve.arm])


def test_arms_that_adapt_to_a_tasks_text_have_an_exam_and_a_cost_for_each(tmp_path):
    backbones = [{"name": "small", "checkpoint": "runs/small", "settings": {"teacher": "runs/teacher-tiny"}}]
    make_study(tmp_path / "study", {"adapt": True, "backbones": backbones}, without=("high/small/0/pretrain-mrpc",))
    report = report_of(tmp_path / "study", against="random")
    held_outs = {scores.task for scores in report.scores if scores.metric == "loss"}
    assert held_outs == {"held_out on cola", "held_out on mrpc"}
    assert [row["adapted_to"] for row in report.tables["cost"].rows].count("cola") == 3
    assert {(curve.arm, curve.adapted_to) for curve in report.curves if not curve.flops} == {("high", "mrpc")}
    assert {row["job"] for row in report.tables["missing"].rows} == {"high/small/0/pretrain-mrpc", "high/small/0/mrpc"}
    assert (report.num_done, report.num_jobs) == (58, 60)


def test_a_tasks_text_that_could_not_be_prepared_is_named_with_the_reason(tmp_path):
    out = tmp_path / "study"
    make_study(out, without=("high/small/0/pretrain-mrpc",))
    (out / "data").mkdir(exist_ok=True)
    for name, said in (("v1.5-mrpc", "Error: no training block"), ("small-cola", "done")):
        (out / f"data/{name}.log").write_text(said, encoding="utf-8")
    (out / "data/small-cola").mkdir()
    (out / "data/small-cola/manifest.json").write_text("{}", encoding="utf-8")
    missing = {row["job"]: row["log"] for row in report_of(out, against="random").tables["missing"].rows}
    assert missing["data/v1.5-mrpc"] == "Error: no training block"
    assert "data/small-cola" not in missing


def test_an_arm_that_was_not_declared_gets_no_verdict(folder):
    report = report_of(folder, against="high")
    lead = finding(report, "self-cold", "cola")
    assert lead.verdict == "not declared"
    assert math.isnan(lead.hypothesis.p_holm)
    assert "a lead and no finding" in lead.sentence


def test_a_comparison_is_turned_to_face_the_baseline(folder, report):
    turned, straight = finding(report_of(folder, against="high"), "random", "cola"), finding(report, "high", "cola")
    assert (turned.verdict, straight.verdict) == ("worse", "better")
    assert turned.hypothesis.mean == -straight.hypothesis.mean
    assert (turned.hypothesis.low, turned.hypothesis.high) == (-straight.hypothesis.high, -straight.hypothesis.low)
    assert turned.hypothesis.bootstrap.low == -straight.hypothesis.bootstrap.high
    assert turned.hypothesis.p_holm == straight.hypothesis.p_holm


def test_the_baseline_is_by_default_the_arm_most_compared_with(folder):
    assert report_of(folder).against == "random"


def test_an_unfinished_study_says_what_is_there_and_what_is_missing(tmp_path):
    make_study(tmp_path / "study", without=UNFINISHED)
    report = report_of(tmp_path / "study", against="random")
    assert (report.num_done, report.num_jobs) == (41, 45)
    missing = {row["job"]: row["log"] for row in report.tables["missing"].rows}
    assert set(missing) == set(UNFINISHED)
    assert missing["high/tiny/4/pretrain"] == "The disk is full"
    assert "2 of 5 pairs of seeds are missing." in finding(report, "high", "cola").sentence
    half = [curve for curve in report.curves if curve.steps[-1] == 300]
    assert [(curve.arm, curve.seed, curve.flops) for curve in half] == [("high", 4, ())]
    assert as_markdown(report).count("Not finished") == repr(report).count("Not finished") == 1


def test_a_comparison_without_two_pairs_of_seeds_claims_nothing(tmp_path):
    without = tuple(f"high/tiny/{seed}/{task}" for seed in range(1, 5) for task in ("cola", "mrpc"))
    make_study(tmp_path / "study", without=without)
    found = finding(report_of(tmp_path / "study"), "high", "cola")
    assert found.verdict == "inconclusive"
    measured = "high against random on cola, tiny: 1 of 5 pairs of seeds measured."
    assert found.sentence == f"{measured} (no model without pretraining was run)"


@pytest.mark.parametrize("makes", ["nothing", "a folder", "a study without a finished run"])
def test_a_folder_without_results_is_refused(tmp_path, makes):
    out = tmp_path / "study"
    if makes == "a folder":
        out.mkdir()
    if makes == "a study without a finished run":
        make_study(
            out, without=tuple(f"{arm['name']}/tiny/{seed}/pretrain" for arm in TREE["arms"] for seed in range(5))
        )
        (out / RESULTS).unlink()
    with pytest.raises(InputError, match="no results yet" if "study" in makes else "not the folder of a study"):
        report_of(out)


def test_an_unknown_baseline_is_answered_with_the_nearest_arm(refused, folder):
    said = refused(["report", str(folder), "--against", "randm"])
    assert "No arm 'randm'. Did you mean 'random'?" in said


def test_the_command_writes_the_page_and_the_same_tables_as_files(run_maskwise, folder, tmp_path):
    out = tmp_path / "new" / "page.html"
    done = run_maskwise(["report", str(folder), "--against", "random", "--out", str(out), "--published"])
    assert "better: high did better than random on cola" in done.stdout
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    said = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert len(said["tables"]["values"]) == len(plain_rows(read_results(folder)))
    markdown = out.with_suffix(".md").read_text(encoding="utf-8")
    tables = {path.stem for path in (out.parent / "page-tables").glob("*.csv")}
    assert tables == {"verdicts", "scores", "published", "masks", "cost", "collapsed", "versions", "values"}
    assert all(f"## {title}" in markdown for title in ("Every comparison", "Scores", "Cost of a run", "Collapsed runs"))
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_page_that_cannot_be_written_leaves_nothing(report, tmp_path):
    with pytest.raises(InputError, match=r"report\.html"):
        write_report(report, tmp_path / "report.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_report(report, tmp_path / "file" / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_published_cells_stand_beside_the_same_arm(folder):
    table = report_of(folder, against="random", published=True).tables["published"]
    rows = {(row["task"], row["arm"]): row for row in table.rows}
    assert set(rows) == {(task, arm) for task in ("cola", "mrpc") for arm in ("random", "high", "self-cold")}
    cold = rows["cola", "self-cold"]
    assert (cold["metric"], cold["bert"], cold["bert_gain"]) == ("accuracy", "69.13 (constant classifier)", "-0.29")
    assert rows["mrpc", "high"]["bertlet"] == "81.01 (below constant)"
    assert rows["cola", "random"]["bert_gain"] is None


def test_json_is_strict_and_holds_every_difference(report):
    said = json.loads(as_json(report), parse_constant=lambda name: pytest.fail(name))
    assert said["findings"][0]["differences"].keys() == {"0", "1", "2", "3", "4"}
    assert said["study"]["statistics"]["margin"] == 0.01


def test_two_reports_are_compared_where_they_compare_the_same(report, tmp_path):
    make_study(tmp_path / "other", {"statistics": {"margin": 0.02}, "tasks": ["cola"]}, luck=7)
    both = with_other(report, report_of(tmp_path / "other", against="random"))
    effects = both.tables["other_verdicts"].rows
    assert [(row["ours"], row["task"]) for row in effects] == [("high", "cola"), ("self-cold", "cola")]
    assert effects[0]["agree"].startswith("same verdict")
    assert effects[0]["change"] == pytest.approx(effects[0]["mean_there"] - effects[0]["mean_here"])
    assert effects[0]["low"] < effects[0]["change"] < effects[0]["high"]
    settings = {row["setting"]: (row["here"], row["there"]) for row in both.tables["other_settings"].rows}
    assert settings == {"tasks": ('["cola", "mrpc"]', '["cola"]'), "statistics.margin": ("0.01", "0.02")}
    assert list(both.tables)[-1] == "values"


def test_studies_that_share_nothing_are_not_compared(report, tmp_path):
    make_study(tmp_path / "other", {"tasks": ["rte"], "statistics": {"metrics": {"rte": "accuracy"}}})
    with pytest.raises(InputError, match="no comparison in common"):
        with_other(report, report_of(tmp_path / "other", against="random"))
