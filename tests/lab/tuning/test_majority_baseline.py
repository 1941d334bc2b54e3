import pytest

from maskwise.lab.tasks.classification import Split, TaskData, load_task
from maskwise.lab.tasks.table import COLA, MNLI, MRPC, STSB, find_task
from maskwise.lab.tuning.majority_baseline import constant_scores


def made_up(classes, **labels):
    splits = {name: Split(name, (["x"] * len(values),), values) for name, values in labels.items()}
    return TaskData(next(iter(splits.values())), splits, classes)


def test_each_metric_has_its_own_best_constant():
    data = made_up(("no", "yes"), validation=[0, 0, 0, 1])
    assert constant_scores(MRPC, data) == {"accuracy": 0.75, "f1": pytest.approx(0.4)}
    assert constant_scores(COLA, data) == {"matthews_correlation": 0.0, "accuracy": 0.75}


def test_a_regression_has_nothing_to_gain_from_a_constant():
    assert constant_scores(STSB, made_up((), validation=[0.0, 5.0])) == {"pearson": 0.0, "spearman": 0.0}


def test_both_sets_of_mnli_have_their_own():
    data = made_up(("a", "b", "c"), validation_matched=[0, 0, 1], validation_mismatched=[2, 1, 0, 2])
    assert constant_scores(MNLI, data) == pytest.approx({"accuracy_matched": 2 / 3, "accuracy_mismatched": 0.5})


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "metric", "percent"),
    [("cola", "accuracy", 69.13), ("mrpc", "f1", 81.22), ("mrpc", "accuracy", 68.38), ("rte", "accuracy", 52.71),
     ("sst2", "accuracy", 50.92)],
)  # fmt: skip
def test_the_rows_of_glue_come_out_of_the_data(name, metric, percent, data_root):
    task = find_task(name)
    scores = constant_scores(task, load_task(task, data_root / "glue"))
    assert round(100 * scores[metric], 2) == percent
