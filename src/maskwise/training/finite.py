"""Whether a run's numbers are finite: its losses, its weights, and the weights in a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

_LARGEST = float("inf")  # the order of a norm that is the largest absolute value: it cannot overflow


class LossWatch:
    """Notes the first step whose loss was not finite, on the device: a look at every loss would stall a GPU."""

    def __init__(self) -> None:
        self._first_bad: Tensor | None = None

    def note(self, loss: Tensor, step: int) -> None:
        """Takes a loss of the step after `step` steps, without waiting for the device."""
        if self._first_bad is None:
            self._first_bad = torch.full((), -1, dtype=torch.int64, device=loss.device)
        is_first = ~torch.isfinite(loss.detach()) & (self._first_bad < 0)
        self._first_bad = torch.where(is_first, step, self._first_bad)

    def first_bad_step(self) -> int | None:
        """Returns the number of the first bad step, from 1; None if there was none. Costs one look at the device."""
        found = -1 if self._first_bad is None else int(self._first_bad)
        return found + 1 if found >= 0 else None


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Returns whether every number of some tensors is finite, in one pass over them and one look at each device.

    >>> all_finite([torch.ones(3), torch.tensor([1.0, float("nan")])])
    False
    """
    local = (getattr(tensor, "_local_tensor", tensor).detach() for tensor in tensors)  # of sharded ones, the own part
    largest = [
        torch.linalg.vector_norm(tensor, _LARGEST).isfinite()
        for tensor in local
        if tensor.is_floating_point() and tensor.numel()
    ]
    return all(bool(torch.stack(group).all()) for group in _by_device(largest))


def trained_tensors(model: nn.Module, optimizer: Any) -> Iterator[Tensor]:
    """Yields a model's parameters and its optimizer's moments."""
    yield from model.parameters()
    states = getattr(optimizer, "state", None)
    for state in states.values() if isinstance(states, dict) else ():
        yield from (value for value in state.values() if isinstance(value, Tensor))


def bad_weights(checkpoint: Path) -> str | None:
    """Returns what is wrong with the weights in a checkpoint's `.safetensors` files, or None."""
    for file in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (not a mapping)
                if name.endswith(("weight", "bias")) and not all_finite([tensors.get_tensor(name)]):
                    return f"{file.name} holds weights that are not finite"
    return None


def _by_device(tensors: list[Tensor]) -> list[list[Tensor]]:
    groups: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.device, []).append(tensor)
    return list(groups.values())
