"""What the Trainer's `compute_metrics` gets here: the predictions at the labelled tokens, of all processes.

Shapes: R labelled tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from accelerate.utils import gather_object
from torch import Tensor
from transformers import EvalPrediction
from transformers.trainer_pt_utils import nested_numpify

Preprocess = Callable[[Any, Any], Any]


class LabelledPredictions:
    """Collects logits [R, V] (or what `preprocess` makes of them) and labels [R], batch by batch, on the CPU.

    Args:
        preprocess: `preprocess_logits_for_metrics(logits_RV, labels_R)`, called for each batch on its device.
    """

    def __init__(self, preprocess: Preprocess | None = None) -> None:
        self.preprocess = preprocess
        self._batches: list[tuple[Any, np.ndarray]] = []

    def add(self, logits_RV: Tensor, labels_R: Tensor) -> None:
        """Takes a batch."""
        predictions = logits_RV if self.preprocess is None else self.preprocess(logits_RV, labels_R)
        self._batches.append((nested_numpify(predictions), labels_R.cpu().numpy()))

    def gather(self, share: tuple[int, int], *, joined: bool = True) -> EvalPrediction:
        """Returns the predictions and labels of all processes, in the order of one process.

        Args:
            share: (i, n) if this process had every n-th batch from the i-th.
            joined: Whether the batches are joined; otherwise predictions and labels are lists, one item per batch.
        """
        mine = [(share[0] + number * share[1], batch) for number, batch in enumerate(self._batches)]
        everyones = gather_object(mine) if share[1] > 1 else mine
        batches = [batch for _, batch in sorted(everyones, key=lambda item: item[0])]
        predictions: Any = [batch[0] for batch in batches]
        labels: Any = [batch[1] for batch in batches]
        return (
            EvalPrediction(_join(predictions), np.concatenate(labels))
            if joined
            else EvalPrediction(predictions, labels)
        )


def _join(parts: list[Any]) -> Any:
    """Joins arrays, and tuples, lists or dictionaries of them, along the rows."""
    first = parts[0]
    if isinstance(first, dict):
        return {key: _join([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple | list):
        return type(first)(_join(list(items)) for items in zip(*parts, strict=True))
    return np.concatenate(parts)
