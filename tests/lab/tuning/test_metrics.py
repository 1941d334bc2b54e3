import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from maskwise.lab.tasks.table import COLA, MNLI, MRPC, QQP, STSB, TASKS
from maskwise.lab.tuning.metrics import TASK_METRICS, metric_names, score_split, selection_score

ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=60)


def by_counting(labels, predictions):
    """Accuracy, F1 and MCC from the four cells of the confusion matrix."""
    labels, predictions = np.array(labels, bool), np.array(predictions, bool)
    tp, tn = (labels & predictions).sum(), (~labels & ~predictions).sum()
    fp, fn = (~labels & predictions).sum(), (labels & ~predictions).sum()
    root = np.sqrt(float(tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return {
        "accuracy": (tp + tn) / len(labels),
        "f1": 2 * tp / max(2 * tp + fp + fn, 1),
        "matthews_correlation": (float(tp) * tn - float(fp) * fn) / root if root else 0.0,
    }


@given(ROWS)
def test_classification_metrics_equal_their_definitions(rows):
    labels, predictions = zip(*rows, strict=True)
    for name, expected in by_counting(labels, predictions).items():
        assert TASK_METRICS[name](np.array(labels), np.array(predictions)) == pytest.approx(expected, abs=1e-9)


def test_metrics_equal_the_libraries():
    random = np.random.default_rng(0)
    labels, predictions = random.integers(0, 2, 200), random.integers(0, 2, 200)
    assert score_split(MRPC, "validation", labels, predictions) == pytest.approx(
        {"accuracy": sk.accuracy_score(labels, predictions), "f1": sk.f1_score(labels, predictions)}, abs=1e-9
    )
    assert score_split(COLA, "validation", labels, predictions) == pytest.approx(
        {
            "matthews_correlation": sk.matthews_corrcoef(labels, predictions),
            "accuracy": sk.accuracy_score(labels, predictions),
        },
        abs=1e-9,
    )
    scores, guesses = random.normal(size=200), random.normal(size=200)
    assert score_split(STSB, "validation", scores, guesses) == pytest.approx(
        {
            "pearson": np.corrcoef(scores, guesses)[0, 1],
            "spearman": np.corrcoef(stats.rankdata(scores), stats.rankdata(guesses))[0, 1],
        },
        abs=1e-9,
    )


def test_a_constant_answer_has_a_score_and_no_warning():
    assert score_split(STSB, "validation", [1.0, 2.0, 5.0], [3.0] * 3) == {"pearson": 0.0, "spearman": 0.0}
    assert score_split(COLA, "validation", [0, 1, 1], [1] * 3)["matthews_correlation"] == 0
    assert score_split(MRPC, "validation", [1, 1], [0, 0])["f1"] == 0


def test_mnli_is_scored_on_both_its_sets():
    labels, predictions = [0, 1, 2, 0], [0, 1, 2, 2]
    assert score_split(MNLI, "validation_matched", labels, predictions) == {"accuracy_matched": 0.75}
    assert score_split(MNLI, "validation_mismatched", labels, predictions) == {"accuracy_mismatched": 0.75}
    assert selection_score(MNLI, labels, predictions) == 0.75


def test_selection_is_by_the_mean_of_the_official_metrics():
    labels, predictions = [1, 1, 0, 0], [1, 0, 0, 0]
    assert selection_score(QQP, labels, predictions) == pytest.approx((0.75 + 2 / 3) / 2)
    assert selection_score(COLA, labels, predictions) == pytest.approx(sk.matthews_corrcoef(labels, predictions))


def test_every_task_of_classes_or_numbers_has_known_metrics():
    tasks = [task for task in TASKS.values() if task.kind in ("classify", "regress")]
    assert len(tasks) > 8
    for task in tasks:
        assert {name.split("_m")[0] if task is MNLI else name for name in metric_names(task)} <= set(TASK_METRICS)
