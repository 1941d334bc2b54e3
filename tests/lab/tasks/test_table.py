import pytest

from maskwise.errors import InputError
from maskwise.lab.tasks.table import COLA, GLUE, MNLI, TASKS, find_task


def test_the_nine_tasks_of_glue_are_there():
    assert {task.name for task in GLUE} == {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"}
    assert [task.name for task in GLUE if len(task.text_columns) == 1] == ["cola", "sst2"]
    assert [task.name for task in GLUE if task.kind == "regress"] == ["stsb"]
    assert [len(task.classes) for task in GLUE if task is MNLI] == [3]
    assert all(len(task.tsv_columns) == len(task.text_columns) + 1 for task in GLUE)


def test_the_papers_metrics_are_those_of_its_seven_tasks():
    """STS-B and WNLI are not among them; CoLA is by accuracy, MNLI by its mismatched set."""
    paper = {task.name: task.paper for task in GLUE if task.paper}
    assert paper == {
        "cola": "accuracy", "sst2": "accuracy", "mrpc": "f1", "qqp": "accuracy", "mnli": "accuracy_mismatched",
        "qnli": "accuracy", "rte": "accuracy",
    }  # fmt: skip


def test_an_unknown_task_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"No task 'colla'\. Did you mean 'cola'\?"):
        find_task("colla")


def test_columns_make_a_task_of_yours_and_replace_those_of_a_known_one():
    task = find_task("reviews", text_columns=("title", "body"), label_column="stars")
    assert (task.name, task.text_columns, task.label_column) == ("reviews", ("title", "body"), "stars")
    assert task.classes == ()
    assert find_task("cola", text_columns=("text",)).classes == COLA.classes


def test_names_are_keys():
    assert all(name == task.name for name, task in TASKS.items())
