"""Scores by how often a token's type occurs in the training text.

Shapes: B sequences, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from maskwise.errors import InputError
from maskwise.masking.score import StatefulScore

RISE_EPOCHS = 9


class RareFirst(StatefulScore):
    """max(count, `least`)^-`power`: rare types are drawn before frequent ones (after WSBERT, 2023).

    Args:
        token_counts: int [V], how often each id occurs in the training text.
        least: Types that are rarer than this count like those.
        power: 0 is random masking.

    Raises:
        InputError: For a `least` below 1.

    >>> score = RareFirst([100, 25, 1], least=4)
    >>> score({"input_ids": torch.tensor([[0, 1, 2]])})
    tensor([[0.1000, 0.2000, 0.5000]])
    """

    is_local = True

    def __init__(self, token_counts: Any, least: int = 10, power: float = 0.5) -> None:
        if least < 1:
            raise InputError(f"least is a count of at least 1; found {least}.")
        self.least, self.power = least, power
        self._weights_V = torch.as_tensor(token_counts).double().clamp_min(least).pow(-power).float()

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the weight of each token's type [B, T]."""
        self._weights_V = self._weights_V.to(batch["input_ids"].device)
        return self._weights_V[batch["input_ids"]]


class RarityRank(StatefulScore):
    """Probabilities that rise with a token's frequency rank, more so in later epochs (Kosmopoulou et al., 2025).

    w = (min-max over the row's eligible tokens of the rank, 1 being the most frequent type)^p with p = `power`
    epoch / 9, at most `power`. With m the row's mean of w and r the rate, a token is masked with probability w r / m if
    m > r, else 1 - (1 - w)(1 - r) / (1 - m): the row's mean is r. It needs the budget `from-scores`. There r is the
    rate of a diffusion model; a fixed rate is an adaptation.

    Args:
        token_counts: int [V], how often each id occurs in the training text.
        power: The power in the tenth epoch and after it.

    >>> score = RarityRank([9, 4, 1])
    >>> batch = {"input_ids": torch.tensor([[0, 1, 2]]), "eligible": torch.ones(1, 3, dtype=torch.bool), "rate": 0.15}
    >>> from maskwise.masking.score_context import TrainState
    >>> score(batch | {"state": TrainState(epoch=0)})
    tensor([[0.1500, 0.1500, 0.1500]])
    """

    is_local = True

    def __init__(self, token_counts: Any, power: float = 0.02) -> None:
        self.power = power
        order = torch.as_tensor(token_counts).argsort(descending=True, stable=True)
        self._ranks_V = torch.empty(len(order), dtype=torch.float64)
        self._ranks_V[order] = torch.arange(len(order), dtype=torch.float64)

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the probability [B, T] of each token."""
        eligible_BT, rate = batch["eligible"], batch["rate"]
        self._ranks_V = self._ranks_V.to(eligible_BT.device)
        ranks_BT = self._ranks_V[batch["input_ids"]]
        lowest_B1 = torch.where(eligible_BT, ranks_BT, torch.inf).amin(-1, keepdim=True)
        highest_B1 = torch.where(eligible_BT, ranks_BT, -torch.inf).amax(-1, keepdim=True)
        power = self.power * min(batch["state"].epoch / RISE_EPOCHS, 1.0)
        shares_BT = (ranks_BT - lowest_B1) / (highest_B1 - lowest_B1)
        weights_BT = torch.where(highest_B1 > lowest_B1, shares_BT.clamp(0, 1).pow(max(power, 0.0)), 1.0)
        weights_BT = torch.where(eligible_BT, weights_BT, 0)
        mean_B1 = weights_BT.sum(-1, keepdim=True) / eligible_BT.sum(-1, keepdim=True).clamp_min(1)
        lowered_BT = weights_BT * rate / mean_B1.clamp_min(1e-12)
        raised_BT = 1 - (1 - weights_BT) * (1 - rate) / (1 - mean_B1).clamp_min(1e-12)
        return torch.where(mean_B1 > rate, lowered_BT, raised_BT).float()
