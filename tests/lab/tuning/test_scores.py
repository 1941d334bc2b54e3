import statistics
from pathlib import Path

import pytest

from maskwise.lab.tasks.table import COLA, GLUE, MNLI, MRPC, TASKS
from maskwise.lab.tuning.metrics import metric_names
from maskwise.lab.tuning.scores import PAPER_TASKS, FinetuneResult, TaskScores
from maskwise.lab.tuning.settings import TuneSettings

# A row of the entropy masking paper's Table 1, BERTlet with marginal masking, whose printed Total is 64.17.
BERTLET_MARG = {"cola": 69.03, "mrpc": 80.28, "qqp": 77.18, "rte": 54.15, "sst2": 81.88, "qnli": 71.24, "mnli": 68.6}


def scores(task, *values, one_class=()):
    results = {
        seed: {"metrics": dict.fromkeys(metric_names(task), value), "one_class": seed in one_class}
        for seed, value in enumerate(values)
    }
    return TaskScores(task, results, {"constant": dict.fromkeys(metric_names(task), 0.5)})


def result(*tasks):
    return FinetuneResult(Path(), "ckpt", TuneSettings(), tasks)


def test_the_papers_seven_tasks():
    assert {task.name for task in PAPER_TASKS} == set(BERTLET_MARG)


def test_the_total_comes_from_the_cells_and_only_when_all_seven_are_there():
    tasks = [scores(TASKS[name], value / 100) for name, value in BERTLET_MARG.items()]
    total = result(*tasks).paper_total
    assert total == pytest.approx(statistics.fmean(BERTLET_MARG.values()) / 100)
    assert result(*tasks[1:]).paper_total is None
    assert f"(7 tasks): {100 * total:.2f}" in result(*tasks).table()


def test_the_glue_average_weighs_tasks_alike_whatever_the_number_of_their_metrics():
    tasks = [scores(task, 0.5) for task in GLUE]
    tasks[0] = scores(COLA, 0.2)
    odd = {0: {"metrics": {"accuracy": 0.6, "f1": 0.8}}}
    tasks[2] = TaskScores(MRPC, odd, {})
    assert result(*tasks).glue_average == pytest.approx((0.2 + 0.7 + 7 * 0.5) / 9)
    without_wnli = [task for task in tasks if task.task.name != "wnli"]
    assert result(*without_wnli).glue_average is None
    assert result(*without_wnli).glue_average_without_wnli == pytest.approx((0.2 + 0.7 + 6 * 0.5) / 8)


def test_every_seed_mean_and_deviation_are_in_the_table():
    table = result(scores(MNLI, 0.4, 0.5, 0.9, one_class=(1,))).table()
    row = next(line for line in table.splitlines() if "accuracy_mismatched" in line).split()
    assert row[2:7] == ["40.00", "50.00", "90.00", "60.00", f"{100 * statistics.stdev((0.4, 0.5, 0.9)):.2f}"]
    assert " ".join(row[7:]) == "50.00 (constant) one class: seed 1"


def test_one_seed_has_no_deviation():
    made = result(scores(COLA, 0.4))
    assert made.tasks[0].as_dict()["metrics"]["accuracy"]["sd"] is None
    assert " - " in made.table()
