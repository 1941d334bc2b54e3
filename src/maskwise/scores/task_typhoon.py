"""Typhoon by the loss of a task: saliency from a classifier tuned on a copy of the model, on unmasked labelled text.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from maskwise.masking.score_context import ScoreContext
from maskwise.models.embedding import EmbeddingTap
from maskwise.scores.typhoon import SaliencyTable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class LabelledTask(Protocol):
    """Labelled text, and how a classifier for it is made."""

    def classifier(self, model: nn.Module) -> nn.Module:
        """Returns a classifier on a copy of the model's body, which gives a `loss` for a batch with `labels`."""
        ...

    def tune(self, classifier: nn.Module) -> None:
        """Tunes the classifier on the labelled text, unmasked."""
        ...

    def batch(self, number: int) -> Mapping[str, Tensor]:
        """Returns a labelled batch on the CPU: `input_ids` [B, T], `labels` [B] and, if padded, `attention_mask`."""
        ...


class TaskTyphoon(SaliencyTable):
    """Masks the types that a task depends on: `SaliencyTable`, fed from a classifier's gradients on unmasked text.

    Before the first step the classifier is tuned on a copy of the model; its weights then stay as they are. Every
    `refresh_steps` optimizer steps, and at the start, the table takes up `refresh_batches` batches more, which
    processes share, one each at least. `task` is where labels come from: `LabelledRows`, or an object that has what
    `LabelledTask` has.

    The classifier is part of the state, so checkpoints grow by the model's size, and memory by a model. It costs
    refresh_batches / refresh_steps more steps. The random state is left alone. Works with MaskingTrainer only.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        token_counts: Any,
        task: LabelledTask,
        *,
        refresh_steps: int = 50,
        refresh_batches: int = 8,
        **table: Any,
    ) -> None:
        super().__init__(tokenizer, token_counts, **table)
        self.task, self.refresh_steps, self.refresh_batches = task, refresh_steps, refresh_batches
        self.classifier: nn.Module | None = None
        self._tuned: Mapping[str, Tensor] | None = None

    def on_epoch_start(self, context: ScoreContext) -> None:
        """Makes the classifier where there is none yet: tunes it, or takes the one that a checkpoint brought."""
        if self.classifier is not None:
            return
        assert context.model is not None
        device = context.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
            torch.manual_seed(context.seed)
            classifier = self.task.classifier(context.model).to(device)
            if self._tuned is None:
                self.task.tune(classifier.train())
            else:
                classifier.load_state_dict(self._tuned)
        self.classifier = classifier.eval().requires_grad_(False)
        if self.num_steps == 0:
            self.refresh(context)

    def on_step_end(self, context: ScoreContext) -> None:
        """Looks at labelled text again where a period ends."""
        if context.state.step % self.refresh_steps == 0:
            self.refresh(context)

    def refresh(self, context: ScoreContext) -> None:
        """Moves the averages by the next labelled batches."""
        assert self.classifier is not None
        num_batches = max(self.refresh_batches, context.world_size)  # a process without one would not sum up
        tap, first = EmbeddingTap(self.classifier), self.num_steps * num_batches
        for number in range(context.rank, num_batches, context.world_size):
            batch = {key: value.to(context.device) for key, value in self.task.batch(first + number).items()}
            with tap.open(), torch.enable_grad():
                with context.precision():
                    loss = self.classifier(**batch).loss
                loss.backward()
            ids_BT = batch["input_ids"]
            masked_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
            self.add(tap, tap.gradients(ids_BT), ids_BT, masked_BT, batch.get("attention_mask"))
        self.take_up(context)

    def state_dict(self) -> dict[str, Any]:
        """Returns the table and the classifier's weights."""
        tuned = self._tuned if self.classifier is None else self.classifier.state_dict()
        return super().state_dict() | ({} if tuned is None else {"classifier": dict(tuned)})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up the table and the classifier of a checkpoint."""
        super().load_state_dict(state)
        self._tuned = state.get("classifier")
        if self.classifier is not None and self._tuned is not None:
            self.classifier.load_state_dict(self._tuned)
