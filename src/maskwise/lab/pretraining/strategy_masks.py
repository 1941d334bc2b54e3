"""The masks of a run itself on held-out text, as its training batches would get them now.

Losses on them are of one run: another way of masking asks easier or harder questions. What is the same for every run
is the held-out evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from maskwise.evaluation.held_out import HeldOutEval

if TYPE_CHECKING:
    from maskwise.training.trainer import MaskingTrainer


class OwnMasks:
    """Masks as the trainer's masker does at the trainer's moment, in place of an evaluation's fixed masker."""

    def __init__(self, trainer: MaskingTrainer) -> None:
        masker = trainer.masker
        self.trainer, self.vocabulary = trainer, masker.vocabulary
        self.columns, self.model_inputs = masker.columns, masker.model_inputs

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the model's inputs with `input_ids` corrupted and `labels` made, on the trainer's device."""
        moved = {key: value.to(self.trainer.args.device) for key, value in batch.items()}
        return self.trainer.masker(moved, self.trainer.train_state())


def strategy_masks_eval(trainer: MaskingTrainer) -> HeldOutEval:
    """Returns the held-out blocks of the trainer's evaluation, asked by the run's own masks."""
    return replace(trainer.eval_dataset, masker=cast(Any, OwnMasks(trainer)))
