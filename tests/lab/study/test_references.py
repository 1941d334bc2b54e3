"""Models without pretraining, and a teacher for each seed."""

import json
import shutil

import pytest
import torch

from maskwise.errors import InputError
from maskwise.lab.config import merge
from maskwise.lab.pretraining.build import load_model
from maskwise.lab.pretraining.initial_model import save_initial_model
from maskwise.lab.records.content import weights_hash
from maskwise.lab.records.record import RunKey, read_record
from maskwise.lab.study.jobs_of_a_study import StudyJobs
from maskwise.lab.study.layout import Layout
from maskwise.lab.study.results import plain_rows, read_results
from maskwise.lab.study.study_file import check_study
from maskwise.lab.tokens.blocks import open_data
from study_in_process import run_in_process

RANDOM, HIGH = {"name": "random"}, {"name": "high", "recipe": "entropy-high"}


def with_teacher(tree, **arm):
    """A study whose second arm scores by the teacher of its seed."""
    arms = [RANDOM, HIGH | arm]
    return merge(tree, {"arms": arms, "teacher": {}, "statistics": {"family": [["high", "random"]]}})


def jobs_of(tree, out):
    return {job.name: job for job in StudyJobs(check_study(tree), Layout(out), lambda key: 0.0)}


def test_models_without_pretraining_are_tuned_like_the_arms_from_the_same_weights(tree, write_study, tmp_path):
    out = tmp_path / "out"
    path = write_study(merge(tree, {"not_pretrained": True, "tuning_seeds": [0]}))
    result = run_in_process(path, out)
    assert not result.failed, result.summary()
    assert not [
        job.name for job in result.plan.jobs if job.name.startswith("not-pretrained/") and job.kind == "pretrain"
    ]
    rows = [row for row in plain_rows(read_results(out)) if row["arm"] == "not-pretrained"]
    assert {(row["seed"], row["task"]) for row in rows} == {(s, task) for s in (0, 1) for task in ("cola", "held_out")}
    study, layout = result.plan.study, Layout(out)
    backbone = study.backbones[0]
    data = open_data(study.pretrain["data"]["path"])
    for seed in study.seeds:
        record = read_record(layout.tuned(RunKey("not-pretrained", "tiny", seed, "cola"), 0))
        initial = save_initial_model(study.initial_settings(backbone, seed), tmp_path / f"initial-{seed}")
        assert record.content["checkpoint"] == weights_hash(str(initial))
        own = load_model(study.initial_settings(backbone, seed), data).state_dict()
        for arm in study.arms:
            start = load_model(study.settings(arm, backbone, seed), data).state_dict()
            assert all(torch.equal(start[name], own[name]) for name in own)
    assert not list(out.rglob("initial-model")), "the weights are there while they are tuned"


def test_a_checkpoint_that_is_continued_is_tuned_as_it_was_given_and_once(tree, study_checkpoint, tmp_path):
    backbones = [{"name": "small", "checkpoint": str(study_checkpoint)}]
    jobs = jobs_of(merge(tree, {"backbones": backbones, "not_pretrained": True}), tmp_path)
    given = {name: job for name, job in jobs.items() if name.startswith(("as-given", "not-pretrained"))}
    assert list(given) == ["as-given/small/0/cola"]
    assert given["as-given/small/0/cola"].settings().start.checkpoint == str(study_checkpoint)


def test_a_study_without_the_setting_has_no_reference_and_a_gain_asks_for_it(tree, tmp_path):
    assert not [name for name in jobs_of(tree, tmp_path) if "not-pretrained" in name]
    asked = merge(tree, {"statistics": {"gain_of": "random"}})
    assert "not-pretrained/tiny/1/cola" in jobs_of(asked, tmp_path)


def test_each_seed_has_a_teacher_that_its_arms_share(tree, tmp_path):
    jobs = jobs_of(with_teacher(tree, settings={"masking": {"stored": True}}), tmp_path)
    for seed in (0, 1):
        teacher, stored = f"teacher/tiny/{seed}/pretrain", f"teacher/tiny/{seed}/annotate-entropy"
        settings = jobs[teacher].settings()
        assert (settings.seed, settings.recipe, settings.trainer["max_steps"]) == (1000 + seed, "random", 4)
        assert jobs[stored].needs == (teacher,)
        assert jobs[f"high/tiny/{seed}/pretrain"].needs == (teacher, stored)
        assert jobs[f"random/tiny/{seed}/pretrain"].needs == ()
        assert jobs[f"random/tiny/{seed}/pretrain"].settings().teacher is None
        assert jobs[f"high/tiny/{seed}/pretrain"].settings().teacher == str(jobs[teacher].folder)
    live = jobs_of(with_teacher(tree), tmp_path)
    assert live["high/tiny/0/pretrain"].needs == ("teacher/tiny/0/pretrain",)
    assert not [name for name in live if "annotate" in name]


def test_teachers_are_trained_their_scores_stored_and_their_cost_is_in_the_results(
    tree, tiny_data, write_study, tmp_path
):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    tree = merge(with_teacher(tree, settings={"masking": {"stored": True}}), {"tasks": ["held_out"]})
    out = tmp_path / "out"
    result = run_in_process(write_study(merge(tree, {"pretrain": {"data": {"path": str(data)}}})), out)
    assert not result.failed, result.summary()
    layout, hashes = Layout(out), []
    for seed in (0, 1):
        teacher = RunKey("teacher", "tiny", seed)
        hashes.append(weights_hash(str(layout.folder(teacher))))
        assert read_record(layout.folder(RunKey("high", "tiny", seed))).content["teacher"] == hashes[-1]
        annotation = read_record(layout.annotation(teacher, "entropy"))
        assert annotation.content["teacher"] == hashes[-1] and annotation.flops > 0 and annotation.tokens > 0
        told = json.loads(layout.folder(teacher).with_name("pretrain.json").read_text(encoding="utf-8"))
        assert told["settings"]["seed"] == 1000 + seed
    assert hashes[0] != hashes[1]
    rows = [row for row in plain_rows(read_results(out)) if row["arm"] == "teacher"]
    assert {(row["seed"], row["task"]) for row in rows} == {(0, "held_out"), (1, "held_out")}
    assert all(row["flops"] > 0 and row["recipe"] == "random" for row in rows)


REFUSED = {
    "a teacher of the arms' seeds": ({"teacher": {"seed_offset": 1}}, "would have the arms' seed 1"),
    "a teacher's seed too large": ({"seeds": [0, 2**32 - 5]}, "seeds are below 4,294,967,296"),
    "two teachers": ({"pretrain": {"teacher": "runs/teacher"}}, "pretrain names another one"),
    "a teacher that nobody needs": ({"arms": [RANDOM, {"name": "high", "recipe": "bert"}]}, "no arm needs one"),
    "an arm called as the teacher": (
        {"arms": [RANDOM, HIGH, {"name": "teacher", "recipe": "bert"}]}, "Give it another name",
    ),
    "arms that start apart": (
        {"not_pretrained": True, "arms": [RANDOM, HIGH | {"settings": {"model": {"initialization": "default"}}}]},
        "'high' starts from others",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_reference_is_refused(tree, name):
    changes, expected = REFUSED[name]
    with pytest.raises(InputError) as refused:
        check_study(merge(with_teacher(tree), changes))
    assert expected in str(refused.value)
