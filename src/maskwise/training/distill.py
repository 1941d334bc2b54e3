"""Distillation next to masking: when the teacher's predictions are part of the loss, and what they are.

Shapes: B sequences, T positions, R labelled rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from maskwise.errors import InputError
from maskwise.masking.losses import distillation_loss, mlm_loss
from maskwise.masking.rows import Rows
from maskwise.masking.score_context import TrainState
from maskwise.models.model_limits import check_teacher_vocabulary
from maskwise.models.sparse import SparseHead, evaluating, unwrapped


class Distillation:
    """(1 - weight) gold + weight T^2 KL(teacher || student) over the labelled rows, both seeing the same masked input.

    The teacher runs in eval mode and without gradient, and is left as it was; its head on the labelled rows only.
    Source: entropy paper 3.6, which gives both halves equal weight.

    Args:
        teacher: A masked language model with the tokenizer of the one in training.
        weight: The share of the teacher's half, 0 to 1.
        temperature: T.
        start_epochs: So many epochs the loss is the gold one,
        start_share: or for this share of the run.

    Raises:
        InputError: For a weight outside [0, 1], two starts, or a teacher that is not a model.

    >>> from maskwise.testing import tiny_model, word_tokenizer
    >>> Distillation(tiny_model(word_tokenizer("a b c")), weight=0.3, start_epochs=1).weight
    0.3
    """

    def __init__(
        self,
        teacher: nn.Module,
        *,
        weight: float = 0.5,
        temperature: float = 1.0,
        start_epochs: int | None = None,
        start_share: float | None = None,
    ) -> None:
        if isinstance(teacher, type) or not isinstance(teacher, nn.Module):
            found = f"the class {teacher.__name__}" if isinstance(teacher, type) else repr(teacher)[:80]
            raise InputError(
                f"The teacher of Distillation is a masked language model; found {found}. Write "
                "Distillation(AutoModelForMaskedLM.from_pretrained(name))."
            )
        if not 0 <= weight <= 1:
            raise InputError(f"The distillation weight is a share of the loss, from 0 to 1; found {weight:g}.")
        if start_epochs is not None and start_share is not None:
            raise InputError("Give the start of distillation once: start_epochs or start_share.")
        self.teacher = SparseHead(teacher)
        self.weight, self.temperature = weight, temperature
        self.start_epochs, self.start_share = start_epochs, start_share

    def __repr__(self) -> str:
        start = {"start_epochs": self.start_epochs, "start_share": self.start_share}
        given = "".join(f", {name}={value}" for name, value in start.items() if value is not None)
        return f"Distillation(weight={self.weight:g}, temperature={self.temperature:g}{given})"

    def bind(self, model: nn.Module, tokenizer: Any = None) -> None:
        """Moves the teacher to the device of the model in training.

        Raises:
            InputError: If the teacher is that model, or has fewer embeddings than the tokenizer needs.
        """
        if unwrapped(self.teacher.model) is unwrapped(model):
            raise InputError("Distillation needs a teacher of its own, and this one is the model in training itself.")
        check_teacher_vocabulary(self.teacher.model, model, tokenizer)
        self.teacher.model.to(next(model.parameters()).device)

    def is_on(self, state: TrainState) -> bool:
        """Returns True once the start is reached."""
        if self.start_epochs is not None:
            return state.epoch >= self.start_epochs
        return state.progress >= (self.start_share or 0.0)

    def teacher_logits(self, inputs: Mapping[str, Tensor], rows: Tensor | Rows) -> Tensor:
        """Returns the teacher's logits [R, V] of the labelled rows."""
        with torch.no_grad(), evaluating(self.teacher.model):
            return self.teacher.logits(inputs, rows)

    def loss(
        self,
        student_RV: Tensor,
        teacher_RV: Tensor,
        targets_R: Tensor,
        num_labelled: Any = None,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """Returns the mixed loss in nats per labelled token; `label_smoothing` is of its gold part.

        If one of the two embeddings is padded, the divergence is that over the columns they share.
        """
        gold = mlm_loss(student_RV, targets_R, num_labelled, label_smoothing)
        shared = min(student_RV.shape[-1], teacher_RV.shape[-1])
        student_RV, teacher_RV = student_RV[:, :shared], teacher_RV[:, :shared]
        taught = distillation_loss(student_RV, teacher_RV, num_labelled, self.temperature, targets_R=targets_R)
        return (1 - self.weight) * gold + self.weight * taught
