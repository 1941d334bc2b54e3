"""How far each part of a network moved in tuning: the change of its weights by layer and part.

Two measures, both in percent. The *norm ratio* ||W' - W|| / ||W|| compares lengths; the *elementwise mean*, the mean of
|W' - W| / (|W| + 1e-8), is ruled by the weights that were near zero. Entropy masking paper, section 3.7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

from torch import Tensor

from maskwise.errors import InputError
from maskwise.lab.weight_changes.parameter_groups import FUSED, HEAD, layer_of, part_of, split_fused
from maskwise.lab.weight_changes.weights import Weights

EPSILON = 1e-8
ALL = "all"


@dataclass(frozen=True)
class Change:
    """Sums over a set of weights; those of two sets add up."""

    count: int = 0
    changed_squares: float = 0.0
    squares: float = 0.0
    ratios: float = 0.0

    def __add__(self, other: Change) -> Change:
        return Change(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Change)))

    @property
    def norm_percent(self) -> float | None:
        """||W' - W|| / ||W|| in percent; None if all weights were 0."""
        return 100 * (self.changed_squares / self.squares) ** 0.5 if self.squares else None

    @property
    def elementwise_percent(self) -> float:
        """The mean of |W' - W| / (|W| + 1e-8), in percent."""
        return 100 * self.ratios / self.count


class Drift(NamedTuple):
    """The change from one checkpoint to another by (layer, part), and the parameters that were skipped, by reason."""

    tuned: str
    cells: dict[tuple[str, str], Change]
    skipped: dict[str, list[str]]

    @property
    def layers(self) -> list[str]:
        """The layers from below to the top."""
        return list(dict.fromkeys(layer for layer, _ in sorted(self.cells, key=_height)))

    def change(self, layer: str = ALL, part: str = ALL) -> Change | None:
        """Returns the change of a layer, a part, their crossing, or of everything; None if there is nothing."""
        found = [c for (row, column), c in self.cells.items() if layer in (ALL, row) and part in (ALL, column)]
        return sum(found, Change()) if found else None


def _height(cell: tuple[str, str]) -> tuple[int, int]:
    layer, _ = cell
    return (1, int(layer)) if layer.isdigit() else (0 if layer == "embeddings" else 2, 0)


def measure(weight: Tensor, tuned: Tensor) -> Change:
    """Returns the change from one tensor to another of the same shape, summed in float64.

    >>> import torch
    >>> change = measure(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5]))
    >>> round(change.norm_percent, 6), round(change.elementwise_percent, 6)
    (10.0, 6.25)
    """
    weight, difference = weight.double(), (tuned.double() - weight.double()).abs()
    ratios = difference / (weight.abs() + EPSILON)
    sums = (difference.square(), weight.square(), ratios)
    return Change(weight.numel(), *(float(values.sum()) for values in sums))


def measure_drift(before: Weights, after: Weights) -> Drift:
    """Returns how far `after` is from `before`; parameters that one of them lacks are named and skipped.

    Raises InputError if they have no parameter in common.
    """
    common = [name for name in before.tensors if name in after.tensors]
    skipped = {
        f"only in {before.checkpoint}": [name for name in before.tensors if name not in after.tensors],
        f"only in {after.checkpoint}": [name for name in after.tensors if name not in before.tensors],
        "of another shape": [name for name in common if before.tensors[name].shape != after.tensors[name].shape],
    }
    cells: dict[tuple[str, str], Change] = {}
    for name in common:
        if name not in skipped["of another shape"]:
            for part, weight, tuned in _pieces(name, before, after):
                cell = (layer_of(name), part)
                cells[cell] = cells.get(cell, Change()) + measure(weight, tuned)
    if not cells:
        raise InputError(
            f"{before.checkpoint!r} and {after.checkpoint!r} have no parameter in common: "
            "was one of them tuned from the other?"
        )
    return Drift(after.checkpoint, cells, {reason: sorted(names) for reason, names in skipped.items() if names})


def _pieces(name: str, before: Weights, after: Weights) -> Iterator[tuple[str, Tensor, Tensor]]:
    weight, tuned = before.tensors[name].read(), after.tensors[name].read()
    part = HEAD if name in before.heads & after.heads else part_of(name)
    if part != FUSED:
        yield part, weight, tuned
        return
    both = (split_fused(name, tensor, before.num_attention_heads) for tensor in (weight, tuned))
    for (part, old), (_, new) in zip(*both, strict=True):
        yield part, old, new
