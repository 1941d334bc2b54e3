"""What a plan says is what runs; it writes nothing."""

import json
import shutil

import pytest

from maskwise.errors import InputError
from maskwise.lab.config import merge, resolve
from maskwise.lab.pretraining.run_size import corpus_of
from maskwise.lab.records.record import RunKey
from maskwise.lab.study.budget import arm_budget, short_settings
from maskwise.lab.study.layout import Layout
from maskwise.lab.study.outline import num_runs
from maskwise.lab.study.plan import make_plan
from maskwise.lab.study.power_statement import power_statement
from maskwise.lab.study.study_file import check_study, load_study
from maskwise.models.flops import forward_flops

TYPHOON = {
    "seeds": "0-4", "tasks": ["cola", "mrpc"], "pretrain": {"data": {"path": "d"}},
    "backbones": [{"name": name, "preset": name} for name in ("tiny", "mini", "bert")],
    "arms": [{"name": "random"}, {"name": "whole-word"}, {"name": "span"}],
    "statistics": {"family": [["span", "random"], ["span", "whole-word"]], "margin": 0.01},
}  # fmt: skip


def test_the_plan_says_runs_jobs_cost_and_power(tree, tmp_path):
    plan = make_plan(check_study(tree), tmp_path / "out")
    text = plan.describe(jobs=2)
    assert "8 runs: 2 arms x 1 backbones x 2 seeds x 1 tasks x 2 tuning seeds; 4 models are pretrained." in text
    assert "flops in 8 jobs; what is left takes about" in text
    assert "An exact test cannot reach .05 at 2 seeds: its floor is 0.5." in text
    assert not (tmp_path / "out").exists()


def test_the_statement_of_the_typhoon_grid():
    text = "\n".join(power_statement(check_study(TYPHOON)))
    assert "Family of 12 (2 comparisons x 3 backbones x 2 tasks)" in text
    assert "1.68 standard deviations of a paired difference, and 3.31 at the hardest step" in text
    assert "An exact test cannot reach .05 at 5 seeds: its floor is 0.0625." in text


def test_six_seeds_can_reach_five_percent_exactly():
    study = check_study(TYPHOON | {"seeds": "0-5"})
    assert "An exact test can reach .05 at 6 seeds: its floor is 0.03125." in "\n".join(power_statement(study))


def test_seeds_come_before_arms_so_that_a_stopped_study_has_pairs(tree, tmp_path):
    plan = make_plan(check_study(tree), tmp_path)
    assert [job.name for job in plan.jobs][:5] == [
        "random/tiny/0/pretrain", "random/tiny/0/cola", "cold/tiny/0/pretrain", "cold/tiny/0/cola",
        "random/tiny/1/pretrain",
    ]  # fmt: skip
    assert plan.jobs[1].needs == ("random/tiny/0/pretrain",)


@pytest.fixture
def budget(tmp_path):
    """Returns the budget of an arm, by its number in the study, for seed 0."""
    layout = Layout(tmp_path / "out")
    return lambda study, number: arm_budget(study, RunKey(study.arms[number].name, "tiny", 0), layout)


def test_equal_compute_gives_a_scoring_arm_fewer_steps(tree, budget):
    study = check_study(merge(tree, {"equal": "compute", "pretrain": {"trainer": {"max_steps": 400}}}))
    random, cold = (budget(study, number) for number in range(2))
    assert random.steps == 400 and 200 < cold.steps < 400
    one_step = cold.flops / cold.steps
    assert abs(cold.flops - random.flops) <= one_step / 2
    assert cold.settings.trainer["max_steps"] == cold.steps, "the schedule must span the arm's own steps"
    student = forward_flops("tiny", round(corpus_of(cold.settings.data.path).mean_length), 600)
    expected = 3 * (student.body + 0.15 * student.head) + student.body + student.head
    assert one_step == pytest.approx(expected * cold.tokens / cold.steps)


def test_an_arm_can_have_its_own_budget(tree, budget):
    arms = [*tree["arms"], {"name": "cold-equal", "recipe": "entropy-self-cold", "equal": "compute"}]
    study = check_study(merge(tree, {"arms": arms, "pretrain": {"trainer": {"max_steps": 400}}}))
    steps = [budget(study, number).steps for number in range(3)]
    assert steps[0] == steps[1] == 400 > steps[2]


LONGER = {"name": "random-longer", "recipe": "random", "equal": "compute", "equal_to": "cold"}


def test_an_arm_can_have_the_flops_of_any_other(tree, budget):
    """Random masking for as long as the dearer arm computes, with a schedule of that length."""
    study = check_study(merge(tree, {"arms": [*tree["arms"], LONGER], "pretrain": {"trainer": {"max_steps": 400}}}))
    random, cold, longer = (budget(study, number) for number in range(3))
    assert random.steps == cold.steps == 400 < longer.steps
    assert abs(longer.flops - cold.flops) <= longer.flops / longer.steps / 2
    assert longer.settings.trainer["max_steps"] == longer.steps


def test_a_study_can_hold_all_arms_to_one_that_is_not_the_first(tree, budget):
    study = check_study(merge(tree, {"equal": "compute", "equal_to": "cold"}))
    assert [study.equal_of(arm)[1] and study.equal_of(arm)[1].name for arm in study.arms] == ["cold", None]
    assert budget(study, 0).steps > budget(study, 1).steps == 4


def _write_speed(folder, seconds_a_step):
    folder.mkdir(parents=True)
    records = [{"step": step, "seconds": 30 + step * seconds_a_step, "loss": 1.0} for step in range(8, 49, 8)]
    records.append({"step": 48, "seconds": 99.0, "train_runtime": 1.0})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def test_an_arm_can_have_the_seconds_of_another_by_the_time_their_steps_take(tree, tmp_path, budget):
    """The time to start, which every run has once, is no time of steps."""
    arms = [*tree["arms"], LONGER | {"equal": "seconds"}]
    study = check_study(merge(tree, {"arms": arms, "pretrain": {"trainer": {"max_steps": 400}}}))
    guessed = budget(study, 2)
    _write_speed(tmp_path / "out/speed/random-longer/tiny", 0.10)
    assert budget(study, 2) == guessed, "half a measurement is none"
    _write_speed(tmp_path / "out/speed/cold/tiny", 0.25)
    measured = budget(study, 2)
    assert measured.steps == measured.settings.trainer["max_steps"] == 1000 != guessed.steps
    assert measured.flops == pytest.approx(guessed.flops * 1000 / guessed.steps)


def test_short_runs_are_timed_before_what_depends_on_them(tree, tmp_path):
    arms = [*tree["arms"], LONGER | {"equal": "seconds"}]
    plan = make_plan(check_study(merge(tree, {"arms": arms})), tmp_path / "out")
    assert [job.name for job in plan.jobs][:2] == ["speed/cold/tiny", "speed/random-longer/tiny"]
    needs = {job.name: job.needs for job in plan.jobs}
    for seed in (0, 1):
        assert needs[f"random-longer/tiny/{seed}/pretrain"] == ("speed/cold/tiny", "speed/random-longer/tiny")
        assert needs[f"cold/tiny/{seed}/pretrain"] == ()
    assert "Steps at equal seconds are a guess by flops until short runs have been timed." in plan.describe()


def test_a_short_run_changes_where_the_long_one_does(tree, tmp_path, study_checkpoint):
    """After the same share of its steps; a teacher's one epoch would be the whole of a short run."""
    self_kd = {"name": "kd", "recipe": "entropy-self-kd", "equal": "seconds"}
    epochs = {"masking": {"teacher_share": None, "teacher_epochs": 1}, "distillation": {"start_epochs": 1}}
    shared = {"teacher": str(study_checkpoint), "trainer": {"max_steps": 4000}}
    study = check_study(merge(tree, {"arms": [tree["arms"][0], self_kd | {"settings": epochs}], "pretrain": shared,
                                     "statistics": {"family": [["kd", "random"]]}}))  # fmt: skip
    short = short_settings(study, RunKey("kd", "tiny", 0), Layout(tmp_path))
    epoch = -(-corpus_of(short.data.path).num_blocks // 4)
    assert short.masking.teacher_share == pytest.approx(epoch / 4000)
    assert short.masking.teacher_epochs is None and short.distillation.start_epochs is None
    assert short.trainer["max_steps"] == 48
    resolve(short.model_dump(mode="json", exclude_none=True))


def test_steps_are_counted_from_epochs_where_these_are_given(tree, budget):
    trainer = {"max_steps": -1, "num_train_epochs": 2}
    study = check_study(merge(tree, {"pretrain": {"trainer": trainer}}))
    first = budget(study, 0)
    corpus = corpus_of(first.settings.data.path)
    assert first.steps == 2 * -(-corpus.num_blocks // 4)


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
def test_a_ready_study_can_be_planned_at_the_tiny_scale(name, tiny_data, tasks, tmp_path, monkeypatch):
    """In a folder laid out as the head of its file says."""
    from maskwise.lab.tokens.blocks import open_data
    from maskwise.models.presets import build_model

    monkeypatch.chdir(tmp_path)
    for folder in ("tiny", "tiny-quarter"):
        shutil.copytree(tiny_data, tmp_path / "data" / folder)
    shutil.copytree(tasks / "cola", tmp_path / "data" / "glue" / "cola")
    tokenizer = open_data(tiny_data).tokenizer
    for folder in ("teacher-tiny", "backbone-tiny", "backbone-mini", "backbone-bert"):
        build_model("tiny", len(tokenizer), 0).save_pretrained(tmp_path / "runs" / folder)
        tokenizer.save_pretrained(tmp_path / "runs" / folder)
    study = load_study(name, scale="tiny", changes={"tasks": ["cola"]})
    plan = make_plan(study, tmp_path / "out")
    assert num_runs(study) == len(study.arms) * len(study.backbones) * 5
    assert all(budget.flops > 0 for budget in plan.budgets.values())
