"""Texts as rows, with the words that masking by word needs."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures.corpora import TEXTS
from maskwise import Masker, MaskingCollator, count_tokens, tokenize_rows, uniform
from maskwise.errors import InputError
from maskwise.lab.tokens.tokenizer import train_tokenizer
from maskwise.testing import word_tokenizer


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe"])
def test_rows_are_what_the_tokenizer_makes_of_each_text_alone(kind):
    tokenizer = train_tokenizer(lambda: iter(TEXTS), 400, kind)
    rows = tokenize_rows(TEXTS, tokenizer, 512)
    for row, text in zip(rows, TEXTS, strict=True):
        encoding = tokenizer(text)
        assert row["input_ids"] == encoding["input_ids"]
        assert row["word_ids"] == [-1 if word is None else word for word in encoding.word_ids()]
        assert row["word_ids"][0] == row["word_ids"][-1] == -1


def test_long_texts_are_cut_with_their_last_special_token_and_rows_are_not_padded(tiny_tokenizer):
    rows = tokenize_rows(["the city " * 50, "the city"], tiny_tokenizer, 10)
    assert [len(row["input_ids"]) for row in rows] == [10, 4]
    assert rows[0]["input_ids"][-1] == tiny_tokenizer.sep_token_id
    by_default = tokenize_rows(["the city " * 50], tiny_tokenizer)
    assert len(by_default[0]["input_ids"]) == tiny_tokenizer.model_max_length
    assert len(tokenize_rows(["a " * 600], word_tokenizer("a"))[0]["input_ids"]) == 512
    assert tokenize_rows([], tiny_tokenizer) == []


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_every_unit_can_be_masked_in_these_rows(tiny_tokenizer, unit):
    collator = MaskingCollator(Masker(uniform, tiny_tokenizer, unit=unit, rate=0.4))
    collator.set_epoch(0)
    batch = collator(tokenize_rows(["playing quickly by the river", "un##able zebra"], tiny_tokenizer, 32))
    assert (batch["labels"] >= 0).any(dim=-1).all()


def test_a_tokenizers_own_word_ids_may_hold_none(tiny_tokenizer):
    """What `encoding.word_ids()` gives is what people put into their rows."""
    text = "playing quickly by the river"
    encoding = tiny_tokenizer(text)
    row = {"input_ids": encoding["input_ids"], "word_ids": encoding.word_ids()}
    assert None in row["word_ids"]
    collator = MaskingCollator(Masker(uniform, tiny_tokenizer, unit="word", rate=0.4))
    collator.set_epoch(0)
    theirs, ours = collator([row]), collator(tokenize_rows([text], tiny_tokenizer))
    assert theirs["labels"].tolist() == ours["labels"].tolist()


def test_tokens_are_counted_without_padding(tiny_tokenizer):
    rows = tokenize_rows(["the city", "the river the"], tiny_tokenizer)
    expected = np.bincount([*rows[0]["input_ids"], *rows[1]["input_ids"]], minlength=len(tiny_tokenizer))
    assert np.array_equal(count_tokens(rows, tiny_tokenizer), expected)
    padded = {"input_ids": [*rows[0]["input_ids"], 0, 0], "attention_mask": [1, 1, 1, 1, 0, 0]}
    assert np.array_equal(count_tokens([padded, rows[1]], tiny_tokenizer), expected)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", r"write tokenize_rows\(\[text\], tokenizer\)"),
        (None, "a list of texts; found NoneType"),
        (["fine", None], "number 1 is NoneType"),
        ([{"text": "a"}], r"\[row\['text'\] for row in rows\]"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(tiny_tokenizer, texts, message):
    with pytest.raises(InputError, match=message):
        tokenize_rows(texts, tiny_tokenizer)
