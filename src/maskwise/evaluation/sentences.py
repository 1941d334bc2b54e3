"""Sentences as a masked language model scores them: ids, the words that the pieces belong to, the places scored.

Shapes: T positions of one sentence, N of them scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from maskwise.errors import InputError
from maskwise.masking.columns import NO_ID


class Sentence(NamedTuple):
    """One encoded sentence. `words_T` numbers the words, -1 for special tokens; `scored_N` are positions, ascending."""

    input_ids_T: np.ndarray  # int64
    words_T: np.ndarray  # int64
    scored_N: np.ndarray  # int64

    @property
    def scored_ids_N(self) -> np.ndarray:
        """The ids that are scored, in order."""
        return self.input_ids_T[self.scored_N]

    @property
    def key(self) -> tuple[int, bytes, bytes]:
        """Equal for sentences that no model can tell apart; sorts by length, then by ids."""
        return len(self.input_ids_T), self.input_ids_T.tobytes(), self.scored_N.tobytes()


def encode_sentences(tokenizer: Any, texts: Sequence[str], scored_from: Sequence[int] | None = None) -> list[Sentence]:
    """Returns the texts as the tokenizer encodes them, whole: nothing is truncated.

    Special tokens are neither masked nor scored, an unknown word's [UNK] is. "[MASK]" written in a text is text, as it
    is when training data are prepared.

    Args:
        tokenizer: A fast tokenizer of transformers.
        texts: The sentences.
        scored_from: Per text the character from which on tokens are scored, 0 for the whole text. A token that
            straddles it is scored, as in BabyLM's evaluation pipeline.

    Returns:
        One `Sentence` per text.

    Raises:
        InputError: If the tokenizer is not a fast one, a text is not a string, or nothing in a text can be scored.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            f"{type(tokenizer).__name__} is not a fast tokenizer, and word boundaries need one. "
            "Load it with transformers.AutoTokenizer from a folder with tokenizer.json."
        )
    if isinstance(texts, str):
        raise InputError(f"The sentences are one string; give a list of strings: [{texts!r:.60}].")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"Sentence {number} is of type {type(text).__name__}; sentences are strings: {text!r}.")
    starts = [0] * len(texts) if scored_from is None else scored_from
    encodings = _text_only(tokenizer).encode_batch(list(texts))
    return [_sentence(*both) for both in zip(texts, encodings, starts, strict=True)]


def _text_only(tokenizer: Any) -> Any:
    """Returns a copy of the tokenizer's core that neither truncates nor pads, and reads "[MASK]" in a text as text."""
    core = tokenizer.backend_tokenizer
    core = type(core).from_str(core.to_str())
    core.no_truncation()
    core.no_padding()
    core.encode_special_tokens = True
    return core


def _sentence(text: str, encoding: Any, start: int) -> Sentence:
    is_text_T = np.array(encoding.special_tokens_mask) == 0
    words_T = np.array([NO_ID if word is None else word for word in encoding.word_ids], dtype=np.int64)
    ends_T = np.array([end for _, end in encoding.offsets])
    scored_N = np.flatnonzero(is_text_T & (ends_T > start))
    if not len(scored_N):
        raise InputError(f"There is no token to score in {text[start:]!r}. Remove the sentence, or give it a word.")
    return Sentence(np.array(encoding.ids, dtype=np.int64), np.where(is_text_T, words_T, NO_ID), scored_N)


def require_divided_words(texts: Sequence[str], sentences: Sequence[Sentence]) -> None:
    """Raises InputError if the tokenizer takes every text of several words as one word.

    Scored within words, all that follows a token would then be masked.
    """
    several = [sentence.words_T for text, sentence in zip(texts, sentences, strict=True) if len(text.split()) > 1]
    if several and all(words_T.max() == words_T[words_T != NO_ID].min() for words_T in several):
        raise InputError(
            "The tokenizer does not divide texts into words: all pieces of a sentence would count as one word. "
            "Score with metric='original'."
        )
