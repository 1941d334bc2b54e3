"""Items are read back as the metrics saw them: every score by items is the tuned model's own."""

import numpy as np
import pytest
from sklearn import metrics as sk

from maskwise.lab.records.record import RunRecord, write_record
from maskwise.lab.reports.predictions import held_out_of, paired_items, stored_items, valued_items
from maskwise.lab.study.study_file import check_study
from maskwise.lab.tasks.table import CHEMPROT, MNLI, MRPC, NER, POS, RETRIEVAL, STSB
from maskwise.lab.tuning.results import write_predictions
from maskwise.lab.tuning.tag import score_splits

SEEDS, TUNING = range(3), range(2)


def write_runs(folder, make):
    """Files of two arms by seed and tuning seed; `make(random, arm)` gives a run's columns."""
    random, paths = np.random.default_rng(0), []
    for arm in range(2):
        paths.append([])
        for seed in SEEDS:
            paths[arm].append([])
            for tuning in TUNING:
                path = folder / f"{arm}-{seed}-{tuning}.parquet"
                write_predictions(path, make(random, arm))
                paths[arm][seed].append(path)
    return paths


def classes(random, arm, splits=("validation",), num_classes=2):
    labels = np.tile(np.arange(40) % num_classes, len(splits))
    answers = np.where(random.random(len(labels)) < (0.9, 0.6)[arm], labels, (labels + 1) % num_classes)
    return {"split": np.repeat(splits, 40).tolist(), "label": labels, "prediction": answers}


def tags(random, arm, tag_set=("O", "B-X", "I-X")):
    rows = {"split": ["validation"] * 12 + ["test"] * 8, "label": [], "prediction": []}
    fixed = np.random.default_rng(1)
    for _ in rows["split"]:
        label = fixed.integers(3, size=fixed.integers(2, 7))
        answer = np.where(random.random(len(label)) < (0.9, 0.6)[arm], label, random.integers(3, size=len(label)))
        rows["label"].append([tag_set[i] for i in label])
        rows["prediction"].append([tag_set[i] for i in answer])
    return rows


def score_runs(paths, score):
    import pyarrow.parquet as pq

    means = [np.mean([score(pq.read_table(p).to_pydict()) for seed in arm for p in seed]) for arm in paths]
    return means[0] - means[1]


@pytest.mark.parametrize(
    ("metric", "score"),
    [("f1", sk.f1_score), ("accuracy", sk.accuracy_score)],
)
def test_examples_of_a_class(tmp_path, metric, score):
    paths = write_runs(tmp_path, classes)
    items = paired_items(MRPC, metric, *paths)
    expected = score_runs(paths, lambda run: score(run["label"], run["prediction"]))
    assert items.bootstrap(0.05).mean == pytest.approx(expected)
    assert items.differences_SE.shape == (3, 40)
    assert items.differences_SE.mean() == pytest.approx(expected, abs=0.01)


def test_each_of_mnlis_sets_has_its_own_items(tmp_path):
    paths = write_runs(tmp_path, lambda random, arm: classes(random, arm, MNLI.held_out, 3))
    for metric, part in (("accuracy_matched", slice(0, 40)), ("accuracy_mismatched", slice(40, 80))):
        items = paired_items(MNLI, metric, *paths)
        expected = score_runs(paths, lambda run, part=part: np.mean(np.equal(run["label"], run["prediction"])[part]))
        assert items.bootstrap(0.05).mean == pytest.approx(expected)


def test_classes_that_one_arm_never_predicts(tmp_path):
    paths = write_runs(
        tmp_path, lambda random, arm: classes(random, arm, num_classes=5 - 3 * arm) | {"label": [0] * 40}
    )
    items = paired_items(CHEMPROT, "macro_f1", *paths)
    score = score_runs(paths, lambda run: sk.f1_score(run["label"], run["prediction"], average="macro"))
    assert items.bootstrap(0.05).mean == pytest.approx(score)


@pytest.mark.parametrize(("task", "name"), [(POS, "accuracy"), (NER, "entity_f1")], ids=["pos", "ner"])
@pytest.mark.parametrize(("ending", "number"), [("", 12), ("_test", 8), ("_pooled", 20)])
def test_sentences_are_the_items_of_tagging(tmp_path, task, name, ending, number):
    paths = write_runs(tmp_path, tags)
    items = paired_items(task, name + ending, *paths)

    def score(run):
        rows = {
            column: {
                split: [tags for tags, of in zip(run[column], run["split"], strict=True) if of == split]
                for split in ("validation", "test")
            }
            for column in ("label", "prediction")
        }
        return score_splits(task, rows["label"], rows["prediction"])[name + ending]

    assert items.bootstrap(0.05).mean == pytest.approx(score_runs(paths, score))
    assert items.differences_SE.shape == (3, number)
    found = items.interval(0.1, 0.05)
    assert found.low < 0.1 < found.high and found.item_error > 0


def test_queries_are_the_items_of_retrieval(tmp_path):
    def queries(random, arm):
        return {"split": ["test"] * 30, "ndcg@10": random.beta(3 - arm, 2, size=30)}

    paths = write_runs(tmp_path, queries)
    items = paired_items(RETRIEVAL, "ndcg@10", *paths)
    expected = score_runs(paths, lambda run: np.mean(run["ndcg@10"]))
    assert items.bootstrap(0.05).mean == pytest.approx(expected) == items.differences_SE.mean()


def test_minimal_pairs_are_averaged_over_paradigms_and_drawn_within(tmp_path):
    uids = ["a"] * 10 + ["b"] * 50

    def pairs(random, arm):
        right = random.random(60) < np.where(np.array(uids) == "a", 0.9, 0.5) - 0.2 * arm
        return {"uid": uids, "credit": np.where(random.random(60) < 0.1, 0.5, right.astype(float))}

    paths = write_runs(tmp_path, pairs)
    items = valued_items(*paths, value="credit", stratum="uid")

    def macro(run):
        credit, uid = np.array(run["credit"]), np.array(run["uid"])
        return np.mean([credit[uid == name].mean() for name in ("a", "b")])

    expected = score_runs(paths, macro)
    assert items.bootstrap(0.05).mean == pytest.approx(expected)
    found = items.interval(expected, 0.05)
    parts = [items.differences_SE.mean(0)[np.array(uids) == name] for name in ("a", "b")]
    assert found.item_error == pytest.approx(np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)) / 2)
    assert valued_items(*paths, value="credit", stratum="phenomenon") is None


def test_a_studys_files_are_found_by_its_layout(tmp_path):
    tree = {
        "seeds": [0, 1, 2], "tuning_seeds": [0, 1], "tasks": ["mrpc"], "pretrain": {"data": {"path": "d"}},
        "backbones": [{"name": "tiny", "preset": "tiny"}], "arms": [{"name": "random"}, {"name": "bert"}],
        "statistics": {"family": [["bert", "random"]], "margin": 0.01},
    }  # fmt: skip
    study = check_study(tree)
    place = ("bert", "random", "tiny", "mrpc", [0, 1, 2])
    assert stored_items(study, tmp_path, *place) is None
    for arm, of_arm in zip(("bert", "random"), write_runs(tmp_path, classes), strict=True):
        for seed, of_seed in enumerate(of_arm):
            for tuning, path in enumerate(of_seed):
                folder = tmp_path / "runs" / arm / "tiny" / str(seed) / "mrpc" / "mrpc" / f"seed-{tuning}"
                folder.mkdir(parents=True)
                path.rename(folder / "predictions.parquet")
                settings = {"task": "mrpc", "task kind": "classify", "held out": ["validation"]}
                write_record(folder, RunRecord(kind="tune", settings=settings))
    assert stored_items(study, tmp_path, *place).differences_SE.shape == (3, 40)


def test_what_cannot_be_counted_by_items_has_none(tmp_path):
    paths = write_runs(tmp_path, classes)
    assert paired_items(STSB, "pearson", *paths) is None
    assert paired_items(MRPC, "unknown", *paths) is None


def test_runs_on_other_items_are_not_paired(tmp_path):
    def other(random, arm):
        return classes(random, arm) | {"label": (np.arange(40) + arm) % 2}

    assert paired_items(MRPC, "f1", *write_runs(tmp_path, other)) is None


def test_endings_name_the_held_out_sets():
    assert held_out_of(MRPC, "f1") == ("f1", ("validation",))
    assert held_out_of(MNLI, "accuracy_mismatched") == ("accuracy", ("validation_mismatched",))
    assert held_out_of(POS, "accuracy_test") == ("accuracy", ("test",))
    assert held_out_of(POS, "accuracy") == ("accuracy", ("validation",))
    assert held_out_of(RETRIEVAL, "ndcg@10") == ("ndcg@10", ("test",))
