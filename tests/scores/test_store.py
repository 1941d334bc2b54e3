"""Scores stored from a script are the ones that the live score gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskwise import Entropy, Masker, Stored, Surprisal, store_scores, tokenize_rows
from maskwise.errors import InputError
from maskwise.masking.padding import pad_batch
from maskwise.masking.score import StatefulScore

TEXTS = ["the girl saw the river of the city", "a long street", "playing songs by the sea", "zebra", "old dog"]


@pytest.fixture
def rows(tiny_tokenizer):
    return tokenize_rows(TEXTS, tiny_tokenizer)


def batch_of(rows, tokenizer):
    numbered = [{**row, "example_id": i} for i, row in enumerate(rows)]
    return pad_batch(numbered[::-1], tokenizer.pad_token_id)


@pytest.mark.parametrize("kind", [Entropy, Surprisal])
@pytest.mark.parametrize("knows_tokenizer", [True, False])
def test_a_stored_teacher_gives_the_live_ones_scores_and_masks(
    tiny_tokenizer, tiny_model, rows, tmp_path, kind, knows_tokenizer
):
    score = kind(tiny_model, compiled=False)
    folder = store_scores(
        score, rows, tmp_path / "s", tokenizer=tiny_tokenizer if knows_tokenizer else None, batch_size=2, show=False
    )
    live, stored = Masker(score, tiny_tokenizer), Masker(Stored(folder), tiny_tokenizer)
    batch = batch_of(rows, tiny_tokenizer)
    prepared = live.prepare(batch)
    may_mask_BT = prepared["eligible"]
    assert torch.allclose(stored.scores(prepared)[may_mask_BT], live.scores(prepared)[may_mask_BT], atol=1e-5)
    assert torch.equal(stored(batch)["labels"], live(batch)["labels"])
    if knows_tokenizer:
        assert stored.scores(prepared)[~may_mask_BT].eq(0).all()
    assert Stored(folder).statistic == kind.__name__.lower()
    assert kind(Stored(folder), steps=3).source(prepared["state"]) == "teacher"


def test_a_function_of_ones_own_is_stored_under_its_name(tiny_tokenizer, rows, tmp_path):
    def longest(batch):
        return batch["input_ids"] / 2

    stored = Stored(store_scores(longest, rows, tmp_path / "s", show=False))
    batch = batch_of(rows, tiny_tokenizer)
    is_text_BT = batch["attention_mask"].bool()
    assert torch.equal(stored(batch)[is_text_BT], batch["input_ids"][is_text_BT] / 2)
    assert stored(batch)[~is_text_BT].eq(0).all()
    assert (stored.statistic, stored.manifest["score"].rpartition(".")[2]) == ("longest", "longest")
    with pytest.raises(InputError, match="reads stored entropy"):
        Entropy(stored)


def test_a_score_in_folds_is_stored_if_the_tokenizer_is_given(tiny_tokenizer, tiny_model, rows, tmp_path):
    score = Entropy(tiny_model, folds=3, compiled=False)
    with pytest.raises(InputError, match="Give store_scores the tokenizer="):
        store_scores(score, rows, tmp_path / "s", show=False)
    stored = Stored(store_scores(score, rows, tmp_path / "s", tokenizer=tiny_tokenizer, show=False))
    batch = Masker(score, tiny_tokenizer).prepare(batch_of(rows, tiny_tokenizer))
    assert torch.allclose(stored(batch), score(batch), atol=1e-5)


def test_the_model_is_left_as_it_was(tiny_model, rows, tmp_path):
    tiny_model.train()
    store_scores(Entropy(tiny_model, compiled=False), rows, tmp_path / "s", show=False)
    assert tiny_model.training
    assert all(parameter.requires_grad for parameter in tiny_model.parameters())


def test_another_model_has_another_hash(tiny_model, rows, tmp_path):
    first = Stored(store_scores(Entropy(tiny_model, compiled=False), rows, tmp_path / "1", show=False)).manifest
    with torch.no_grad():
        next(tiny_model.parameters())[0, 0] += 1
    other = Stored(store_scores(Entropy(tiny_model, compiled=False), rows, tmp_path / "2", show=False)).manifest
    assert first["teacher_sha256"] != other["teacher_sha256"]


class NotANumber(StatefulScore):
    def __call__(self, batch):
        return torch.where(batch["example_id"][:, None] == 3, torch.nan, batch["input_ids"].float())


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (NotANumber(), "not finite in row 3"),
        (lambda batch: batch["input_ids"][0], r"one number per token, shape .*returned \(12,\)"),
        (lambda batch: None, "returned NoneType"),
        (lambda batch: batch["tag"], "reads 'tag' of the batch"),
        (Entropy(), r"scores with the model in training"),
    ],
)
def test_a_bad_score_leaves_nothing_behind(rows, tmp_path, score, message):
    with pytest.raises(InputError, match=message):
        store_scores(score, rows, tmp_path / "s", show=False)
    assert not list(tmp_path.iterdir())


def test_a_stream_no_rows_and_a_folder_that_is_taken_are_refused(rows, tmp_path):
    for what, message in ((iter(rows), "found a stream"), ([], "no rows to score")):
        with pytest.raises(InputError, match=message):
            store_scores(lambda batch: batch["input_ids"], what, tmp_path / "s")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.tex").touch()
    with pytest.raises(InputError, match="not empty"):
        store_scores(lambda batch: batch["input_ids"], rows, tmp_path / "s", show=False)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", b"{", "cannot be read"),
        ("manifest.json", b"[]", "has no 'statistic'"),
        ("manifest.json", b'{"statistic": "entropy"}', "has no 'teacher'"),
        ("offsets.npy", b"", "missing or damaged"),
        ("offsets.npy", None, "missing or damaged"),
    ],
)
def test_a_damaged_folder_is_refused(rows, tmp_path, name, content, message):
    folder = store_scores(lambda batch: batch["input_ids"] / 1, rows, tmp_path / "s", show=False)
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        Stored(folder)


def test_offsets_that_fall_are_refused(rows, tmp_path):
    folder = store_scores(lambda batch: batch["input_ids"] / 1, rows, tmp_path / "s", show=False)
    offsets = np.load(folder / "offsets.npy")
    offsets[1] = offsets[2] + 1
    np.save(folder / "offsets.npy", offsets)
    with pytest.raises(InputError, match="does not hold where rows begin"):
        Stored(folder)


def test_a_stored_score_prints_what_it_holds(rows, tmp_path):
    folder = store_scores(lambda batch: batch["input_ids"] / 1, rows, tmp_path / "s", show=False)
    assert repr(Stored(folder)) == f"Stored('{folder}': <lambda> of 5 rows, 37 tokens)"
