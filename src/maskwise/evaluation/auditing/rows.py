"""What is known of the rows before anything masks them, as flat arrays over their tokens.

Shapes: R rows, N tokens of all rows, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from maskwise.errors import InputError
from maskwise.masking.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Row = dict[str, Any]


@dataclass(frozen=True)
class TokenKinds:
    """What a tokenizer's ids are. `is_special_V`: has a role of its own; `is_maskable_V`: text, [UNK] included.

    `is_token_V` is False in the holes that a vocabulary may have.
    """

    mask_token_id: int
    pad_token_id: int | None
    is_token_V: np.ndarray
    is_special_V: np.ndarray
    is_maskable_V: np.ndarray

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> TokenKinds:
        """Returns the kinds of a tokenizer's tokens; raises InputError if it has no mask token."""
        vocabulary = Vocabulary.of(tokenizer)
        is_token_V, is_special_V = np.zeros((2, len(vocabulary.eligible_V)), dtype=bool)
        is_token_V[list(tokenizer.get_vocab().values())] = True
        is_special_V[tokenizer.all_special_ids] = True
        pad_token_id = cast("int | None", tokenizer.pad_token_id)
        shared = (tokenizer.eos_token_id, tokenizer.sep_token_id, tokenizer.unk_token_id)
        own_pad = None if pad_token_id in shared else pad_token_id
        return cls(vocabulary.mask_token_id, own_pad, is_token_V, is_special_V, vocabulary.eligible_V.numpy())

    @property
    def size(self) -> int:
        """The largest id + 1."""
        return len(self.is_special_V)

    def is_known(self, ids: np.ndarray) -> np.ndarray:
        """Returns True where an id is one of the vocabulary's."""
        in_range = (ids >= 0) & (ids < self.size)
        return in_range & self.is_token_V[np.where(in_range, ids, 0)]

    def is_special(self, ids: np.ndarray) -> np.ndarray:
        """Returns True where an id is special or out of range."""
        known = self.is_known(ids)
        return ~known | self.is_special_V[np.where(known, ids, 0)]


@dataclass(frozen=True)
class RowFacts:
    """The tokens of all rows, one after the other.

    `is_padding_N`: hidden by the row's own attention mask, or the padding token. `is_special_N`: may never be masked.
    `is_text_N`: what rates are counted over, which leaves [UNK] out, because collators differ on it. `text_R` numbers
    the distinct texts: copies of a text may get the same masks, so they count as one in standard errors.
    """

    kinds: TokenKinds
    ids_N: np.ndarray
    row_N: np.ndarray
    position_N: np.ndarray
    types_N: np.ndarray
    starts_R: np.ndarray
    lengths_R: np.ndarray
    text_R: np.ndarray
    is_padding_N: np.ndarray
    is_special_N: np.ndarray
    is_text_N: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Row], kinds: TokenKinds) -> RowFacts:
        """Returns the facts of checked rows."""
        lengths_R = np.array([len(row["input_ids"]) for row in rows], dtype=np.int64)
        starts_R = np.cumsum(lengths_R) - lengths_R
        row_N = np.repeat(np.arange(len(rows)), lengths_R)
        ids_N = _column(rows, "input_ids", lengths_R, 0)
        is_padding_N = _column(rows, "attention_mask", lengths_R, 1) == 0
        if kinds.pad_token_id is not None:
            is_padding_N |= ids_N == kinds.pad_token_id
        known_N = kinds.is_known(ids_N)
        if not known_N.all():
            raise InputError(
                f"Row {row_N[~known_N][0]} has the token id {ids_N[~known_N][0]}, which is none of the tokenizer's (0 "
                f"to {kinds.size - 1}). Give the tokenizer that the rows were made with."
            )
        return cls(
            kinds=kinds,
            ids_N=ids_N,
            row_N=row_N,
            position_N=np.arange(len(ids_N)) - starts_R[row_N],
            types_N=_column(rows, "token_type_ids", lengths_R, 0),
            starts_R=starts_R,
            lengths_R=lengths_R,
            text_R=_number_texts(ids_N, starts_R, lengths_R),
            is_padding_N=is_padding_N,
            is_special_N=~kinds.is_maskable_V[ids_N] & ~is_padding_N,
            is_text_N=~kinds.is_special_V[ids_N] & ~is_padding_N,
        )

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self.lengths_R)

    def by_row(self, values_N: np.ndarray) -> np.ndarray:
        """Returns the sum of `values_N` over each row, float64 [R]."""
        return np.bincount(self.row_N, weights=values_N, minlength=self.num_rows)

    def by_text(self, values_N: np.ndarray) -> np.ndarray:
        """Returns the sum of `values_N` over each distinct text, float64."""
        return self.sum_texts(self.by_row(values_N))

    def sum_texts(self, values_R: np.ndarray) -> np.ndarray:
        """Returns the sum of `values_R` over the copies of each distinct text, float64."""
        return np.bincount(self.text_R, weights=values_R)

    def tokens_of(self, row: int) -> slice:
        """Returns where a row's tokens are."""
        return slice(int(self.starts_R[row]), int(self.starts_R[row] + self.lengths_R[row]))


def take_rows(rows: Iterable[Mapping[str, Any]], max_rows: int) -> list[Row]:
    """Returns the first `max_rows` rows as dictionaries; raises InputError for whatever is not a tokenized row."""
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise InputError(f"The rows are a list of dictionaries with input_ids; found {type(rows).__name__}.")
    taken: list[Row] = []
    for i, row in enumerate(islice(rows, max_rows)):
        if isinstance(row, str):
            raise InputError(
                "The rows are texts, and a collator is audited on token ids. Tokenize them first: "
                "rows = [dict(tokenizer(text, truncation=True)) for text in texts]."
            )
        if not isinstance(row, Mapping) or "input_ids" not in row:
            found = ", ".join(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
            raise InputError(f"A row is a dictionary with input_ids; row {i} has {found or 'nothing'}.")
        if np.ndim(row["input_ids"]) != 1 or len(row["input_ids"]) == 0:
            raise InputError(f"A row's input_ids are a list of at least one token id; found another shape in row {i}.")
        taken.append(dict(row))
    if len(taken) < 2:
        raise InputError(f"An audit needs at least 2 rows, and a few hundred to decide much; found {len(taken)}.")
    return taken


def copy_row(row: Row) -> Row:
    """Returns a row that may be changed without changing `row`."""
    return {key: _copy(value) for key, value in row.items()}


def is_same_row(row: Row, other: Row) -> bool:
    """Returns True if two rows hold the same keys and values."""
    return row.keys() == other.keys() and all(_is_same(row[key], other[key]) for key in row)


def shorten_row(row: Row, length: int) -> Row:
    """Returns a row of `length` tokens: the tokens in front of the last one are cut, in every column as long as it."""
    whole = len(row["input_ids"])
    if whole == length:
        return row
    return {key: _shorten(value, whole, length) for key, value in row.items()}


def _column(rows: Sequence[Row], key: str, lengths_R: np.ndarray, fill: int) -> np.ndarray:
    """One column of all rows, [N]; `fill` where a row does not have it."""
    parts = [
        np.asarray(row[key], dtype=np.int64) if row.get(key) is not None else np.full(length, fill)
        for row, length in zip(rows, lengths_R, strict=True)
    ]
    for i, (part, length) in enumerate(zip(parts, lengths_R, strict=True)):
        if part.shape != (length,):
            raise InputError(f"Row {i} has {length} input_ids and {len(part)} values in {key}; they must be as many.")
    return np.concatenate(parts)


def _number_texts(ids_N: np.ndarray, starts_R: np.ndarray, lengths_R: np.ndarray) -> np.ndarray:
    numbers: dict[bytes, int] = {}
    texts = (ids_N[start : start + length].tobytes() for start, length in zip(starts_R, lengths_R, strict=True))
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts])


def _copy(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return list(value)  # deepcopy costs more than the collator does
    return copy.deepcopy(value)


def _is_same(value: Any, other: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(value, other)
    if isinstance(value, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(value, other)
    return type(value) is type(other) and value == other


def _shorten(value: Any, whole: int, length: int) -> Any:
    if isinstance(value, torch.Tensor) and value.ndim and len(value) == whole:
        return torch.cat((value[: length - 1], value[-1:]))
    if isinstance(value, np.ndarray) and value.ndim and len(value) == whole:
        return np.concatenate((value[: length - 1], value[-1:]))
    if isinstance(value, list | tuple) and len(value) == whole:
        return [*value[: length - 1], value[-1]]
    return value
