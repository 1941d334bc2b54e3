"""The held-out evaluation beside the stock evaluation of the same blocks, as transformers' run_mlm example sets it up.

Ours runs the head on the masked tokens and gives the loss, top-1 and top-5 by frequency; stock runs it on all tokens
and gives the loss and the accuracy.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from maskwise.evaluation.held_out import HELD_OUT_BATCH, evaluate_mlm, make_held_out_eval
from maskwise.masking.corrupt import IGNORE


def stock_trainer(
    model: BertForMaskedLM,
    tokenizer: Any,
    folder: str,
    *,
    bf16: bool,
    train: Any = None,
    valid: Any = None,
    **options: Any,
) -> Trainer:
    """Returns the Trainer as run_mlm sets it up: 80/10/10 masks in the collator, and accuracy from the best token."""
    args = TrainingArguments(
        folder, bf16=bf16, use_cpu=not torch.cuda.is_available(), per_device_eval_batch_size=HELD_OUT_BATCH,
        report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no", **options,
    )  # fmt: skip
    trainer = Trainer(
        model, args, DataCollatorForLanguageModeling(tokenizer), train_dataset=train, eval_dataset=valid,
        preprocess_logits_for_metrics=best_token, compute_metrics=accuracy,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer


def best_token(logits_BTV: Tensor, labels_BT: Tensor) -> Tensor:
    """Returns the token of the highest logit [B, T]."""
    return logits_BTV.argmax(-1)


def accuracy(found: Any) -> dict[str, float]:
    """Returns the share of the masked tokens that was found."""
    asked_BT = found.label_ids != IGNORE
    return {"accuracy": float((found.predictions == found.label_ids)[asked_BT].mean())}


class Bench:
    """A model, and its grades on the same blocks each way."""

    def __init__(self, model: BertForMaskedLM, tokenizer: Any, rows: list[Any], folder: str, precision: str) -> None:
        self.model, self.precision = model, precision
        self.held_out = make_held_out_eval(rows, tokenizer, blocks=len(rows))
        self.trainer = stock_trainer(model, tokenizer, folder, bf16=precision == "bf16", valid=rows)

    def ours(self) -> float:
        """Returns the loss of the held-out evaluation, in nats."""
        device = self.model.device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            return evaluate_mlm(self.model, self.held_out).grade("loss")

    def stock(self) -> float:
        """Returns the loss of the stock evaluation."""
        return self.trainer.evaluate()["eval_loss"]
