"""What a plan says is what runs; it writes nothing."""

import shutil

import pytest

from maskwise.config import merge
from maskwise.errors import InputError
from maskwise.study.budget import arm_budget, corpus_of
from maskwise.study.plan import make_plan
from maskwise.study.statement import statement
from maskwise.study.study_file import check_study, load_study
from maskwise.training.flops import forward_flops

TYPHOON = {
    "seeds": "0-4", "tasks": ["cola", "mrpc"], "pretrain": {"data": {"path": "d"}},
    "backbones": [{"name": name, "preset": name} for name in ("tiny", "mini", "bert")],
    "arms": [{"name": "random"}, {"name": "whole-word"}, {"name": "span"}],
    "statistics": {"family": [["span", "random"], ["span", "whole-word"]], "margin": 0.01},
}  # fmt: skip


def test_the_plan_says_runs_cells_cost_and_power(tree, tmp_path):
    plan = make_plan(check_study(tree), tmp_path / "out")
    text = plan.describe(jobs=2)
    assert "8 runs: 2 arms x 1 backbones x 2 seeds x 1 tasks x 2 tuning seeds; 4 models are pretrained." in text
    assert "flops in 8 cells; what is left takes about" in text
    assert "An exact test cannot reach .05 at 2 seeds: its floor is 0.5." in text
    assert not (tmp_path / "out").exists()


def test_the_statement_of_the_typhoon_grid():
    text = "\n".join(statement(check_study(TYPHOON)))
    assert "Family of 12 (2 comparisons x 3 backbones x 2 tasks)" in text
    assert "1.68 standard deviations of a paired difference, and 3.31 at the hardest step" in text
    assert "An exact test cannot reach .05 at 5 seeds: its floor is 0.0625." in text


def test_six_seeds_can_reach_five_percent_exactly():
    study = check_study(TYPHOON | {"seeds": "0-5"})
    assert "An exact test can reach .05 at 6 seeds: its floor is 0.03125." in "\n".join(statement(study))


def test_seeds_come_before_arms_so_that_a_stopped_study_has_pairs(tree, tmp_path):
    plan = make_plan(check_study(tree), tmp_path)
    assert [cell.name for cell in plan.cells][:5] == [
        "random/tiny/0/pretrain", "random/tiny/0/cola", "cold/tiny/0/pretrain", "cold/tiny/0/cola",
        "random/tiny/1/pretrain",
    ]  # fmt: skip
    assert plan.cells[1].needs == ("random/tiny/0/pretrain",)


def test_equal_compute_gives_a_scoring_arm_fewer_steps(tree):
    study = check_study(merge(tree, {"equal": "compute", "pretrain": {"trainer": {"max_steps": 400}}}))
    random, cold = (arm_budget(study, arm, study.backbones[0], 0) for arm in study.arms)
    assert random.steps == 400 and 200 < cold.steps < 400
    one_step = cold.flops / cold.steps
    assert abs(cold.flops - random.flops) <= one_step / 2
    assert cold.settings.trainer["max_steps"] == cold.steps, "the schedule must span the arm's own steps"
    student = forward_flops("tiny", round(corpus_of(cold.settings.data.path).mean_length), 600)
    expected = 3 * (student.body + 0.15 * student.head) + student.body + student.head
    assert one_step == pytest.approx(expected * cold.tokens / cold.steps)


def test_an_arm_can_have_its_own_budget(tree):
    arms = [*tree["arms"], {"name": "cold-equal", "recipe": "entropy-self-cold", "equal": "compute"}]
    study = check_study(merge(tree, {"arms": arms, "pretrain": {"trainer": {"max_steps": 400}}}))
    steps = [arm_budget(study, arm, study.backbones[0], 0).steps for arm in study.arms]
    assert steps[0] == steps[1] == 400 > steps[2]


def test_steps_are_counted_from_epochs_where_these_are_given(tree):
    trainer = {"max_steps": -1, "num_train_epochs": 2}
    study = check_study(merge(tree, {"pretrain": {"trainer": trainer}}))
    budget = arm_budget(study, study.arms[0], study.backbones[0], 0)
    corpus = corpus_of(budget.settings.data.path)
    assert budget.steps == 2 * -(-corpus.num_blocks // 4)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"pretrain": {"data": {"path": "nowhere"}}}, "nowhere"),
        ({"task_data": "nowhere"}, "There is no folder nowhere"),
        ({"tasks": ["cola", "mrpc"]}, "no folder for the task 'mrpc'"),
        ({"backbones": [{"name": "gone", "checkpoint": "./nowhere"}]}, "nowhere"),
        ({"backbones": [{"name": "odd", "preset": "tniy"}]}, "tniy"),
        ({"statistics": {"metrics": {"cola": "f1"}}}, "The task 'cola' has no metric 'f1'"),
        ({"pretrain": {"teacher": "./nowhere"}}, "nowhere"),
        ({"pretrain": {"trainer": {"lerning_rate": 1}}}, "Did you mean 'learning_rate'?"),
    ],
    ids=str,
)
def test_what_is_not_there_is_said_before_anything_runs(tree, change, expected, tmp_path, refused, write_study):
    with pytest.raises(InputError, match=expected.replace("?", r"\?")):
        make_plan(check_study(merge(tree, change)), tmp_path / "out")
    path = write_study(merge(tree, change))
    assert expected in refused(["study", str(path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


READY_FOR_TINY = ("entropy-table1", "entropy-compute", "entropy-distillation", "entropy-corpus", "typhoon")


@pytest.mark.parametrize("name", READY_FOR_TINY)
def test_a_ready_study_can_be_planned_at_the_tiny_scale(name, blocks, tasks, tmp_path, monkeypatch):
    """In a folder laid out as the head of its file says."""
    from maskwise.data.blocks import open_data
    from maskwise.models.presets import build_model

    monkeypatch.chdir(tmp_path)
    for folder in ("tiny", "tiny-quarter"):
        shutil.copytree(blocks, tmp_path / "data" / folder)
    shutil.copytree(tasks / "cola", tmp_path / "data" / "glue" / "cola")
    tokenizer = open_data(blocks).tokenizer
    for folder in ("teacher-tiny", "backbone-tiny", "backbone-mini", "backbone-bert"):
        build_model("tiny", len(tokenizer), 0).save_pretrained(tmp_path / "runs" / folder)
        tokenizer.save_pretrained(tmp_path / "runs" / folder)
    study = load_study(name, scale="tiny", changes={"tasks": ["cola"]})
    plan = make_plan(study, tmp_path / "out")
    assert plan.num_runs == len(study.arms) * len(study.backbones) * 5
    assert all(budget.flops > 0 for budget in plan.budgets.values())
