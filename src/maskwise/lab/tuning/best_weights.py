"""The best weights of a tuning run so far, and the rule that ends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class BestWeights:
    """Keeps the weights of the best epoch: the highest score, and of equal scores the smallest loss.

    A score such as the accuracy stays where it is while a model still predicts one class; that its loss falls says that
    it learns, so it is given time. `state_dict` goes into a checkpoint and is all that a resumed run needs.
    """

    def __init__(self, model: nn.Module, patience: int) -> None:
        self.model, self.patience = model, patience
        self.epoch = 0
        self.grade = (-torch.inf, -torch.inf)
        self.weights: dict[str, Tensor] = {}
        self.history: list[dict[str, float]] = []

    def add(self, score: float, loss: float, **figures: float) -> None:
        """Takes the figures of the epoch that ended, and its weights where it is the best."""
        self.history.append({"epoch": len(self.history) + 1, "score": score, "loss": loss, **figures})
        if (score, -loss) > self.grade:
            self.epoch, self.grade = len(self.history), (score, -loss)
            trained = ((name, weight) for name, weight in self.model.named_parameters() if weight.requires_grad)
            self.weights = {name: weight.detach().cpu().clone() for name, weight in trained}

    @property
    def is_over(self) -> bool:
        """True when `patience` epochs have passed since the best one."""
        return len(self.history) - self.epoch >= self.patience

    def restore(self) -> None:
        """Puts the best weights into the model."""
        parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, weight in self.weights.items():
                parameters[name].copy_(weight)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "grade": self.grade, "weights": self.weights, "history": self.history}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.grade = state["epoch"], tuple(state["grade"])
        self.weights, self.history = state["weights"], state["history"]
