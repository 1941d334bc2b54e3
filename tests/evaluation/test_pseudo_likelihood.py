"""Pseudo-log-likelihoods against minicons, and what a score may not depend on."""

import numpy as np
import pytest
import torch
from minicons.scorer import MaskedLMScorer

from maskwise.errors import InputError
from maskwise.evaluation import cloze
from maskwise.evaluation.pseudo_likelihood import pseudo_log_likelihood, pseudo_perplexity

THEIR_NAME = {"within-word": "within_word_l2r", "original": "original"}


def by_minicons(model, tokenizer, texts, metric, batch_size=8):
    scorer = MaskedLMScorer(model, "cpu", tokenizer=tokenizer)
    found = []
    for first in range(0, len(texts), batch_size):
        # Its own call of the tokenizer uses a method that transformers 5 no longer has.
        encoded = tokenizer(texts[first : first + batch_size], padding="longest", return_attention_mask=True)
        scores = scorer.compute_stats(scorer.prepare_text(encoded, THEIR_NAME[metric]), return_tensors=True)
        found += [(score.double().sum().item(), len(score)) for score in scores]
    return np.array(found)


@pytest.mark.parametrize("metric", THEIR_NAME)
def test_scores_are_those_of_minicons(family, pairs, metric):
    tokenizer, model = family
    texts = [text for pair in pairs for text in pair]
    expected = by_minicons(model, tokenizer, texts, metric)
    found = pseudo_log_likelihood(model, tokenizer, texts, metric=metric)
    assert found.num_tokens_S.tolist() == expected[:, 1].tolist()
    assert np.abs(found.sums_S - expected[:, 0]).max() < 1e-4
    assert found.sums_S.std() > 10


def test_the_pairs_have_words_of_several_pieces_and_long_sentences(family, pairs):
    tokenizer, _ = family
    pieces = [tokenizer(text)["input_ids"] for pair in pairs for text in pair]
    assert min(map(len, pieces)) < 20
    assert max(map(len, pieces)) > 64
    per_word = np.mean([(len(ids) - 2) / len(text.split()) for ids, pair in zip(pieces[::2], pairs, strict=True) for text in pair[:1]])
    assert per_word > 1.3


def test_the_metrics_differ_on_at_least_30_percent_of_the_pairs(family, pairs):
    tokenizer, model = family
    texts = [text for pair in pairs for text in pair]
    within, original = (pseudo_log_likelihood(model, tokenizer, texts, metric=m).sums_S for m in THEIR_NAME)
    differs_P = (np.abs(within - original) > 0.01).reshape(-1, 2).any(axis=1)
    assert differs_P.mean() >= 0.3


def test_the_order_of_the_sentences_does_not_matter_to_a_bit(family, pairs):
    tokenizer, model = family
    forth = [text for pair in pairs for text in pair]
    back = forth[::-1]
    assert (score(model, tokenizer, forth) == score(model, tokenizer, back)[::-1]).all()
