"""`maskwise evaluate` and `maskwise babylm` as a user types them."""

import json
import shutil

import pandas as pd
import pytest

from fixtures.runs import save_teacher
from maskwise.lab.evaluation.pairs import evaluate_pairs
from maskwise.lab.records.content import weights_hash
from maskwise.lab.records.record import check_files, read_record
from maskwise.lab.tokens.blocks import open_data
from maskwise.lab.tokens.content import data_hash

PAIRS = [("The statement is a list.", "The statement are a list."), ("an object has a value", "an value has a object")]


@pytest.fixture
def folder(tmp_path):
    rows = [{"sentence_good": good, "sentence_bad": bad} for good, bad in PAIRS]
    place = tmp_path / "mine"
    place.mkdir()
    (place / "agreement.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return place


def test_pairs_of_two_checkpoints_are_shown_and_kept(maskwise, folder, teacher, tiny_data, tmp_path):
    other = save_teacher(tiny_data, tmp_path / "other", scale=5)
    printed = maskwise(
        ["evaluate", teacher, other, "--pairs", folder, "--counts", tiny_data, "--out", tmp_path / "out", "--paradigms"]
    )
    assert printed.count("mine  ") >= 4
    assert "agreement" in printed
    assert "within-word pseudo-log-likelihood" in printed
    (expected,) = evaluate_pairs(str(other), [folder], token_counts=tiny_data, show=False).sets
    kept = json.loads((tmp_path / "out" / "other" / "pairs.json").read_text(encoding="utf-8"))
    assert kept["sets"]["mine"]["accuracy"] == expected.accuracy
    assert len(pd.read_parquet(tmp_path / "out" / "other" / "pairs.parquet")) == 2
    assert (tmp_path / "out" / teacher.name / "pairs.json").is_file()


def test_what_is_kept_has_a_record_of_what_it_was(maskwise, folder, teacher, tiny_data, tmp_path):
    maskwise(["evaluate", teacher, "--pairs", folder, "--counts", tiny_data, "--out", tmp_path / "pairs"])
    record = read_record(tmp_path / "pairs" / teacher.name)
    assert (record.kind, record.finished, record.seconds is not None) == ("evaluate", True, True)
    kept = json.loads((tmp_path / "pairs" / teacher.name / "pairs.json").read_text(encoding="utf-8"))
    assert record.metrics["mine.accuracy"].value == kept["sets"]["mine"]["accuracy"]
    assert set(record.baselines) == {"unigram floor", "chance"}
    assert record.content["checkpoint"] == weights_hash(str(teacher))
    assert record.content[f"pairs {folder}"] != "not known"
    check_files(tmp_path / "pairs" / teacher.name, record)
    assert {file.path for file in record.files.values()} == {"pairs.json", "pairs.parquet"}
    maskwise(["evaluate", teacher, "--data", tiny_data, "--blocks", "4", "--out", tmp_path / "data"])
    record = read_record(tmp_path / "data" / teacher.name)
    assert record.metrics["loss"].value > 0 and record.metrics["loss"].direction == "down"
    assert record.baselines["unigram floor"]["loss"] > 0
    assert record.content["data"] == data_hash(open_data(tiny_data))
    assert record.settings["blocks"] == 4


def test_whole_words_are_recorded_too(maskwise, teacher, tmp_path):
    (tmp_path / "text.txt").write_text("the statement is a list of names and values " * 30, encoding="utf-8")
    maskwise(["evaluate", teacher, "--words", tmp_path / "text.txt", "--out", tmp_path / "out"])
    record = read_record(tmp_path / "out" / teacher.name)
    assert record.metrics["nats_per_character"].direction == "down"
    assert record.metrics["whole_words_right"].unit == "share"


def test_options_reach_the_evaluation(maskwise, folder, teacher, tmp_path):
    rows = [{"right": good, "wrong": bad} for good, bad in PAIRS]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    columns = ["--good-column", "right", "--bad-column", "wrong"]
    printed = maskwise(
        ["evaluate", teacher, "--pairs", path, *columns, "--metric", "original", "--ties", "first", "--json"]
    )
    (found,) = json.loads(printed).values()
    expected = evaluate_pairs(
        str(teacher), [path], columns=("right", "wrong"), metric="original", ties="first", show=False
    )
    assert found["pairs"] == json.loads(expected.as_json())
    assert (found["pairs"]["metric"], found["pairs"]["ties"]) == ("original", "first")


def test_perplexity_and_word_formation_stand_in_one_answer(maskwise, teacher, tmp_path):
    (tmp_path / "text.txt").write_text("The statement is a list of names and values. " * 30, encoding="utf-8")
    forms = [{"sentences": f"a {name} ly\ta {name} ness", "ratio": i / 9} for i, name in enumerate("bcdefgh")]
    (tmp_path / "wug.jsonl").write_text("".join(json.dumps(row) + "\n" for row in forms), encoding="utf-8")
    wanted = ["--perplexity", tmp_path / "text.txt", "--word-formation", tmp_path / "wug.jsonl"]
    (found,) = json.loads(maskwise(["evaluate", teacher, *wanted, "--json"])).values()
    assert found["perplexity"]["perplexity"]["value"] > 1
    assert found["word_formation"]["items"] == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Say what to evaluate on"),
        (["--pairs", "mine", "--data", "data"], "Say what to evaluate on"),
        (["--pairs", "nowhere"], "There is no file or folder nowhere"),
        (["--pairs", "mine", "--metric", "orignal"], "Did you mean 'original'"),
        (["--pairs", "mine", "--ties", "good"], "no rule 'good' for ties"),
        (["--pairs", "mine", "--good-column", "x"], "go together"),
        (["--words", "mine", "--paradigms"], "--paradigms is an option of what is evaluated without"),
        (["--words", "mine", "--by-entropy-of", "x"], "--by-entropy-of is an option of --data"),
        (["--pairs", "mine", "--blocks", "5"], "--blocks is an option of --data and --words"),
        (["--reading", "nowhere.csv"], "nowhere.csv is not a readable CSV file"),
        (["--word-formation", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_mistakes_are_one_message(refused, teacher, folder, monkeypatch, options, message):
    monkeypatch.chdir(folder.parent)
    assert message in refused(["evaluate", teacher, *options])


def test_a_checkpoint_named_twice_and_a_folder_in_use_are_refused_first(refused, teacher, folder, tmp_path):
    assert "Two checkpoints are called" in refused(["evaluate", teacher, teacher, "--pairs", folder])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    assert "not empty" in refused(["evaluate", teacher, "--pairs", folder, "--out", tmp_path / "out"])


def test_a_failure_leaves_no_folder_of_results(refused, teacher, folder, tmp_path):
    broken = shutil.copytree(teacher, tmp_path / "broken")
    (broken / "config.json").unlink()
    assert "broken" in refused(["evaluate", teacher, broken, "--pairs", folder, "--out", tmp_path / "out"])
    assert not (tmp_path / "out").exists()


def test_babylm_writes_its_tree_and_names_what_is_missing(maskwise, refused, teacher, tmp_path):
    rows = [{"sentence_good": "a name is bound", "sentence_bad": f"a name are bound {i}"} for i in range(50)]
    place = tmp_path / "evaluation_data" / "fast_eval" / "supplement_fast"
    place.mkdir(parents=True)
    (place / "agreement.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data, out = tmp_path / "evaluation_data", tmp_path / "results"
    printed = maskwise(["babylm", teacher, "--data", data, "--out", out, "--name", "mine"])
    assert "supplement_fast" in printed
    assert "missing for the collating script" in printed
    kept = out / "mine" / "main" / "zero_shot" / "mlm" / "blimp" / "supplement_fast" / "predictions.json"
    assert len(json.loads(kept.read_text(encoding="utf-8"))["agreement"]["predictions"]) == 50
    (tmp_path / "empty").mkdir()
    assert "none of BabyLM's data sets" in refused(["babylm", teacher, "--data", tmp_path / "empty"])
