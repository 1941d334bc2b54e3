"""How much each token type matters to a loss: the gradient by the type's one-hot input, averaged over text and time.

Shapes: B sequences, T positions, D width of the embedding, V vocabulary, K parts that are averaged on their own.

Source: Typhoon (arXiv 2303.15619). "2023" names what its code of that year did, where ours differs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from maskwise.errors import InputError, nearest

AGGREGATES = ("abs", "signed-2023")
UNSEEN = ("mean", "max")
_SMALLEST_SHARE = 1e-300


class TypeSums(NamedTuple):
    """Saliency added up by token type, and over how many positions; sums of several batches or processes add up."""

    sums_KV: Tensor
    counts_KV: Tensor

    def means(self) -> tuple[Tensor, Tensor]:
        """Returns each type's saliency [V], 0 where it did not occur, and True [V] where it did."""
        return (self.sums_KV / self.counts_KV.clamp_min(1)).sum(dim=0), self.counts_KV.sum(dim=0) > 0


def position_saliency(gradients_BTD: Tensor, embedded_BTD: Tensor) -> Tensor:
    """Returns <dL/de, E[o]> [B, T]: the derivative of the loss by the one-hot coordinate of the token o that is there.

    `gradients_BTD` is the gradient at the output of the embedding, before positions and norms, also where the model
    saw a mask token; `embedded_BTD` is what the embedding makes of the original tokens. The one-hot gradient
    [B, T, V] has V times as many numbers, and never exists.

    >>> position_saliency(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 0.5]]])).tolist()
    [[4.0]]
    """
    return (gradients_BTD.float() * embedded_BTD.float()).sum(dim=-1)


def sum_by_type(
    saliency_BT: Tensor, ids_BT: Tensor, counted_BT: Tensor, masked_BT: Tensor, num_types: int, aggregate: str = "abs"
) -> TypeSums:
    """Returns the saliency of the positions `counted_BT` added up by their original token `ids_BT`.

    - `abs`: |g| over all positions of a type (gradient times input).
    - `signed-2023`: the mean of -g over visible positions plus the mean of g over masked ones.

    >>> ids, all_ = torch.tensor([[7, 7, 8]]), torch.ones(1, 3, dtype=torch.bool)
    >>> sums = sum_by_type(torch.tensor([[1.0, -3.0, 5.0]]), ids, all_, ~all_, 9)
    >>> sums.means()[0][7:].tolist()
    [2.0, 5.0]
    """
    check_aggregate(aggregate)
    if aggregate == "abs":
        return _sum_parts([(saliency_BT.abs(), counted_BT)], ids_BT, num_types)
    parts = [(-saliency_BT, counted_BT & ~masked_BT), (saliency_BT, counted_BT & masked_BT)]
    return _sum_parts(parts, ids_BT, num_types)


def smooth(table_V: Tensor, means_V: Tensor, occurred_V: Tensor, begun_V: Tensor, weight: float) -> Tensor:
    """Returns the moving average after one step: (1 - weight) table + weight means where a type occurred.

    Types that did not occur keep their value. One that has not `begun` takes the mean as it is, so its average does
    not start at 0.

    >>> on, off = torch.tensor([True, True]), torch.tensor([True, False])
    >>> smoothed = smooth(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 2.0]), on, off, 0.8)
    >>> [round(value, 4) for value in smoothed.tolist()]
    [1.8, 2.0]
    """
    averaged_V = torch.where(begun_V, (1 - weight) * table_V + weight * means_V, means_V)
    return torch.where(occurred_V, averaged_V, table_V)


def fill_unseen(table_V: Tensor, seen_V: Tensor, shares_V: Tensor, how: str = "mean") -> Tensor:
    """Returns the table with a value for the types not seen yet: the seen ones' mean by share of text, or their `max`.

    >>> fill_unseen(torch.tensor([1.0, 4.0, 0.0]), torch.tensor([True, True, False]), torch.tensor([0.5, 0.25, 0.25]))
    tensor([1., 4., 2.])
    """
    if how == "max":
        value = torch.where(seen_V, table_V, -torch.inf).amax()
    else:
        seen_shares_V = torch.where(seen_V, shares_V, 0)
        value = (seen_shares_V * table_V).sum() / seen_shares_V.sum().clamp_min(_SMALLEST_SHARE)
    return torch.where(seen_V, table_V, value)


def check_aggregate(aggregate: str) -> None:
    """Raises InputError, with the nearest name, unless `aggregate` is one of AGGREGATES."""
    if aggregate not in AGGREGATES:
        raise InputError(
            f"No saliency aggregate {aggregate!r}; there are {', '.join(AGGREGATES)}.{nearest(aggregate, AGGREGATES)}"
        )


def _sum_parts(parts: list[tuple[Tensor, Tensor]], ids_BT: Tensor, num_types: int) -> TypeSums:
    sums_KV = ids_BT.new_zeros((len(parts), num_types), dtype=torch.float64)
    counts_KV = torch.zeros_like(sums_KV)
    ids = ids_BT.flatten()
    for k, (values_BT, counted_BT) in enumerate(parts):
        sums_KV[k].scatter_add_(0, ids, torch.where(counted_BT, values_BT, 0).double().flatten())
        counts_KV[k].scatter_add_(0, ids, counted_BT.double().flatten())
    return TypeSums(sums_KV, counts_KV)
