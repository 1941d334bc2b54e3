"""Rows of unequal length as one batch.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from maskwise.errors import InputError

NO_WORD = -1


def pad_batch(rows: Sequence[Mapping[str, Any]], pad_token_id: int) -> dict[str, Tensor]:
    """Returns rows of `input_ids` (with `word_ids`, `token_type_ids`, `example_id` if present) as padded int64 tensors.

    `attention_mask` is there only if something was padded: full blocks need none, and attention is faster without.
    A word id of None, as `encoding.word_ids()` has it at special tokens, is -1. Raises InputError for rows that are not
    tokenized.
    """
    _check_tokenized(rows)
    lengths = [len(row["input_ids"]) for row in rows]
    fills = {"input_ids": pad_token_id, "word_ids": NO_WORD, "token_type_ids": 0}
    batch = {
        key: torch.full((len(rows), max(lengths)), fill, dtype=torch.int64)
        for key, fill in fills.items()
        if key in rows[0]
    }
    for key, values_BT in batch.items():
        for i, row in enumerate(rows):
            values_BT[i, : lengths[i]] = _values(row[key])
    if "example_id" in rows[0]:
        batch["example_id"] = torch.tensor([row["example_id"] for row in rows])
    masks = [row["attention_mask"] for row in rows if "attention_mask" in row]
    if min(lengths) < max(lengths) or any(not all(mask) for mask in masks):
        batch["attention_mask"] = _attention_mask(rows, lengths)
    return batch


def _values(values: Any) -> Tensor:
    try:
        return torch.as_tensor(values)
    except (TypeError, RuntimeError):  # RuntimeError: "Could not infer dtype of NoneType", of [None]
        return torch.tensor([NO_WORD if value is None else value for value in values])


def _check_tokenized(rows: Sequence[Any]) -> None:
    if not rows:
        raise InputError("A batch has at least one row; found none.")
    first = rows[0]
    if isinstance(first, str):
        raise InputError(
            f"Rows are tokenized, and this one is text: {first!r:.60}. Write tokenize_rows(texts, tokenizer)."
        )
    if not hasattr(first, "keys") or "input_ids" not in first:
        found = f"the columns {', '.join(map(str, first.keys()))}" if hasattr(first, "keys") else type(first).__name__
        text = next((f"row[{key!r}]" for key in getattr(first, "keys", list)() if isinstance(first[key], str)), None)
        texts = f"[{text} for row in rows]" if text else "texts"
        raise InputError(
            f"Rows are dictionaries with input_ids; found {found}. Write tokenize_rows({texts}, tokenizer)."
        )


def _attention_mask(rows: Sequence[Mapping[str, Any]], lengths: list[int]) -> Tensor:
    mask_BT = torch.zeros((len(rows), max(lengths)), dtype=torch.int64)
    for i, row in enumerate(rows):
        mask_BT[i, : lengths[i]] = torch.as_tensor(row.get("attention_mask", [1] * lengths[i]))
    return mask_BT
