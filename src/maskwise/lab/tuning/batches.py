"""Encoded examples as padded batches, cut so that little of them is padding.

An example is a mapping of what the model takes: lists of T numbers (`input_ids`, ..., per-token `labels`) or single
numbers (`labels` of a sequence). B examples, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.masking.corrupt import IGNORE

Example = Mapping[str, Any]
Batch = dict[str, Tensor]

# What one more forward and backward pass costs, in tokens: with 2 layers of 128 on one core, 256 to 1,024 ran alike
# and 0 or no cut a quarter slower; on two cores 512 was a tenth faster than 256, and 128 a quarter slower.
OVERHEAD_TOKENS = 512
# oneDNN compiles a matrix product for every new shape, which took half of an epoch while any length was possible.
LENGTH_STEP = 8


def padded_batches(
    examples: Sequence[Example], pad_id: int, *, most_tokens: int, longest: int
) -> list[tuple[list[int], Batch]]:
    """Returns the batches `examples` are cut into, each after the numbers of the examples in it.

    Lengths are padded to multiples of 8, so that few shapes occur; but not beyond `longest`, which the model can take.
    """
    lengths = [min(-len(example["input_ids"]) // LENGTH_STEP * -LENGTH_STEP, longest) for example in examples]
    cut = micro_batches(lengths, most_tokens)
    return [(numbers, pad([examples[i] for i in numbers], pad_id, lengths[numbers[-1]])) for numbers in cut]


def pad(examples: Sequence[Example], pad_id: int, length: int) -> Batch:
    """Returns the tensors of a batch, padded on the right to `length`.

    >>> pad([{"input_ids": [2, 3], "labels": 1}, {"input_ids": [2], "labels": 0}], 9, length=3)["input_ids"].tolist()
    [[2, 3, 9], [2, 9, 9]]
    """
    fill = {"input_ids": pad_id, "labels": IGNORE}
    return {key: _column([example[key] for example in examples], fill.get(key, 0), length) for key in examples[0]}


def _column(values: list[Any], fill: int, length: int) -> Tensor:
    if not isinstance(values[0], Sequence):
        return torch.tensor(values)
    return torch.tensor([[*row, *[fill] * (length - len(row))] for row in values])


def micro_batches(lengths: Sequence[int], most_tokens: int, overhead_tokens: int = OVERHEAD_TOKENS) -> list[list[int]]:
    """Returns the cheapest cut of examples into batches of like length, as lists of their numbers.

    A batch of b examples costs b times its longest length plus `overhead_tokens`; the cut with the least sum is found
    by dynamic programming over the distinct lengths. No batch has more than `most_tokens`, unless one example has.

    >>> micro_batches([3, 90, 3, 91], most_tokens=1000, overhead_tokens=10)
    [[0, 2], [1, 3]]
    """
    order_N = np.argsort(lengths, kind="stable")
    sorted_N = np.asarray(lengths)[order_N]
    cuts = np.array(_possible_cuts(sorted_N, most_tokens))
    cost, came_from = [0.0], [0]
    for i in range(1, len(cuts)):
        tokens = (cuts[i] - cuts[:i]) * sorted_N[cuts[i] - 1]
        total = np.array(cost) + tokens + overhead_tokens
        total[:-1][tokens[:-1] > most_tokens] = np.inf
        came_from.append(int(total.argmin()))
        cost.append(float(total[came_from[-1]]))
    batches, i = [], len(cuts) - 1
    while i > 0:
        batches.append(order_N[cuts[came_from[i]] : cuts[i]].tolist())
        i = came_from[i]
    return batches[::-1]


def _possible_cuts(sorted_N: np.ndarray, most_tokens: int) -> list[int]:
    """Where the length changes, and within a run of one length wherever a batch would be full."""
    starts = np.flatnonzero(np.diff(sorted_N, prepend=-1)).tolist()
    cuts = [0]
    for start, stop in zip(starts, [*starts[1:], len(sorted_N)], strict=True):
        rows = max(1, most_tokens // max(int(sorted_N[start]), 1))
        cuts += [*range(start + rows, stop, rows), stop]
    return cuts


def num_labels(batch: Batch) -> int:
    """Returns how many labels of a batch count towards its loss: sequences, or labelled tokens."""
    return int((batch["labels"] != IGNORE).sum())
