"""The masking rate that training batches really had.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class RateMeter:
    """Counts the eligible and the masked tokens of training batches, on their device."""

    def __init__(self) -> None:
        self._counts: Tensor | None = None

    def add(self, eligible_BT: Tensor, masked_BT: Tensor) -> None:
        """Counts one batch, without waiting for the device."""
        counts = torch.stack([masked_BT.sum(), eligible_BT.sum()])
        self._counts = counts if self._counts is None else self._counts.to(counts.device) + counts

    def take(self) -> float | None:
        """Returns the share of eligible tokens masked since the last call; None if there were none."""
        masked, eligible = self._counts.tolist() if self._counts is not None else (0, 0)
        self._counts = None
        return masked / eligible if eligible else None

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the counts since the last `take`."""
        return {} if self._counts is None else {"counts": self._counts.cpu()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes up the counts of a checkpoint; those of the first process, which is the one that reports."""
        self._counts = state.get("counts")
