"""The floor against counting by hand, and against a model that knows nothing but counts."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from maskwise.errors import InputError
from maskwise.evaluation.choices import credits
from maskwise.evaluation.pseudo_likelihood import pseudo_log_likelihood
from maskwise.evaluation.sentences import encode_sentences
from maskwise.evaluation.unigram import score_by_counts, unigram_log_probabilities

TRAINING_TEXT = "the cat was old and the dog was old . the woman walks with a dog in the garden . 猫"


@pytest.fixture(scope="module")
def counts(tiny_tokenizer):
    ids = tiny_tokenizer(TRAINING_TEXT)["input_ids"]
    return np.bincount(ids, minlength=len(tiny_tokenizer))


def test_the_floor_is_what_counting_by_hand_gives(tiny_tokenizer, counts):
    text = "the dog walks"
    tokens = [token for token in tiny_tokenizer.tokenize(TRAINING_TEXT)]
    found, total = Counter(tokens), len(tokens) + len(tiny_tokenizer)
    expected = sum(math.log((found[token] + 1) / total) for token in tiny_tokenizer.tokenize(text))
    scores = score_by_counts(
        encode_sentences(tiny_tokenizer, [text]), unigram_log_probabilities(counts, tiny_tokenizer)
    )
    assert scores.sums_S[0] == pytest.approx(expected)
    assert scores.num_tokens_S[0] == len(tiny_tokenizer.tokenize(text))


def test_the_probabilities_sum_to_one_and_special_tokens_count_as_unseen(tiny_tokenizer, counts):
    log_p_V = unigram_log_probabilities(counts, tiny_tokenizer)
    assert np.exp(log_p_V).sum() == pytest.approx(1)
    assert counts[tiny_tokenizer.cls_token_id] > 0
    assert log_p_V[tiny_tokenizer.cls_token_id] == log_p_V.min()
    assert log_p_V[tiny_tokenizer.unk_token_id] > log_p_V.min(), "[UNK] stands for a word"


@pytest.fixture
def model_of_counts(tiny_model, tiny_tokenizer, counts):
    """A masked language model whose body gives zeros: what it predicts is its decoder's bias."""
    with torch.no_grad():
        for parameter in tiny_model.parameters():
            parameter.zero_()
        tiny_model.cls.predictions.decoder.bias.copy_(
            torch.from_numpy(unigram_log_probabilities(counts, tiny_tokenizer) + 3.0)
        )
    return tiny_model.eval()


@pytest.mark.parametrize("metric", ["within-word", "original"])
def test_a_model_of_nothing_but_counts_scores_the_floor(tiny_tokenizer, model_of_counts, counts, pairs, metric):
    texts = [text for good, bad in pairs for text in (good, bad) if len(tiny_tokenizer(text)["input_ids"]) <= 64]
    floor = score_by_counts(encode_sentences(tiny_tokenizer, texts), unigram_log_probabilities(counts, tiny_tokenizer))
    found = pseudo_log_likelihood(model_of_counts, tiny_tokenizer, texts, metric=metric)
    assert len(texts) > 50
    assert np.abs(found.sums_S - floor.sums_S).max() < 1e-4


def test_it_gets_exactly_half_of_the_pairs_that_differ_in_order(tiny_tokenizer, model_of_counts, pairs):
    texts = []
    for good, _ in pairs:
        words = good.split()[:6]
        texts += [" ".join(words), " ".join(words[::-1])]
    scores_IO = pseudo_log_likelihood(model_of_counts, tiny_tokenizer, texts).sums_S.reshape(-1, 2)
    assert credits(scores_IO).tolist() == [0.5] * len(pairs)


@pytest.mark.parametrize(
    ("counts", "message"),
    [(np.ones(3), "the tokenizer has"), (np.zeros(500), "count nothing"), (-np.ones(500), "count nothing")],
    ids=["too few", "nothing", "negative"],
)
def test_counts_that_cannot_be_are_refused(tiny_tokenizer, counts, message):
    with pytest.raises(InputError, match=message):
        unigram_log_probabilities(counts, tiny_tokenizer)
