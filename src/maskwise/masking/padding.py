"""Rows of unequal length as one batch.

Shapes: B sequences, T positions, L tokens of one row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from maskwise.errors import InputError
from maskwise.masking.columns import MASKING_KEYS, NO_ID, NOT_FOR_THE_MODEL, check_no_added_keys, missing_column

_Row = Mapping[str, Any]


def pad_batch(
    rows: Sequence[_Row],
    pad_token_id: int,
    columns: Collection[str] = (),
    inputs: Collection[str] | None = frozenset(),
) -> dict[str, Tensor]:
    """Returns rows of `input_ids` (with `word_ids`, `example_id` if present) as padded tensors.

    `attention_mask` is there only if something was padded: full blocks need none, and attention is faster without.

    Args:
        rows: Rows with one value per token in each column, or one per row. None in `word_ids` (what a tokenizer gives
            special tokens) is -1.
        pad_token_id: What `input_ids` are padded with.
        columns: More columns that the masking needs, padded with -1, or with 0 if they are not whole numbers.
        inputs: More columns for the model, taken if the rows have them and padded with 0, such as `token_type_ids`;
            None takes every column with one number per token.

    Raises:
        InputError: For rows without `input_ids`, a column that is missing in a row, one whose length is not its row's,
            values that are not numbers, and a column with a name that the masking uses itself.

    >>> batch = pad_batch([{"input_ids": [7, 8], "tags": [3, 4]}, {"input_ids": [9], "tags": [5]}], 0, columns=["tags"])
    >>> batch["tags"].tolist(), batch["attention_mask"].tolist()
    ([[3, 4], [5, -1]], [[1, 1], [1, 0]])
    """
    _check_rows(rows)
    lengths = [len(row["input_ids"]) for row in rows]
    batch = {"input_ids": _per_token(rows, "input_ids", lengths, pad_token_id)}
    if "word_ids" in rows[0]:
        batch["word_ids"] = _per_token(rows, "word_ids", lengths, NO_ID)
    for name in columns:
        if name not in MASKING_KEYS:
            batch[name] = _column(rows, name, lengths)
    for name in _for_the_model(rows[0], lengths[0], inputs):
        if name not in batch:
            batch[name] = _per_token(rows, name, lengths, 0)
    if "example_id" in rows[0]:
        batch["example_id"] = _per_row([_value(row, "example_id", i) for i, row in enumerate(rows)], "example_id")
    masks = [row["attention_mask"] for row in rows if "attention_mask" in row]
    if min(lengths) < max(lengths) or any(not all(mask) for mask in masks):
        masked = [{"attention_mask": row.get("attention_mask", [1] * n)} for row, n in zip(rows, lengths, strict=True)]
        batch["attention_mask"] = _per_token(masked, "attention_mask", lengths, 0)
    return batch


def _check_rows(rows: Sequence[_Row]) -> None:
    if len(rows) == 0:
        raise InputError("A batch has at least one row; found none.")
    for i, row in enumerate(rows):
        if not hasattr(row, "keys") or "input_ids" not in row:
            raise InputError(f"Row {i} of the batch is not tokenized: {_not_tokenized(row)}")
    check_no_added_keys(rows[0], "The rows have a column")


def _not_tokenized(row: Any) -> str:
    if isinstance(row, str):
        return f"it is the text {row!r:.60}. Write tokenize_rows(texts, tokenizer)."
    found = f"the columns {', '.join(map(str, row.keys()))}" if hasattr(row, "keys") else type(row).__name__
    text = next((f"row[{key!r}]" for key in getattr(row, "keys", list)() if isinstance(row[key], str)), None)
    texts = f"[{text} for row in rows]" if text else "texts"
    return f"rows are dictionaries with input_ids; found {found}. Write tokenize_rows({texts}, tokenizer)."


def _for_the_model(row: _Row, length: int, inputs: Collection[str] | None) -> list[str]:
    taken = MASKING_KEYS | NOT_FOR_THE_MODEL | {"labels"}
    if inputs is not None:
        return [name for name in row if name in inputs and name not in taken]
    return [name for name in row if name not in taken and _has_numbers(row[name], length)]


def _has_numbers(values: Any, length: int) -> bool:
    """Says whether a model could take it: one number per token."""
    if isinstance(values, str) or not hasattr(values, "__len__") or len(values) != length:
        return False
    try:
        return torch.as_tensor(values).shape[:1] == (length,)
    except (TypeError, ValueError, RuntimeError):
        return False


def _column(rows: Sequence[_Row], name: str, lengths: Sequence[int]) -> Tensor:
    first = _value(rows[0], name, 0)
    if isinstance(first, str) or not hasattr(first, "__len__") or getattr(first, "ndim", 1) == 0:
        return _per_row([_value(row, name, i) for i, row in enumerate(rows)], name)
    return _per_token(rows, name, lengths, None)


def _per_row(values: list[Any], name: str) -> Tensor:
    try:
        return torch.tensor([value.item() if hasattr(value, "item") else value for value in values])
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"The column {name!r} has values that are not numbers: {values[0]!r}. Number them.") from None


def _per_token(rows: Sequence[_Row], name: str, lengths: Sequence[int], fill: int | None) -> Tensor:
    """Pads on the right; `fill` None: -1 for whole numbers, 0 for others."""
    parts = [_tensor(_value(row, name, i), name, i, lengths[i]) for i, row in enumerate(rows)]
    is_whole = not parts[0].is_floating_point() and parts[0].dtype != torch.bool
    fill = (NO_ID if is_whole else 0) if fill is None else fill
    dtype = torch.int64 if is_whole else parts[0].dtype
    padded = torch.full((len(rows), max(lengths), *parts[0].shape[1:]), fill, dtype=dtype)
    for i, part in enumerate(parts):
        padded[i, : lengths[i]] = part
    return padded


def _value(row: _Row, name: str, number: int) -> Any:
    if name not in row:
        raise InputError(f"In row {number} of the batch: " + missing_column(name, row, "the masking"))
    return row[name]


def _tensor(values: Any, name: str, number: int, length: int) -> Tensor:
    """One row's values [L, ...]."""
    try:
        found = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        found = _without_none(values) if name == "word_ids" else None
    if found is None:
        raise InputError(
            f"The column {name!r} of row {number} of the batch has values that are not numbers: {values!r:.80}."
        )
    if found.ndim == 0 or len(found) != length:
        size = "one value" if found.ndim == 0 else f"{len(found)} values"
        raise InputError(
            f"The column {name!r} of row {number} of the batch has {size}, and the row has {length} input_ids. "
            "A column has one value per token, or one per row."
        )
    return found


def _without_none(values: Any) -> Tensor | None:
    """Word ids as tokenizers give them, None at special tokens."""
    try:
        return torch.as_tensor([NO_ID if value is None else value for value in values])
    except (TypeError, ValueError, RuntimeError):
        return None
