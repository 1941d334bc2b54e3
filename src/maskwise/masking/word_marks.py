"""Words by the mark that a vocabulary puts in front of them, for tokenizers whose word ids do not separate words.

Gemma's tokenizer (mmBERT's too) turns spaces into U+2581 before it looks for borders, finds none, and gives one word id
to a whole text. Its tokens still say where words begin.

Shapes: V vocabulary, N tokens one after another, with any leading shape. Tables are NumPy arrays, which the processes
that prepare text have without torch, or tensors (`to_tensors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from maskwise.errors import InputError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

MARKS = ("\u2581", "\u0120")  # of SentencePiece, and of byte-level BPE
LINE_ENDS = frozenset("\n\r\t\u010a\u010d\u0109")  # and as byte-level BPE writes them
PROBE = "a river and the old city at dawn"


class WordMarks(NamedTuple):
    """`begins_V`: tokens that begin a word. `ends_V`: tokens after which one begins, such as the end of a line."""

    begins_V: Any
    ends_V: Any

    def starts(self, ids_N: Any) -> Any:
        """Returns True [..., N] at the tokens that begin a word; the first one is no exception.

        >>> marks = WordMarks(np.array([True, False]), np.array([False, False]))
        >>> marks.starts(np.array([1, 0, 1, 0])).tolist()
        [False, True, False, True]
        """
        starts_N = self.begins_V[ids_N]
        starts_N[..., 1:] |= self.ends_V[ids_N[..., :-1]]
        return starts_N

    def to_tensors(self, device: torch.device | None = None) -> WordMarks:
        """Returns the same tables as tensors on `device`."""
        import torch

        return WordMarks(*(torch.as_tensor(table_V, device=device) for table_V in self))


def separates_words(backend: Any) -> bool:
    """Returns True if a tokenizer's core (`tokenizers.Tokenizer`) gives the tokens of two words two word ids.

    Tried on a short text. Text that becomes one unknown token says nothing against it.
    """
    words: dict[int, set[int]] = {}
    encoding = backend.encode(PROBE, add_special_tokens=False)
    for word_id, (begin, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        if word_id is not None and PROBE[begin:end].strip():
            words.setdefault(word_id, set()).add(PROBE[:end].rstrip().count(" "))
    return all(len(found) == 1 for found in words.values())


def word_marks(backend: Any) -> WordMarks | None:
    """Returns the marks of a vocabulary whose tokenizer does not separate words; None if it does, or has no marks.

    `backend`: a tokenizer's core (`tokenizers.Tokenizer`).
    """
    if separates_words(backend):
        return None
    mark = _mark(backend.encode(PROBE, add_special_tokens=False).tokens)
    if mark is None:
        return None
    ids = backend.get_vocab(with_added_tokens=True)
    begins_V, ends_V = np.zeros((2, max(ids.values()) + 1), bool)
    line_ends = [i for token, i in ids.items() if token and LINE_ENDS.issuperset(token)]
    begins_V[[i for token, i in ids.items() if token.startswith(mark)] + line_ends] = True
    ends_V[line_ends] = True
    return WordMarks(begins_V, ends_V)


def checked_word_marks(tokenizer: PreTrainedTokenizerBase) -> WordMarks | None:
    """Returns what splits a tokenizer's word ids further: None if they separate words, or if it is a slow tokenizer.

    Raises InputError if they do not and its vocabulary does not mark words either.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or separates_words(backend):
        return None
    marks = word_marks(backend)
    if marks is None:
        raise InputError(
            "The tokenizer gives one word id to a whole text, and its tokens do not mark where words begin (as "
            "U+2581 or U+0120 do), so there are no words to mask. Use unit='token', or a unit of your own: a function "
            "that returns group ids [B, T]."
        )
    return marks


def _mark(tokens: Sequence[str]) -> str | None:
    """The mark in front of all words of the probe but the first, which may have none."""
    num_words = PROBE.count(" ") + 1
    for mark in MARKS:
        if sum(token.startswith(mark) for token in tokens) >= num_words - 1:
            return mark
    return None
