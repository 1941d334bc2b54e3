"""The positions of a batch that a head runs on.

Shapes: B sequences, T positions, R positions taken (row-major over [B, T]).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PAD_INDEX = -1


def sync_stalls(device: torch.device) -> bool:
    """Returns True where a look at a value makes the program wait for the device's queue: everywhere but on a CPU."""
    return device.type != "cpu"


@dataclass(frozen=True)
class Rows:
    """Flat places `index_R` in a batch of `shape` [B, T]; PAD_INDEX fills up a number of rows that is known beforehand.

    >>> rows = Rows.of(torch.tensor([[False, True], [True, False]]), at_most=3)
    >>> rows.index_R.tolist(), rows.take(torch.tensor([[5, 6], [7, 8]]), nowhere=0).tolist()
    ([1, 2, -1], [6, 7, 0])
    """

    index_R: Tensor
    shape: torch.Size

    @classmethod
    def of(cls, mask_BT: Tensor, at_most: int | None = None) -> Rows:
        """Returns the places where a mask is True.

        Counting them makes a GPU wait. Where `at_most` says how many there can be, nothing waits, and the shape is the
        same in every step, as `torch.compile` wants it; more than that are cut off.
        """
        flat = mask_BT.flatten()
        if at_most is None:
            return cls(flat.nonzero()[:, 0], mask_BT.shape)
        rank = torch.where(flat, flat.cumsum(0) - 1, at_most).clamp_max(at_most)
        index = torch.full((at_most + 1,), PAD_INDEX, device=flat.device)  # the last takes what is no place
        index = index.scatter(0, rank, torch.arange(len(flat), device=flat.device))
        return cls(index[:at_most], mask_BT.shape)

    @property
    def safe_index_R(self) -> Tensor:
        """Flat indices that can be taken: 0 for nowhere."""
        return self.index_R.clamp_min(0)

    def take(self, values_BT: Tensor, nowhere: int) -> Tensor:
        """Returns the values [R] at the places, `nowhere` at those that are none."""
        return torch.where(self.index_R == PAD_INDEX, nowhere, values_BT.flatten()[self.safe_index_R])

    def put(self, values_R: Tensor) -> Tensor:
        """Returns the values [B, T] at their places, 0 elsewhere."""
        num_places = self.shape.numel()
        spread = values_R.new_zeros(num_places + 1)  # the last place takes what goes nowhere
        index_R = torch.where(self.index_R == PAD_INDEX, num_places, self.index_R)
        return spread.scatter(0, index_R, values_R)[:num_places].view(self.shape)
