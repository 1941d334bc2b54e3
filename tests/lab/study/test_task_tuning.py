import pytest

from maskwise.errors import InputError
from maskwise.lab.study.outline import outline
from maskwise.lab.study.study_file import check_study

TREE = {
    "seeds": [0, 1], "tuning_seeds": [7], "tasks": ["pos", "ner"], "pretrain": {"data": {"path": "d"}},
    "backbones": [{"name": "tiny", "preset": "tiny"}], "arms": [{"name": "random"}, {"name": "whole-word"}],
    "statistics": {"family": [["whole-word", "random"]], "margin": 0.01},
}  # fmt: skip


def study(tune):
    return check_study(TREE | {"tune": tune})


def test_a_tasks_own_table_changes_what_all_tasks_share():
    made = study({"max_epochs": 3, "learning_rate": 1e-3, "pos": {"max_epochs": 1, "seeds": "0-2"}})
    assert [made.tuning(task).max_epochs for task in ("pos", "ner")] == [1, 3]
    assert {made.tuning(task).learning_rate for task in ("pos", "ner")} == {1e-3}
    assert [made.tuning_seeds_of(task) for task in ("pos", "ner")] == [(0, 1, 2), (7,)]


def test_runs_are_counted_by_each_tasks_own_seeds():
    lines = outline(study({"ner": {"seeds": [0, 1, 2]}}))
    assert lines[0].startswith("16 runs: ") and "1 tuning seeds of pos; 3 tuning seeds of ner" in lines[0]
    assert "x 1 tuning seeds" in outline(study({}))[0]


def test_a_plan_shows_the_code_of_others_that_would_run():
    arms = [{"name": "random"}, {"name": "rare", "score": "mine:rare"}]
    own = check_study(TREE | {"arms": arms, "statistics": {"family": [["rare", "random"]], "margin": 0.01}})
    assert outline(own)[-1] == "Code of others that is imported and run: mine:rare."
    assert not any("imported" in line for line in outline(study({})))


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"nre": {"max_epochs": 1}}, "not a task of the study that is tuned. Did you mean 'ner'"),
        ({"ner": {"max_epoch": 1}}, "Unknown setting 'tune.max_epoch'. Did you mean 'max_epochs'"),
        ({"ner": {"seeds": []}}, "tune.ner.seeds.*there is no seed"),
        ({"ner": {"seeds": [1, 1]}}, "the seed 1 is there twice"),
        ({"max_epoch": 1}, "Unknown setting 'tune.max_epoch'"),
    ],
)
def test_mistakes_in_a_tasks_table_are_refused(tune, message):
    with pytest.raises(InputError, match=message):
        study(tune)
