"""Masks of successive epochs that together cover every token of a row once.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from maskwise.errors import InputError
from maskwise.masking.noise import Stream, text_positions, uniform_noise
from maskwise.masking.score import StatefulScore


class Complementary(StatefulScore):
    """In each cycle of `slices` epochs every token is masked exactly once: sampling without replacement over epochs.

    A row of n eligible tokens has a random order that changes with the cycle; epoch e masks the ranks floor(i n / m) to
    floor((i + 1) n / m) of it, with m = `slices` and i = e mod m. Scores are 0 and 1, for the budget `from-scores`. The
    rate is 1 / m and cannot be another one. A row with fewer than m tokens is without a label in some epochs. (Fully
    explored masking, 2020, has the slices in one update.)

    Args:
        slices: The number of epochs of a cycle, at least 2.
        seed: Of the orders.

    Raises:
        InputError: For fewer than 2 slices, and in use for a rate that is not 1 / slices.
    """

    is_local = True

    def __init__(self, slices: int, seed: int = 0) -> None:
        if not isinstance(slices, int) or slices < 2:
            raise InputError(f"A cycle has a whole number of slices, at least 2; found {slices!r}.")
        self.slices, self.seed = slices, seed

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns 1 [B, T] at the tokens of this epoch's slice, 0 elsewhere."""
        if abs(batch["rate"] - 1 / self.slices) > 1e-3:
            raise InputError(
                f"{self.slices} slices mask 1 / {self.slices} of the tokens in each epoch, and the rate is "
                f"{batch['rate']:g}: set it to {1 / self.slices:.4g}, or another number of slices."
            )
        cycle, part = divmod(batch["state"].epoch, self.slices)
        eligible_BT = batch["eligible"]
        noise_BT = uniform_noise(self.seed, cycle, batch["example_id"], text_positions(batch), Stream.SLICES)
        order_BT = torch.where(eligible_BT, noise_BT, 2.0).argsort(dim=-1, stable=True)
        rank_BT = order_BT.argsort(dim=-1)
        num_eligible_B1 = eligible_BT.sum(-1, keepdim=True)
        first_B1 = part * num_eligible_B1 // self.slices
        last_B1 = (part + 1) * num_eligible_B1 // self.slices
        return (eligible_BT & (rank_BT >= first_B1) & (rank_BT < last_B1)).float()
