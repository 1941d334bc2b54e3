"""Pseudo-log-likelihoods: how probable a masked language model finds a sentence, a token at a time.

Each scored token is predicted from a copy of the sentence in which it is masked. There are two metrics: `within-word`
also masks the later pieces of the same word, because the pieces of a long word give each other away (Kauf & Ivanova
2023, "A Better Way to Do Masked Language Model Scoring", PLL-word-l2r); `original` masks the token alone (Salazar et
al. 2020, "Masked Language Model Scoring").

A sentence of N tokens costs N passes of the body, and the head on one position of each (see `cloze`).

Shapes: S sentences, N scored tokens of one, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np

from maskwise.errors import InputError, nearest
from maskwise.evaluation.cloze import Questions, require_room, sum_log_probabilities
from maskwise.evaluation.sentences import Sentence, encode_sentences, require_divided_words
from maskwise.masking.vocabulary import Vocabulary
from maskwise.progress import Progress

Metric = Literal["within-word", "original"]
_METRICS: tuple[str, ...] = get_args(Metric)


class SentenceScores(NamedTuple):
    """What sentences score: `sums_S` in nats (float64, at most 0) over `num_tokens_S` tokens."""

    sums_S: np.ndarray
    num_tokens_S: np.ndarray

    @property
    def means_S(self) -> np.ndarray:
        """Nats per scored token."""
        return self.sums_S / self.num_tokens_S


def pseudo_log_likelihood(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    metric: Metric = "within-word",
    scored_from: Sequence[int] | None = None,
    show: bool = False,
) -> SentenceScores:
    """Returns the pseudo-log-likelihood of each text.

    Weights and forward pass are in float32, outside of autocast; sums are in float64. The model's mode and the random
    state are the same afterwards.

    Args:
        model: A masked language model of transformers, on any device.
        tokenizer: Its fast tokenizer.
        texts: The sentences. Special tokens are neither masked nor counted.
        metric: `within-word` (Kauf & Ivanova 2023) or `original` (Salazar et al. 2020).
        scored_from: Per text the character from which on tokens are scored, to score a completion in its context.
        show: Show the progress on stderr.

    Returns:
        Sums in nats and the numbers of tokens, in the order of the texts.

    Raises:
        InputError: If the tokenizer has no mask token or does not divide a text into words, a text is longer than the
            model's positions, or the model gives values that are not finite.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast
    >>> words = Tokenizer(models.WordLevel({"[UNK]": 0, "[MASK]": 1, "the": 2, "cat": 3, "sat": 4}, unk_token="[UNK]"))
    >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", mask_token="[MASK]")
    >>> model = BertForMaskedLM(BertConfig(vocab_size=5, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    >>> scores = pseudo_log_likelihood(model, tokenizer, ["the cat sat", "the cat"])
    >>> scores.num_tokens_S.tolist(), bool((scores.sums_S < 0).all())
    ([3, 2], True)
    """
    sentences = encode_sentences(tokenizer, texts, scored_from)
    if metric == "within-word":
        require_divided_words(texts, sentences)
    return score_sentences(model, tokenizer, sentences, metric=metric, show=show)


def score_sentences(
    model: Any, tokenizer: Any, sentences: Sequence[Sentence], *, metric: Metric = "within-word", show: bool = False
) -> SentenceScores:
    """Returns the scores of encoded sentences; `pseudo_log_likelihood` has the arguments, precision and errors.

    Each distinct sentence is scored once, so equal ids have equal scores, and the order of the sentences does not
    matter to a bit.
    """
    check_metric(metric)
    require_room(model, tokenizer, [len(sentence.input_ids_T) for sentence in sentences])
    distinct = {sentence.key: sentence for sentence in sentences}
    keys = sorted(distinct)
    place = {key: number for number, key in enumerate(keys)}
    mask_token_id = Vocabulary.of(tokenizer).mask_token_id
    questions = (masked_copies(distinct[key], number, mask_token_id, metric) for key, number in place.items())
    num_questions = sum(len(distinct[key].scored_N) for key in keys)
    with Progress("score", num_questions, "tokens", show=show) as progress:
        sums = sum_log_probabilities(model, questions, len(keys), progress)
    num_tokens_S = np.array([len(sentence.scored_N) for sentence in sentences], dtype=np.int64)
    return SentenceScores(sums[[place[sentence.key] for sentence in sentences]], num_tokens_S)


def masked_copies(sentence: Sentence, owner: int, mask_token_id: int, metric: Metric) -> Questions:
    """Returns the copies of a sentence in which its scored tokens are masked, one after another."""
    ids_T, words_T, scored_N = sentence
    place_T = np.arange(len(ids_T))
    hidden_NT = place_T == scored_N[:, None]
    if metric == "within-word":
        hidden_NT |= (words_T == words_T[scored_N][:, None]) & (place_T > scored_N[:, None])
    copies_NT = np.where(hidden_NT, mask_token_id, ids_T)
    return Questions(copies_NT, scored_N, ids_T[scored_N], np.full(len(scored_N), owner))


def check_metric(metric: str) -> Metric:
    """Returns the metric; raises InputError for another."""
    if metric not in _METRICS:
        raise InputError(f"There is no metric {metric!r}.{nearest(metric, _METRICS)} Known: {', '.join(_METRICS)}.")
    return cast(Metric, metric)


def pseudo_perplexity(scores: SentenceScores, num_words: int) -> float:
    """Returns exp(-sum of the pseudo-log-likelihoods / words), which compares models of different tokenizers.

    Args:
        scores: What the sentences of a text score.
        num_words: The number of words (white space) of that text, the same for every tokenizer.

    Returns:
        The perplexity per word.

    >>> round(pseudo_perplexity(SentenceScores(np.array([-3.0, -5.0]), np.array([2, 3])), num_words=4), 3)
    7.389
    """
    return float(np.exp(-scores.sums_S.sum() / num_words))
