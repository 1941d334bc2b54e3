"""A plan on a machine that lacks what the study needs."""

import pytest

from maskwise.errors import InputError
from maskwise.lab.config import merge
from maskwise.lab.study.dry_run import dry_run, missing_parts
from maskwise.lab.study.plan import make_plan
from maskwise.lab.study.study_file import check_study


def test_a_complete_study_is_planned_with_its_costs(tree, tmp_path):
    said = dry_run(check_study(tree), tmp_path / "out")
    assert "Cost: " in said and "Family of 1 " in said and "not known here" not in said
    assert not (tmp_path / "out").exists()


def test_everything_that_is_missing_is_named_and_the_power_is_said_all_the_same(tree, tmp_path):
    tree |= {"task_data": str(tmp_path / "no-tasks"), "tasks": ["cola", "mrpc"]}
    tree = merge(tree, {"pretrain": {"data": {"path": str(tmp_path / "no-data")}}})
    tree["backbones"] = [{"name": "old", "checkpoint": str(tmp_path / "no-model"),
                          "settings": {"teacher": str(tmp_path / "no-teacher")}}]  # fmt: skip
    said = dry_run(check_study(tree), tmp_path / "out")
    for name in ("no-tasks", "no-data", "no-model", "no-teacher"):
        assert said.count(name) >= 1, name
    assert "16 runs: 2 arms x 1 backbones x 2 seeds x 2 tasks x 2 tuning seeds" in said
    assert "Family of 2 " in said and "An exact test cannot reach .05 at 2 seeds" in said
    assert said.index("Budgets and cost are not known here") < said.index("Family of 2")


def test_the_data_of_a_zero_shot_task_is_named_too(tree, tmp_path):
    study = check_study(tree | {"tasks": ["cola", "pairs:blimp", "reading"]})
    assert [one.split(" called ")[1].split(" ")[0] for one in missing_parts(study, tmp_path)] == [
        "'blimp'", "'reading_data.csv'",
    ]  # fmt: skip
    with pytest.raises(InputError, match="called 'blimp'"):
        make_plan(study, tmp_path / "out")


def test_each_missing_part_is_named_once(tree, tmp_path):
    tree = merge(tree, {"pretrain": {"data": {"path": str(tmp_path / "no-data")}}})
    assert len(missing_parts(check_study(tree), tmp_path)) == 1


def test_the_command_prints_it_and_succeeds(run_maskwise, write_study, tree, tmp_path):
    tree = merge(tree, {"pretrain": {"data": {"path": str(tmp_path / "no-data")}}})
    done = run_maskwise(["study", str(write_study(tree)), "--dry-run"])
    assert done.returncode == 0
    assert "no-data" in done.stdout and "Family of 1 " in done.stdout
