"""Words by the vocabulary's own marks, for tokenizers that give one word id to a whole text."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from fixtures.tokenizers import one_word
from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform
from maskwise.masking.word_marks import checked_word_marks, separates_words, word_marks

SENTENCE = "the walkers and the rivers were quieter\nwalking at noon along the country streets"


def words_by_marks(tokens, mark):
    """The reference: a word begins at a mark, at a line's end and after it."""
    words = []
    for place, token in enumerate(tokens):
        if not words or token.startswith(mark) or token == "\n" or tokens[place - 1] == "\n":
            words.append([])
        words[-1].append(place)
    return words


@pytest.mark.parametrize("mark", ["\u2581", "\u0120"])
def test_a_tokenizer_that_sees_one_word_is_recognized_and_its_marks_tell_words_apart(mark):
    tokenizer = one_word(mark)
    encoding = tokenizer.backend_tokenizer.encode(SENTENCE, add_special_tokens=False)
    assert len(set(encoding.word_ids)) == 3, "the two lines, and the end of the first"
    assert not separates_words(tokenizer.backend_tokenizer)
    marks = word_marks(tokenizer.backend_tokenizer)
    expected = words_by_marks(encoding.tokens, mark)
    assert len(expected) == len(SENTENCE.split()) + 1, "and the line's end is a word of its own"
    ids = np.array(encoding.ids)
    assert {0, *np.flatnonzero(marks.starts(ids)).tolist()} == {word[0] for word in expected}
    assert torch.equal(marks.to_tensors().starts(torch.tensor(encoding.ids)), torch.from_numpy(marks.starts(ids)))


def test_a_tokenizer_that_separates_words_needs_no_marks(tiny_tokenizer):
    assert separates_words(tiny_tokenizer.backend_tokenizer)
    assert word_marks(tiny_tokenizer.backend_tokenizer) is None
    assert checked_word_marks(tiny_tokenizer) is None


def test_a_text_that_is_one_unknown_token_says_nothing_against_its_tokenizer():
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "[MASK]": 1}, unk_token="[UNK]"))
    assert separates_words(words)
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    assert separates_words(words)


@pytest.mark.parametrize("unit", ["word", "span"])
@pytest.mark.parametrize("mark", ["\u2581", "\u0120"])
def test_words_of_such_a_tokenizer_are_masked_whole(unit, mark):
    """Its pieces were masked on their own, silently: a text of more than 16 pieces is no word."""
    tokenizer = one_word(mark)
    encoding = tokenizer.backend_tokenizer.encode(SENTENCE, add_special_tokens=False)
    num_rows = 200
    batch = {
        "input_ids": torch.tensor(encoding.ids).expand(num_rows, -1),
        "word_ids": torch.tensor(encoding.word_ids).expand(num_rows, -1),
        "example_id": torch.arange(num_rows),
    }
    picked_BT = Masker(uniform, tokenizer, unit=unit, rate=0.3)(batch)["labels"] != IGNORE
    lengths = set()
    for word in words_by_marks(encoding.tokens, mark):
        assert torch.equal(picked_BT[:, word].any(-1), picked_BT[:, word].all(-1))
        lengths.add(len(word))
    assert max(lengths) > 1 and 0.2 < picked_BT.double().mean() < 0.4


@pytest.mark.parametrize("unit", ["word", "span"])
def test_words_that_nothing_tells_apart_are_refused_with_the_way_out(unit):
    tokenizer = one_word(mark=None)
    with pytest.raises(InputError, match=r"one word id to a whole text.*Use unit='token', or a unit of your own"):
        Masker(uniform, tokenizer, unit=unit)
    assert Masker(uniform, tokenizer, unit="token")


def test_slow_tokenizers_have_word_ids_of_your_own():
    assert checked_word_marks(object()) is None  # type: ignore[arg-type]
    assert isinstance(one_word(), PreTrainedTokenizerFast)
