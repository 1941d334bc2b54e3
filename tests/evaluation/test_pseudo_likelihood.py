"""Pseudo-log-likelihoods against minicons, and what a score may not depend on."""

import copy
import json

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
    per_word = np.mean(
        [(len(ids) - 2) / len(text.split()) for ids, pair in zip(pieces[::2], pairs, strict=True) for text in pair[:1]]
    )
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
    assert (
        pseudo_log_likelihood(model, tokenizer, forth).sums_S
        == pseudo_log_likelihood(model, tokenizer, back).sums_S[::-1]
    ).all()


def test_a_sentence_scores_alike_alone_and_among_others(family, pairs):
    tokenizer, model = family
    texts = [pair[0] for pair in pairs[:12]]
    together = pseudo_log_likelihood(model, tokenizer, texts).sums_S
    alone = [pseudo_log_likelihood(model, tokenizer, [text]).sums_S[0] for text in texts]
    assert np.abs(together - alone).max() < 1e-4


@pytest.mark.parametrize("tokens", [1, 40, 1 << 20])
def test_the_size_of_a_batch_does_not_matter(family, pairs, monkeypatch, tokens):
    tokenizer, model = family
    texts = [text for pair in pairs[:12] for text in pair]
    expected = pseudo_log_likelihood(model, tokenizer, texts)
    monkeypatch.setattr(cloze, "TOKENS_AT_A_TIME", tokens)
    found = pseudo_log_likelihood(model, tokenizer, texts)
    assert np.abs(found.sums_S - expected.sums_S).max() < 1e-4


def test_autocast_and_bf16_weights_do_not_reach_the_forward_pass(tiny_tokenizer, tiny_model):
    texts = ["the old cat was teaching quickly.", "he walks in the garden"]
    expected = pseudo_log_likelihood(tiny_model.eval(), tiny_tokenizer, texts).sums_S
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (pseudo_log_likelihood(tiny_model, tiny_tokenizer, texts).sums_S == expected).all()
    rounded = tiny_model.bfloat16()
    in_bf16 = pseudo_log_likelihood(rounded, tiny_tokenizer, texts).sums_S
    assert rounded.dtype == torch.bfloat16, "the caller's model stays as it is"
    assert (in_bf16 == pseudo_log_likelihood(rounded.float(), tiny_tokenizer, texts).sums_S).all()


def test_dropout_is_off_and_the_model_stays_in_training_mode(tiny_tokenizer, tiny_model):
    tiny_model.bert.embeddings.dropout.p = 0.5
    tiny_model.train()
    state = torch.get_rng_state()
    scores = [pseudo_log_likelihood(tiny_model, tiny_tokenizer, ["a green tree"]).sums_S for _ in range(2)]
    assert scores[0] == scores[1]
    assert tiny_model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_a_completion_is_scored_in_its_context(tiny_tokenizer, tiny_model):
    """Only the tokens of the completion are masked, one after another, and the context is seen."""
    context, completion = "the old cat is in ", "his garden."
    found = pseudo_log_likelihood(
        tiny_model, tiny_tokenizer, [context + completion], scored_from=[len(context)], metric="original"
    )
    ids = tiny_tokenizer(context + completion, return_tensors="pt")["input_ids"]
    expected = 0.0
    for place in range(ids.shape[1] - 4, ids.shape[1] - 1):
        masked = ids.clone()
        masked[0, place] = tiny_tokenizer.mask_token_id
        with torch.no_grad():
            log_p_V = tiny_model.eval()(input_ids=masked).logits[0, place].double().log_softmax(-1)
        expected += log_p_V[ids[0, place]].item()
    assert found.num_tokens_S.tolist() == [3]
    assert abs(found.sums_S[0] - expected) < 1e-5


def test_special_tokens_written_in_a_text_are_text(tiny_tokenizer, tiny_model):
    """Otherwise a sentence could carry masks that nobody asked about."""
    found = pseudo_log_likelihood(tiny_model, tiny_tokenizer, ["the [MASK] is green"])
    assert found.num_tokens_S[0] > len(["the", "mask", "is", "green"])


def test_an_unknown_word_is_scored_as_one_token(tiny_tokenizer, tiny_model):
    assert pseudo_log_likelihood(tiny_model, tiny_tokenizer, ["the 猫 is green"]).num_tokens_S.tolist() == [4]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a cat", ""], "no token to score"),
        (["a cat", None], "Sentence 1 is of type NoneType"),
        ("a cat", "The sentences are one string"),
        (["a cat", "tree " * 63], "1 of 2 texts are longer than the model's 64 positions; the longest has 65 tokens"),
    ],
    ids=["empty", "not a string", "one string", "too long"],
)
def test_what_cannot_be_scored_is_refused(tiny_tokenizer, tiny_model, texts, message):
    with pytest.raises(InputError, match=message):
        pseudo_log_likelihood(tiny_model, tiny_tokenizer, texts)


def test_a_name_in_place_of_a_model_is_refused(tiny_tokenizer):
    with pytest.raises(InputError, match="The model is a str; give a loaded one"):
        pseudo_log_likelihood("run", tiny_tokenizer, ["a cat"])


def test_an_unknown_metric_is_refused_with_the_nearest(tiny_tokenizer, tiny_model):
    with pytest.raises(InputError, match="Did you mean 'within-word'"):
        pseudo_log_likelihood(tiny_model, tiny_tokenizer, ["a cat"], metric="within_word")


def test_weights_that_are_not_finite_are_refused(tiny_tokenizer, tiny_model):
    with torch.no_grad():
        tiny_model.cls.predictions.bias[7] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        pseudo_log_likelihood(tiny_model, tiny_tokenizer, ["a cat"])


def test_a_tokenizer_of_another_model_is_refused(family, tiny_model):
    tokenizer, _ = family
    with pytest.raises(InputError, match="Score with the tokenizer that the model was trained with"):
        pseudo_log_likelihood(tiny_model, tokenizer, ["an unlikely documentation"])


def test_a_tokenizer_that_sees_no_words_is_refused_within_words_only(family, pairs):
    """All pieces of a sentence would count as one word, and what follows a token would always be masked."""
    tokenizer, model = family
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    parts["pre_tokenizer"] = None
    blind = copy.deepcopy(tokenizer)
    blind._tokenizer = type(tokenizer.backend_tokenizer).from_str(json.dumps(parts))
    texts = [pair[0] for pair in pairs[:3]]
    with pytest.raises(InputError, match="metric='original'"):
        pseudo_log_likelihood(model, blind, texts)
    assert (pseudo_log_likelihood(model, blind, texts, metric="original").sums_S < 0).all()


def test_pseudo_perplexity_is_per_word_whatever_the_pieces(tiny_tokenizer, tiny_model):
    texts = ["the cat was walking", "a quick zebra"]
    scores = pseudo_log_likelihood(tiny_model, tiny_tokenizer, texts)
    assert scores.num_tokens_S.sum() > 7
    assert pseudo_perplexity(scores, 7) == pytest.approx(np.exp(-scores.sums_S.sum() / 7))
