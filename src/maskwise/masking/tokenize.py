"""Texts as rows that a `Masker` takes, and how often each token occurs in them.

Shapes: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwise.errors import InputError
from maskwise.masking.columns import NO_ID
from maskwise.masking.vocabulary import as_tokenizer, num_token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_LENGTH = 512


def tokenize_rows(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerBase | str | Path, max_length: int | None = None
) -> list[dict[str, list[int]]]:
    """Returns one row for each text, with special tokens, and with the words that masking by word or span needs.

    A longer text is cut at `max_length`; to keep all of it, cut it before. Rows are not padded.

    Args:
        texts: The texts, each of them a string.
        tokenizer: The model's tokenizer, or its name or folder.
        max_length: Tokens of a row at most, special ones included; by default the tokenizer's `model_max_length`, and
            512 if that is larger.

    Returns:
        Rows with `input_ids` and `word_ids`: the number of each token's word, and -1 at special tokens. Lists of
        integers, so `datasets.Dataset.from_list(rows)` takes them too.

    Raises:
        InputError: For something that is not a list of texts, and a tokenizer without a fast version.

    >>> from maskwise.testing import word_tokenizer
    >>> tokenize_rows(["a b"], word_tokenizer("a b"))
    [{'input_ids': [2, 5, 6, 3], 'word_ids': [-1, 0, 1, -1]}]
    """
    loaded = as_tokenizer(tokenizer)
    if not loaded.is_fast:
        raise InputError(f"{type(loaded).__name__} is not a fast tokenizer, which words need. Load it with use_fast.")
    texts = _checked_texts(texts)
    longest = min(loaded.model_max_length, MAX_LENGTH) if max_length is None else max_length
    if not texts:
        return []
    encoded = loaded(texts, truncation=True, max_length=longest, padding=False)
    words = ([NO_ID if word is None else word for word in encoded.word_ids(i)] for i in range(len(texts)))
    return [
        {"input_ids": list(ids), "word_ids": row_words}
        for ids, row_words in zip(encoded["input_ids"], words, strict=True)
    ]


def count_tokens(rows: Iterable[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase | str | Path) -> np.ndarray:
    """Returns how often each token id occurs in rows: what Typhoon, and scores of rare tokens, are made from.

    Args:
        rows: Rows with `input_ids`.
        tokenizer: The tokenizer that made them, or its name or folder.

    Returns:
        int64 [V], V being the largest id + 1. Padding (`attention_mask` 0) is not counted; special tokens are.

    Raises:
        InputError: If rows have no `input_ids`.

    >>> from maskwise.testing import word_tokenizer
    >>> tokenizer = word_tokenizer("a b")
    >>> count_tokens(tokenize_rows(["a b a"], tokenizer), tokenizer).tolist()
    [0, 0, 1, 1, 0, 2, 1]
    """
    counts_V = np.zeros(num_token_ids(as_tokenizer(tokenizer)), np.int64)
    for row in rows:
        if "input_ids" not in row:
            raise InputError(
                f"Rows have input_ids; found {', '.join(row)}. Make them with tokenize_rows(texts, tokenizer)."
            )
        ids = np.asarray(row["input_ids"], np.int64)
        if "attention_mask" in row:
            ids = ids[np.asarray(row["attention_mask"], bool)]
        counts_V += np.bincount(ids, minlength=len(counts_V))
    return counts_V


def _checked_texts(texts: Any) -> list[str]:
    if isinstance(texts, str):
        raise InputError("texts is a list of texts, and this is one: write tokenize_rows([text], tokenizer).")
    try:
        texts = list(texts)
    except TypeError:
        raise InputError(f"texts is a list of texts; found {type(texts).__name__}.") from None
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            hint = " Take the column of the text: [row['text'] for row in rows]." if isinstance(text, Mapping) else ""
            raise InputError(f"texts is a list of texts; number {i} is {type(text).__name__}: {text!r:.80}.{hint}")
    return texts
