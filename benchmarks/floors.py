"""The least time that work can take on this machine: its products at the matrix rate, its bytes at the copy rate.

Both rates are measured here, in the run that uses them. Matrix products are counted as in `maskwise.models.flops`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from common import timed

from maskwise.models.flops import forward_flops

LABELLED = 0.15
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Forward and backward read a weight, its gradient is written and read, Adam reads and writes it and both moments.
STEP_TRIPS = 2 + 2 + 6
WEIGHT_BYTES = 4
SIDE = {"cpu": 2048, "cuda": 8192}
TILE = (1024, 512, 2048)  # rows, width, columns: what stays in a processor's cache is faster than one large product
COPIED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 31}
TRIES = 7


class Cost(NamedTuple):
    """Operations of matrix products, and bytes that have to be read or written."""

    flops: float
    bytes: float = 0.0

    def plus(self, other: Cost) -> Cost:
        """Returns the cost of both."""
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def times(self, number: float) -> Cost:
        """Returns the cost of so many."""
        return Cost(number * self.flops, number * self.bytes)


class Rates(NamedTuple):
    """What the machine does at best in a second."""

    flops: float
    bytes: float

    def floor_seconds(self, cost: Cost) -> float:
        """Returns the larger of the time of the products and that of the bytes."""
        return max(cost.flops / self.flops, cost.bytes / self.bytes)


@functools.cache
def measured_rates(device: str, precision: str) -> Rates:
    """Returns the best of some tries, once a run; about a second a precision."""
    shapes = [(SIDE[device],) * 3] + ([TILE] if device == "cpu" else [])
    flops = max(_product_rate(shape, DTYPES[precision], device) for shape in shapes)
    source = torch.zeros(COPIED_BYTES[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Rates(flops, 2 * source.nbytes / _least(lambda: target.copy_(source), device))


def _product_rate(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> float:
    rows, width, columns = shape
    left, right = (torch.randn(size, width, device=device).to(dtype) for size in (rows, columns))
    product = torch.empty(rows, columns, dtype=dtype, device=device)
    return 2 * rows * width * columns / _least(lambda: torch.mm(left, right.t(), out=product), device)


def _least(run: Callable[[], object], device: str) -> float:
    work = timed(run, device)
    return min(work() for _ in range(TRIES))


def step_cost(kind: str, model: str, vocabulary: int, length: int, tokens: int, num_weights: int) -> Cost:
    """Returns the cost of a training step: `random`, `stored`, `self`, or `distilled` by a teacher of the same size."""
    forward = forward_flops(model, length, vocabulary)
    labelled = forward.body + LABELLED * forward.head
    extra = {"self": forward.body + forward.head, "distilled": labelled}.get(kind, 0.0)
    trips = STEP_TRIPS + (1 if extra else 0)
    return Cost((3 * labelled + extra) * tokens, trips * WEIGHT_BYTES * num_weights)


def scoring_cost(model: str, vocabulary: int, length: int, tokens: int, num_weights: int) -> Cost:
    """Returns the cost of one forward pass with the head on every token."""
    forward = forward_flops(model, length, vocabulary)
    return Cost((forward.body + forward.head) * tokens, WEIGHT_BYTES * num_weights)


def held_out_cost(model: str, vocabulary: int, length: int, tokens: int, num_weights: int) -> Cost:
    """Returns the cost of one forward pass with the head on the masked tokens."""
    forward = forward_flops(model, length, vocabulary)
    return Cost((forward.body + LABELLED * forward.head) * tokens, WEIGHT_BYTES * num_weights)


def tuning_cost(model: str, vocabulary: int, length: int, train_tokens: int, valid_tokens: int) -> Cost:
    """Returns the cost of an epoch of fine-tuning with its evaluation, no token being padding."""
    body = forward_flops(model, max(length, 1), vocabulary).body
    return Cost(body * (3 * train_tokens + valid_tokens))
