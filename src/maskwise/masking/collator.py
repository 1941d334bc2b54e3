"""Masking inside a data loader, where no trainer says where in the run a batch is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.losses import mlm_loss
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.score_context import TrainState

EVALUATION = TrainState(epoch=-1, step=0, progress=1.0)  # masks of no epoch of training, at the last rate


class MaskingCollator:
    """Pads and masks in the data loader's workers, for a plain `Trainer`, Lightning, or a bare loop.

    A worker does not know where the run is, so tell it: `Trainer(..., callbacks=[collator.callback()])`, or
    `set_epoch(epoch)` before each epoch and, if the rate has a schedule, `set_progress(progress)`. Without it raises,
    rather than mask every epoch alike. With the callback, evaluations get the same masks every time. Workers read
    the progress when they make a batch, which is a few batches before it is trained on.

    Under Lightning the first batches are made before any hook of the first epoch is called: call `set_epoch(0)` when
    the collator is made, `set_epoch(self.current_epoch)` in `on_train_epoch_start`, and give validation
    `collator.for_evaluation()`.

    Rows without an `example_id` are told apart by their content. A plain `Trainer` drops `word_ids` and declared
    columns unless it has `remove_unused_columns=False`.

    The loss of most models is nan for a batch without a label, and so are the weights after it. Budgets without a floor
    give such batches: `MaskingCollator(masker, allow_unlabelled=True)` with `Trainer(..., compute_loss_func=
    collator.loss)`, whose loss is 0 then, or with a loss of your own that can bear them.

    Args:
        masker: What masks: its score needs neither the run nor the model.
        allow_unlabelled: Whether a batch may be without a label. If not, one is an error.

    Raises:
        InputError: For a score that needs the run or the model, and for the pick `alternating`, whose coin all batches
            of a step must share: train those with `MaskingTrainer`. In use, for a batch without a label.

    >>> from maskwise import Masker, uniform
    >>> from maskwise.testing import word_tokenizer
    >>> collator = MaskingCollator(Masker(uniform, word_tokenizer("a b c"), rate=0.5))
    >>> collator.set_epoch(0)
    >>> batch = collator([{"input_ids": [2, 5, 6, 7, 3]}, {"input_ids": [2, 5, 3]}])
    >>> batch["input_ids"].shape, int((batch["labels"] != -100).sum())
    (torch.Size([2, 5]), 3)
    """

    def __init__(self, masker: Masker, *, allow_unlabelled: bool = False) -> None:
        _check_masker(masker)
        for score in masker.scores_inside:
            if not score.is_local:
                raise InputError(
                    f"{score.name} needs the model or the run, which a data loader's workers do not have. Train with "
                    "MaskingTrainer(model, args, masker=masker, ...), or store its scores first (maskwise annotate) "
                    "and use Stored."
                )
        if masker.pick == "alternating":
            raise InputError(
                "pick='alternating' tosses one coin for each optimizer step, and a data loader's workers do not know "
                "the step. Train with MaskingTrainer(model, args, masker=masker, ...), or pick 'high' or 'low'."
            )
        self.masker, self.allow_unlabelled = masker, allow_unlabelled
        self._epoch = torch.full((), -1, dtype=torch.int64).share_memory_()
        self._progress = torch.full((), -1.0, dtype=torch.float64).share_memory_()
        self._is_evaluation = False

    def set_epoch(self, epoch: int) -> None:
        """Makes every worker, running ones too, mask for `epoch` (0, 1, ...) from its next batch on."""
        if not isinstance(epoch, Integral) or epoch < 0:
            raise InputError(f"An epoch is a whole number, the first one 0; found {epoch!r}.")
        self._epoch.fill_(epoch)

    def set_progress(self, progress: float) -> None:
        """Makes every worker mask at the rate after this share of the run (0 to 1) from its next batch on."""
        if not 0 <= progress <= 1:
            raise InputError(f"The progress is a share of the run, from 0 to 1: step / max_steps; found {progress!r}.")
        self._progress.fill_(progress)

    def for_evaluation(self) -> MaskingCollator:
        """Returns a collator with the same masks every time, at the rate of the end of the run."""
        collator = MaskingCollator(self.masker, allow_unlabelled=self.allow_unlabelled)
        collator._is_evaluation = True
        return collator

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Returns one padded, masked batch with `labels`."""
        masker = self.masker
        batch = pad_batch(rows, masker.vocabulary.pad_token_id, masker.columns, masker.model_inputs)
        masked = masker(batch, EVALUATION if self._is_evaluation else self._state())
        if not self.allow_unlabelled and not (masked["labels"] != IGNORE).any():
            raise InputError(
                "A batch has no label, and the loss of most models is nan then. Give "
                "MaskingCollator(masker, allow_unlabelled=True) to a Trainer with compute_loss_func=collator.loss, use "
                "larger batches or budget='exact', or train with MaskingTrainer."
            )
        return masked

    @staticmethod
    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Returns the loss in nats per label of a model's outputs, 0 with a gradient if there is no label.

        For `Trainer(..., compute_loss_func=collator.loss)`.
        """
        logits_BTV = outputs["logits"] if isinstance(outputs, Mapping) else outputs[0]
        return mlm_loss(logits_BTV.flatten(0, 1), labels.flatten(), num_items_in_batch)

    def _state(self) -> TrainState:
        epoch, progress = int(self._epoch), float(self._progress)
        if epoch < 0:
            raise InputError(
                "MaskingCollator was not told the epoch, and would mask every epoch alike. Call "
                "collator.set_epoch(epoch) before each epoch, or pass callbacks=[collator.callback()] to the Trainer."
            )
        if progress < 0 and self.masker.needs_progress:
            raise InputError(
                "The masking rate has a schedule, and MaskingCollator was not told the progress of the run: it would "
                "stay at its first rate. Call collator.set_progress(step / max_steps), or pass "
                "callbacks=[collator.callback()] to the Trainer; or train with MaskingTrainer."
            )
        return TrainState(epoch, 0, max(progress, 0.0))

    def callback(self):
        """Returns a `TrainerCallback` that tells the epoch and the progress, and tells evaluations from training.

        From now on batches are an evaluation's until an epoch of training begins.
        """
        from transformers import TrainerCallback

        collator = self
        collator._is_evaluation = True

        class TellCollator(TrainerCallback):
            is_training = False

            # Epochs are counted, since `state.epoch` is a share of max_steps if the dataset has no length.
            def on_train_begin(self, args, state, control, **kwargs):
                self.next_epoch = int(state.epoch or 0)

            def on_epoch_begin(self, args, state, control, **kwargs):
                self.is_training, collator._is_evaluation = True, False
                collator.set_epoch(self.next_epoch)
                collator.set_progress(state.global_step / max(state.max_steps, 1))
                self.next_epoch += 1

            def on_step_begin(self, args, state, control, **kwargs):
                collator.set_progress(state.global_step / max(state.max_steps, 1))

            def on_step_end(self, args, state, control, **kwargs):
                collator._is_evaluation = control.should_evaluate

            def on_epoch_end(self, args, state, control, **kwargs):
                collator._is_evaluation = control.should_evaluate

            def on_evaluate(self, args, state, control, **kwargs):
                collator._is_evaluation = not self.is_training

            def on_train_end(self, args, state, control, **kwargs):
                self.is_training, collator._is_evaluation = False, True

        return TellCollator()


def _check_masker(masker: Any) -> None:
    if isinstance(masker, Masker):
        return
    if isinstance(masker, str):
        line = f"Masker.from_recipe({masker!r}, tokenizer)"
    elif callable(masker) and not isinstance(masker, type):
        line = f"Masker({getattr(masker, '__name__', 'score')}, tokenizer)"
    else:
        line = "Masker(score, tokenizer)"
    found = f"the class {masker.__name__}" if isinstance(masker, type) else f"{type(masker).__name__}: {masker!r:.40}"
    raise InputError(f"A MaskingCollator takes a Masker; found {found}. Write MaskingCollator({line}).")
