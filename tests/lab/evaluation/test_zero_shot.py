import json

import numpy as np
import pandas as pd
import pytest

from maskwise.errors import InputError
from maskwise.lab.evaluation.pairs import evaluate_pairs
from maskwise.lab.evaluation.zero_shot import (
    check_zero_shot_tasks,
    evaluate_zero_shot,
    find_task_data,
    is_zero_shot,
    parse_zero_shot,
)


@pytest.fixture
def task_data(tmp_path):
    folder = tmp_path / "data" / "zero_shot" / "blimp"
    folder.mkdir(parents=True)
    pairs = [("the cat walks", "the cat walk"), ("a big dog", "big a dog"), ("she was old", "she were old")]
    rows = [{"sentence_good": good, "sentence_bad": bad} for good, bad in pairs]
    (folder / "agreement.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    wug = tmp_path / "data" / "wug_past_tense"
    wug.mkdir()
    forms = [{"sentences": f"a noun {stem}ly\ta noun {stem}ness", "ratio": i / 9} for i, stem in enumerate("bcdefghi")]
    (wug / "wug_past_tense.jsonl").write_text("".join(json.dumps(row) + "\n" for row in forms), encoding="utf-8")
    (tmp_path / "data" / "held_out.txt").write_text("the old cat was in the garden . " * 30, encoding="utf-8")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("task", "primary", "items", "is_better"),
    [
        ("pairs:blimp", "accuracy", 3, True),
        ("pairs:agreement", "accuracy", 3, True),
        ("word-formation:wug_past_tense", "correlation", 8, True),
        ("pseudo-perplexity:held_out.txt", "perplexity", 5, False),
    ],
)
def test_a_task_has_a_primary_metric_floors_and_predictions(
    task, primary, items, is_better, task_data, tiny_model, tiny_tokenizer, tmp_path
):
    counts = np.arange(len(tiny_tokenizer))
    result = evaluate_zero_shot(tiny_model, task, task_data, tokenizer=tiny_tokenizer, token_counts=counts, show=False)
    assert (result.task, result.primary, result.higher_is_better) == (task, primary, is_better)
    assert np.isfinite([result.metrics[primary], result.baselines["unigram"]]).all()
    out = result.write(tmp_path / "out")
    assert len(pd.read_parquet(out / "predictions.parquet")) == items
    assert json.loads((out / "zero_shot.json").read_text())


def test_entity_tracking_is_a_set_of_several_options(tmp_path, tiny_model, tiny_tokenizer):
    folder = tmp_path / "entity_tracking"
    folder.mkdir()
    options = [" the box", " the old tree", " a dog"]
    rows = [{"input_prefix": "the cat is in", "options": options, "numops": i % 2} for i in range(4)]
    (folder / "regular.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = evaluate_zero_shot(tiny_model, "pairs:entity_tracking", tmp_path, tokenizer=tiny_tokenizer, show=False)
    assert result.baselines["chance"] == pytest.approx(1 / 3)
    assert set(result.predictions["uid"]) == {"regular_0_ops", "regular_1_ops"}


def test_it_is_the_evaluation_of_that_name(task_data, tiny_model, tiny_tokenizer):
    result = evaluate_zero_shot(tiny_model, "pairs:blimp", task_data, tokenizer=tiny_tokenizer, show=False)
    folder = task_data / "zero_shot" / "blimp"
    (expected,) = evaluate_pairs(tiny_model, [folder], tokenizer=tiny_tokenizer, show=False).sets
    assert result.metrics["accuracy"] == expected.accuracy
    assert np.isnan(result.baselines["unigram"])


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("pair:blimp", "no zero-shot task 'pair:blimp'. Did you mean 'pairs'"),
        ("pairs", "needs the name of its data, such as 'pairs:blimp'"),
        ("reading:all", "takes no name"),
        ("word-formation:", "needs the name"),
    ],
)
def test_a_task_that_is_none_is_refused(task, message):
    with pytest.raises(InputError, match=message):
        parse_zero_shot(task)


def test_tasks_of_tuning_are_told_apart():
    assert [is_zero_shot(task) for task in ("pairs:x", "reading", "pos", "ner", "held_out")] == [True] * 2 + [False] * 3


def test_a_set_too_small_to_be_read_alone_needs_another(task_data):
    check_zero_shot_tasks(["pos", "pairs:supplement_fast", "pairs:blimp"])
    check_zero_shot_tasks(["pos", "ner"])
    with pytest.raises(InputError, match=r"250 pairs.*add another set"):
        check_zero_shot_tasks(["pos", "pairs:supplement_fast"])


def test_data_that_are_missing_or_there_twice_are_named(task_data):
    with pytest.raises(InputError, match="has no files or folders called 'zorro'"):
        find_task_data(parse_zero_shot("pairs:zorro"), task_data)
    (task_data / "other" / "blimp").mkdir(parents=True)
    with pytest.raises(InputError, match="has 2 files or folders called 'blimp'"):
        find_task_data(parse_zero_shot("pairs:blimp"), task_data)
    with pytest.raises(InputError, match="There is no folder"):
        find_task_data(parse_zero_shot("reading"), task_data / "nowhere")
