"""The masking rate that training batches really had.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

import torch
from torch import Tensor


class RateMeter:
    """Counts the eligible and the masked tokens of training batches, on their device."""

    def __init__(self) -> None:
        self._counts: Tensor | None = None

    def add(self, eligible_BT: Tensor, masked_BT: Tensor) -> None:
        """Counts one batch, without waiting for the device."""
        counts = torch.stack([masked_BT.sum(), eligible_BT.sum()])
        self._counts = counts if self._counts is None else self._counts + counts

    def take(self) -> float | None:
        """Returns the share of eligible tokens masked since the last call; None where there were none."""
        masked, eligible = self._counts.tolist() if self._counts is not None else (0, 0)
        self._counts = None
        return masked / eligible if eligible else None
