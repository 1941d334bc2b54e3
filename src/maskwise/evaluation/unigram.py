"""The unigram floor: what the counts of the training text alone say of a sentence.

Shapes: V vocabulary, S sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskwise.errors import InputError
from maskwise.evaluation.pseudo_likelihood import SentenceScores
from maskwise.evaluation.sentences import Sentence
from maskwise.masking.vocabulary import Vocabulary


def unigram_log_probabilities(token_counts: Any, tokenizer: Any) -> np.ndarray:
    """Returns the log probability of each token by its count in the training text, add one.

    Args:
        token_counts: How often each id occurs, int [V]; counts of special tokens are taken as 0.
        tokenizer: The tokenizer that the counts are of.

    Returns:
        float64 [V], in nats: log((count + 1) / sum(count + 1)).

    Raises:
        InputError: If the counts are fewer than the tokenizer's tokens, negative, or all 0.
    """
    counts_V = np.asarray(token_counts, dtype=np.float64)
    eligible_V = Vocabulary.of(tokenizer).eligible_V.numpy()
    if counts_V.ndim != 1 or len(counts_V) < len(eligible_V):
        raise InputError(
            f"The token counts have the shape {counts_V.shape}; the tokenizer has {len(eligible_V):,} tokens. "
            "Count the ids of the training text with the model's own tokenizer (token_counts.npy of its data folder)."
        )
    counts_V[: len(eligible_V)] *= eligible_V
    if counts_V.min() < 0 or not counts_V.any():
        raise InputError("The token counts count nothing: they are all 0, or some are negative.")
    return np.log(counts_V + 1) - np.log((counts_V + 1).sum())


def score_by_counts(sentences: Sequence[Sentence], log_p_V: np.ndarray) -> SentenceScores:
    """Returns the log likelihood of each sentence's scored tokens by `unigram_log_probabilities`."""
    sums_S = np.array([log_p_V[sentence.scored_ids_N].sum() for sentence in sentences])
    return SentenceScores(sums_S, np.array([len(sentence.scored_N) for sentence in sentences], dtype=np.int64))
