"""Rows of token ids with a label, as a task that Typhoon can take its loss from.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from maskwise.errors import InputError
from maskwise.masking.padding import pad_batch
from maskwise.models.sparse import unwrapped


class LabelledRows:
    """Rows of `input_ids` and `label` (a class: a text or a number), and a classifier for them.

    Batches are full and endless: the rows in a new order in every round. Tuning is `epochs` rounds of AdamW at a
    constant rate. Raises InputError if the rows have fewer than two classes.

    >>> rows = LabelledRows([{"input_ids": [5, 6], "label": "a"}, {"input_ids": [7], "label": "b"}], 0, batch_size=2)
    >>> rows.classes, rows.batch(0)["labels"].sum().item()
    (['a', 'b'], 1)
    """

    def __init__(
        self,
        rows: Any,
        pad_token_id: int,
        *,
        batch_size: int = 32,
        epochs: int = 1,
        learning_rate: float = 5e-5,
        seed: int = 0,
    ) -> None:
        texts = [(list(row["input_ids"]), row["label"]) for row in rows]
        for number, (_, label) in enumerate(texts, start=1):
            if label is None or label != label or type(label) is not type(texts[0][1]):
                raise InputError(
                    f"Row {number:,} has the label {label!r:.60}, and the first row {texts[0][1]!r:.60}: give each row "
                    "a label, and all labels one type."
                )
        self.classes = sorted({label for _, label in texts})
        if len(self.classes) < 2:
            raise InputError(f"A task needs two classes at least; the labelled rows have {self.classes}.")
        number_of = {label: number for number, label in enumerate(self.classes)}
        self.rows = [({"input_ids": ids}, number_of[label]) for ids, label in texts]
        self.pad_token_id, self.batch_size, self.epochs, self.seed = pad_token_id, batch_size, epochs, seed
        self.learning_rate = learning_rate

    def classifier(self, model: nn.Module) -> nn.Module:
        """Returns the model's architecture for sequence classification: its body's weights copied, a new head.

        The head is drawn from torch's global random state. Raises InputError if there is no such architecture.
        """
        config = copy.deepcopy(unwrapped(model).config)
        config.num_labels, config.problem_type = len(self.classes), "single_label_classification"
        try:
            classifier = AutoModelForSequenceClassification.from_config(config)
        except ValueError:
            raise InputError(
                f"{type(unwrapped(model)).__name__} has no sibling for sequence classification, so Typhoon cannot "
                "take a task's loss from it. Use loss = 'mlm'."
            ) from None
        loaded = classifier.base_model.load_state_dict(unwrapped(model).base_model.state_dict(), strict=False)
        if new := [name for name in loaded.missing_keys if "pooler" not in name]:
            raise InputError(f"The classifier's body has weights that the model has not: {', '.join(new)}.")
        return classifier

    def tune(self, classifier: nn.Module) -> None:
        """Tunes the classifier for `epochs` rounds."""
        device = next(classifier.parameters()).device
        optimizer = torch.optim.AdamW(classifier.parameters(), self.learning_rate)
        for number in range(-(-self.epochs * len(self.rows) // self.batch_size)):
            batch = {key: value.to(device) for key, value in self.batch(number).items()}
            classifier(**batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    def batch(self, number: int) -> dict[str, Tensor]:
        """Returns batch `number` of the endless rounds, padded, with `labels` [B]."""
        places = range(number * self.batch_size, (number + 1) * self.batch_size)
        orders = {epoch: self._order(epoch) for epoch in {place // len(self.rows) for place in places}}
        chosen = [self.rows[orders[place // len(self.rows)][place % len(self.rows)]] for place in places]
        padded = pad_batch([row for row, _ in chosen], self.pad_token_id)
        return padded | {"labels": torch.tensor([label for _, label in chosen])}

    def _order(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(len(self.rows), generator=generator).tolist()
