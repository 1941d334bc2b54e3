"""Rows of unequal length as one batch.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def pad_batch(rows: Sequence[Mapping[str, Any]], pad_token_id: int) -> dict[str, Tensor]:
    """Returns rows of `input_ids` (with `word_ids`, `example_id` where present) as padded int64 tensors.

    `attention_mask` is there only if something was padded: full blocks need none, and attention is faster without.
    """
    lengths = [len(row["input_ids"]) for row in rows]
    fills = {"input_ids": pad_token_id, "word_ids": -1}
    batch = {
        key: torch.full((len(rows), max(lengths)), fill, dtype=torch.int64)
        for key, fill in fills.items()
        if key in rows[0]
    }
    for key, values_BT in batch.items():
        for i, row in enumerate(rows):
            values_BT[i, : lengths[i]] = torch.as_tensor(row[key])
    if "example_id" in rows[0]:
        batch["example_id"] = torch.tensor([row["example_id"] for row in rows])
    masks = [row["attention_mask"] for row in rows if "attention_mask" in row]
    if min(lengths) < max(lengths) or any(not all(mask) for mask in masks):
        batch["attention_mask"] = _attention_mask(rows, lengths)
    return batch


def _attention_mask(rows: Sequence[Mapping[str, Any]], lengths: list[int]) -> Tensor:
    mask_BT = torch.zeros((len(rows), max(lengths)), dtype=torch.int64)
    for i, row in enumerate(rows):
        mask_BT[i, : lengths[i]] = torch.as_tensor(row.get("attention_mask", [1] * lengths[i]))
    return mask_BT
