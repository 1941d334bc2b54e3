"""Labelling words: made-up sentences where the word tells its tag, some longer than the window."""

import json
import shutil
from itertools import chain

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn import metrics as sk
from transformers import AutoModelForTokenClassification, AutoTokenizer

from fixtures.tuned import NOUNS, QUICK, write_jsonl
from maskwise.lab.tasks.table import NER, POS
from maskwise.lab.tasks.tagging import Tagged, TaggedData
from maskwise.lab.tuning import tag
from maskwise.lab.tuning.finetune import finetune
from maskwise.lab.tuning.iob import entity_scores
from maskwise.lab.tuning.settings import TuneSettings
from maskwise.lab.tuning.tag import Tagging


def tagged_rows(number, seed):
    """Adjectives, nouns and verbs; an entity is "old", with "good" after it or not."""
    random, rows = np.random.default_rng(seed), []
    for i in range(number):
        drawn = random.choice([*NOUNS, "old", "teaching"], random.integers(2, 10 if i % 10 else 60)).tolist()
        words = [
            part for word in drawn for part in ([word, "good"] if word == "old" and random.random() < 0.5 else [word])
        ]
        upos = ["NOUN" if word in NOUNS else "VERB" if word == "teaching" else "ADJ" for word in words]
        tags = [{"old": "B-Old", "good": "I-Old"}.get(word, "O") for word in words]
        rows.append({"tokens": words, "upos": upos, "tags": tags})
    return rows


@pytest.fixture(scope="module")
def tagging(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagging")
    for split, number, seed in (("train", 200, 1), ("validation", 50, 2), ("test", 30, 3)):
        for name in ("pos", "ner"):
            write_jsonl(folder / name / f"{split}.jsonl", tagged_rows(number, seed))
    return folder


@pytest.fixture(scope="module")
def tuned(checkpoint, tagging, tmp_path_factory):
    """Both tasks with a window of 32 tokens, so that one sentence in ten is read in parts."""
    out = tmp_path_factory.mktemp("tagged")
    settings = TuneSettings(**QUICK | {"max_length": 32, "max_epochs": 8, "checkpoint_seconds": 60})
    return out, finetune(checkpoint, ["pos", "ner"], task_data=tagging, out=out, settings=settings, show=False)


def test_what_can_be_learnt_is_learnt(tuned):
    pos, ner = tuned[1].tasks
    assert pos.mean("accuracy") > 0.95 and pos.mean("accuracy_test") > 0.95
    assert ner.mean("entity_f1") > 0.9 > 0.5 > ner.baselines["constant"]["entity_f1"] > 0
    assert 0 < pos.baselines["constant"]["accuracy"] < pos.baselines["word list"]["accuracy"] == 1


def test_stored_metrics_are_those_of_the_stored_predictions(tuned):
    from seqeval.metrics import f1_score
    from seqeval.scheme import IOB2

    for name in ("pos", "ner"):
        table = pq.read_table(tuned[0] / name / "seed-0" / "predictions.parquet").to_pylist()
        result = json.loads((tuned[0] / name / "seed-0" / "result.json").read_text())
        for split, rows in (("validation", tagged_rows(50, 2)), ("test", tagged_rows(30, 3))):
            kept = [row for row in table if row["split"] == split]
            labels, predictions = ([row[key] for row in kept] for key in ("label", "prediction"))
            assert labels == [row["upos" if name == "pos" else "tags"] for row in rows]
            suffix = "" if split == "validation" else "_test"
            if name == "pos":
                expected = sk.accuracy_score(list(chain(*labels)), list(chain(*predictions)))
                assert result["metrics"]["accuracy" + suffix] == pytest.approx(expected, abs=1e-9)
            else:
                expected = f1_score(labels, predictions, mode="strict", scheme=IOB2)
                assert result["metrics"]["entity_f1" + suffix] == pytest.approx(expected, abs=1e-9)
        assert result["long"]["sentences read in parts"] > 10


def test_the_stored_model_predicts_the_same_with_nothing_of_ours(tuned):
    """On sentences that fit into one window."""
    folder = tuned[0] / "pos" / "seed-0"
    model, tokenizer = AutoModelForTokenClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    compared = 0
    for row, sentence in zip(
        pq.read_table(folder / "predictions.parquet").to_pylist(), tagged_rows(50, 2), strict=False
    ):
        if len(sentence["tokens"]) < 10:
            encoded = tokenizer(sentence["tokens"], is_split_into_words=True, return_tensors="pt")
            with torch.no_grad():
                ids = model(**encoded).logits[0].argmax(-1).tolist()
            words = encoded.word_ids()
            first = [words.index(word) for word in range(len(sentence["tokens"]))]
            assert [model.config.id2label[ids[place]] for place in first] == row["prediction"]
            compared += 1
    assert compared > 30


def test_a_classifier_alone_is_trained_where_frozen(checkpoint, tagging, tmp_path):
    settings = TuneSettings(**QUICK | {"freeze": True, "max_epochs": 1})
    finetune(checkpoint, ["pos"], task_data=tagging, out=tmp_path, settings=settings, show=False)
    result = json.loads((tmp_path / "pos" / "seed-0" / "result.json").read_text())
    assert result["trained"] == ["classifier.bias", "classifier.weight"]


def test_an_unfinished_run_goes_on_to_the_same_scores(checkpoint, tagging, tmp_path, monkeypatch):
    """The run is stopped when it has been trained and is not yet graded."""
    settings = TuneSettings(**QUICK | {"max_epochs": 3, "patience": 3})
    data = Tagging().load(POS, tagging)
    for name in ("broken", "whole"):
        (tmp_path / name).mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(tag, "_grade_held_out", _stop)
        with pytest.raises(KeyboardInterrupt):
            Tagging().tune(str(checkpoint), POS, data, settings, 0, tmp_path / "broken", show=False)
    assert list((tmp_path / "broken").glob("checkpoint-*"))
    runs = [
        Tagging().tune(str(checkpoint), POS, data, settings, 0, tmp_path / name, show=False)
        for name in ("broken", "whole")
    ]
    assert runs[0]["metrics"] == runs[1]["metrics"]


def _stop(*arguments):
    raise KeyboardInterrupt


def test_the_constant_row_is_the_best_of_all_tags():
    split = Tagged("ner", [["a", "b", "c"]], [["B-X", "O", "O"]])
    rows = Tagging().baselines(NER, TaggedData(split, {"validation": split}, ("B-X", "O")))
    assert rows["constant"]["entity_f1"] == entity_scores(split.tags, [["B-X"] * 3])["entity_f1"] == 0.5
    assert rows["word list"]["entity_f1"] == 1


def test_an_unseen_word_gets_the_commonest_tag_of_all():
    train = Tagged("pos", [["a", "b", "c"]], [["X", "Y", "Y"]])
    held_out = Tagged("pos", [["a", "new"]], [["X", "Y"]])
    assert Tagging().baselines(POS, TaggedData(train, {"validation": held_out}, ("X", "Y")))["word list"] == {
        "accuracy": 1,
        "accuracy_pooled": 1,
    }


def test_bad_tagging_data_is_refused_at_the_command_line(refused, checkpoint, tagging, tmp_path):
    def said(task, *more):
        where = ["--task-data", str(tmp_path), "--out", str(tmp_path / "out")]
        return refused(["finetune", str(checkpoint), "--task", task, *where, *more])

    shutil.copytree(tagging / "pos", tmp_path, dirs_exist_ok=True)
    assert "the tag 'ADJ' is not of IOB2" in said("ner", "--label-column", "upos")
    assert "no column 'xpos'; found: 'tokens', 'upos', 'tags'" in said("pos", "--label-column", "xpos")
    write_jsonl(tmp_path / "validation.jsonl", [{"tokens": ["a", "dog"], "upos": ["DET"]}])
    assert "sentence 1 (validation.jsonl, line 1) has 2 words and 1 tags" in said("pos")
    (tmp_path / "validation.jsonl").unlink()
    assert "no validation file for the task 'pos'; found: test.jsonl, train.jsonl" in said("pos")
    assert not (tmp_path / "out").exists()


@pytest.mark.data
def test_rows_without_a_model_on_real_sets(data_root):
    pos = Tagging().baselines(POS, Tagging().load(POS, data_root / "tagging"))
    assert pos["constant"]["accuracy"] == pytest.approx(4210 / 25147)
    assert 0.85 < pos["word list"]["accuracy_test"] < 0.87
    ner = Tagging().baselines(NER, Tagging().load(NER, data_root / "tagging"))
    assert ner["constant"]["entity_f1"] < 0.03 < 0.4 < ner["word list"]["entity_f1"] < 0.43
