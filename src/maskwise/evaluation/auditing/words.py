"""Which tokens make a word, and how frequent they are: what rates are looked at by.

Shapes: R rows, N tokens of all rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from maskwise.evaluation.auditing.rows import Row, RowFacts
from maskwise.masking.word_marks import MARKS, separates_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARKED_SHARE = 0.02
SENTENCE_PIECE = MARKS[0]
NUM_FREQUENCY_BINS = 5


class Words(NamedTuple):
    """The words of all rows. `word_N`: the word's number, -1 outside of text; `pieces_N`: how many tokens it has."""

    word_N: np.ndarray
    pieces_N: np.ndarray
    source: str

    @property
    def are_known(self) -> bool:
        """False if neither the rows nor the tokenizer show where words begin."""
        return bool(self.source)


def words_of(rows: Sequence[Row], facts: RowFacts, tokenizer: PreTrainedTokenizerBase) -> Words:
    """Returns the words by the rows' `word_ids` if these separate words, else by the marks in the tokenizer's tokens.

    Marks are ## at a piece that continues a word (WordPiece), and Ġ or ▁ at one that begins a word (byte-level BPE,
    SentencePiece). In byte-level BPE a token without a letter or digit is a word of its own, as pre-tokenizers have it.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    separates = backend is None or separates_words(backend)
    if separates and all(row.get("word_ids") is not None for row in rows):
        ids = [-1 if word is None else int(word) for row in rows for word in row["word_ids"]]
        return _number(np.array(ids), facts, "the rows' word_ids")
    begins_N = _begins(facts, tokenizer)
    if begins_N is None:
        return Words(np.full(len(facts.ids_N), -1), np.ones(len(facts.ids_N), dtype=np.int64), "")
    return _number(np.cumsum(begins_N), facts, "the marks in the tokenizer's tokens")


def frequency_bins(facts: RowFacts) -> np.ndarray:
    """Returns 0 (rarest) to 4 (most frequent) per token [N], -1 outside of text; a bin holds a fifth of the tokens.

    Types are ordered by their count in these rows, and a type lies in one bin as a whole.
    """
    counts_V = np.bincount(facts.ids_N[facts.is_text_N], minlength=facts.kinds.size)
    order_V = np.argsort(counts_V, kind="stable")
    middle_V = np.cumsum(counts_V[order_V]) - counts_V[order_V] / 2
    bin_V = np.empty(len(counts_V), dtype=np.int64)
    bin_V[order_V] = np.clip(middle_V * NUM_FREQUENCY_BINS / max(counts_V.sum(), 1), 0, NUM_FREQUENCY_BINS - 1)
    return np.where(facts.is_text_N, bin_V[facts.ids_N], -1)


def _begins(facts: RowFacts, tokenizer: PreTrainedTokenizerBase) -> np.ndarray | None:
    tokens_V = [token or "" for token in tokenizer.convert_ids_to_tokens(list(range(facts.kinds.size)))]
    continues_V = np.array([token.startswith("##") for token in tokens_V])
    if continues_V.mean() >= MARKED_SHARE:
        return ~continues_V[facts.ids_N]
    begins_V = {mark: np.array([token.startswith(mark) for token in tokens_V]) for mark in MARKS}
    mark = max(begins_V, key=lambda mark: begins_V[mark].sum())
    if begins_V[mark].mean() < MARKED_SHARE:
        return None
    if mark == SENTENCE_PIECE:  # SentencePiece knows no words but those between spaces
        return begins_V[mark][facts.ids_N]
    sign_V = np.array([not any(letter.isalnum() for letter in token) for token in tokens_V])
    after_sign_N = np.roll(sign_V[facts.ids_N], 1)
    return (begins_V[mark] | sign_V)[facts.ids_N] | after_sign_N


def _number(ids_N: np.ndarray, facts: RowFacts, source: str) -> Words:
    """Numbers the words from 0: a word ends with its id, its row, or a token that is not text."""
    text_N = facts.is_text_N & (ids_N >= 0)
    starts_N = np.ones(len(ids_N), dtype=bool)
    starts_N[1:] = (ids_N[1:] != ids_N[:-1]) | (facts.row_N[1:] != facts.row_N[:-1]) | ~text_N[:-1]
    word_N = np.where(text_N, np.cumsum(starts_N & text_N) - 1, -1)
    pieces_W = np.bincount(word_N[text_N], minlength=1)
    return Words(word_N, np.where(text_N, pieces_W[word_N], 1), source)
