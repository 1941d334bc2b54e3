"""Surprisal after a left context, against a loop over plain forward passes."""

import numpy as np
import pytest
import torch

from maskwise.errors import InputError
from maskwise.evaluation.surprisal import word_surprisal

CONTEXTS = ["the old cat", "", "He was teaching the", "the old cat"]
WORDS = ["walks", "the", "zebra.", "was"]


def by_plain_passes(model, tokenizer, context, word, num_masks):
    """One text at a time, put together from ids."""
    left = tokenizer(context, add_special_tokens=False)["input_ids"]
    pieces = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word))
    total = 0.0
    for number, piece in enumerate(pieces):
        seen = [tokenizer.cls_token_id, *left, *pieces[:number]]
        ids = torch.tensor([[*seen, *[tokenizer.mask_token_id] * num_masks, tokenizer.sep_token_id]])
        with torch.no_grad():
            log_p_V = model(input_ids=ids).logits[0, len(seen)].double().log_softmax(-1)
        total -= log_p_V[piece].item()
    return total


@pytest.mark.parametrize("num_masks", [1, 3])
def test_surprisals_are_those_of_plain_passes(tiny_tokenizer, tiny_model, num_masks):
    model = tiny_model.eval()
    found = word_surprisal(model, tiny_tokenizer, CONTEXTS, WORDS, num_masks=num_masks)
    expected = [by_plain_passes(model, tiny_tokenizer, *both, num_masks) for both in zip(CONTEXTS, WORDS, strict=True)]
    assert len(tiny_tokenizer.tokenize("zebra.")) > 3
    assert np.abs(found - expected).max() < 1e-5


def test_what_follows_a_word_is_not_seen(family):
    """A word is tokenized as it stands after its context: with its space, in byte-level tokenizers."""
    tokenizer, model = family
    found = word_surprisal(model, tokenizer, ["see the", "see the"], ["documentation", "documentation"])
    assert found[0] == found[1] > 0
    longer = word_surprisal(model, tokenizer, ["see the documentation"], ["documentation"])
    assert longer[0] != found[0]


def test_a_word_of_nothing_is_refused(tiny_tokenizer, tiny_model):
    with pytest.raises(InputError, match="no token to score"):
        word_surprisal(tiny_model, tiny_tokenizer, ["the"], [""])


def test_the_word_itself_needs_a_mask(tiny_tokenizer, tiny_model):
    with pytest.raises(InputError, match="num_masks is 0"):
        word_surprisal(tiny_model, tiny_tokenizer, ["the"], ["cat"], num_masks=0)
