"""Masking inside a data loader, where no trainer says what epoch it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from maskwise.errors import InputError
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.score_context import TrainState


class MaskingCollator:
    """Pads and masks in the data loader's workers, for a plain `Trainer`, Lightning, or a bare loop.

    The score must need no model. A worker does not know the epoch, so tell it: `set_epoch(epoch)` before each epoch,
    or `Trainer(..., callbacks=[collator.callback()])`. Without either it raises, rather than mask every epoch alike.
    Rows without an `example_id` are told apart by their content.
    """

    def __init__(self, masker: Masker) -> None:
        self.masker = masker
        self._epoch = torch.full((), -1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Makes every worker, running ones too, mask for `epoch` from its next batch on."""
        self._epoch.fill_(epoch)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Returns one padded, masked batch with `labels`."""
        epoch = int(self._epoch)
        if epoch < 0:
            raise InputError(
                "MaskingCollator was not told the epoch, and would mask every epoch alike. Call "
                "collator.set_epoch(epoch) before each epoch, or pass callbacks=[collator.callback()] to the Trainer."
            )
        return self.masker(pad_batch(rows, self.masker.vocabulary.pad_token_id), TrainState(epoch))

    def callback(self):
        """Returns a `TrainerCallback` that calls `set_epoch` at the start of each epoch, and before training."""
        from transformers import TrainerCallback

        collator = self

        class SetEpoch(TrainerCallback):
            def on_init_end(self, args, state, control, **kwargs):
                collator.set_epoch(0)  # for evaluations before training

            # Counted, since `state.epoch` is a share of max_steps if the dataset has no length.
            def on_train_begin(self, args, state, control, **kwargs):
                self.next_epoch = int(state.epoch or 0)
                collator.set_epoch(self.next_epoch)

            def on_epoch_begin(self, args, state, control, **kwargs):
                collator.set_epoch(self.next_epoch)
                self.next_epoch += 1

        return SetEpoch()
