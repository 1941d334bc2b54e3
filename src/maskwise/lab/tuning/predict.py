"""A tuned model's logits over a set of examples, in the order of the examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from maskwise.lab.tuning.batches import Example, num_labels, padded_batches


class Predictions(NamedTuple):
    """One array of fp32 logits an example ([C] for a sequence, [T, C] for its tokens), and the mean loss a label."""

    logits: list[np.ndarray]
    loss: float


@torch.no_grad()
def predict(model: Any, examples: Sequence[Example], *, pad_id: int, most_tokens: int, bf16: bool) -> Predictions:
    """Returns the predictions of a model in evaluation mode; its mode is put back."""
    was_training = model.training
    model.eval()
    logits: list[np.ndarray] = [np.empty(0)] * len(examples)
    total, count = 0.0, 0
    lengths = [len(example["input_ids"]) for example in examples]
    for numbers, padded in padded_batches(examples, pad_id, most_tokens=most_tokens, longest=max(lengths, default=0)):
        batch = {key: x.to(model.device) for key, x in padded.items()}
        with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bf16):
            outputs = model(**batch)
        labels = num_labels(batch)
        total, count = total + float(outputs.loss) * labels if labels else total, count + labels
        for i, row in zip(numbers, outputs.logits.float().cpu().numpy(), strict=True):
            logits[i] = row[: lengths[i]] if row.ndim == 2 else row
    model.train(was_training)
    return Predictions(logits, total / max(count, 1))
