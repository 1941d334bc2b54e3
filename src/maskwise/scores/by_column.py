"""Scores that a column of the rows gives, such as weights by part of speech.

Shapes: B sequences, T positions, K listed numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from maskwise.errors import InputError
from maskwise.masking.score import StatefulScore

WORDS = {"never": -torch.inf, "always": torch.inf}


class ByColumn(StatefulScore):
    """A score for each number of a column: tokens of a field, a part of speech or a kind of entity more than others.

    With the pick `sample` and the budget `exact` the values are weights: the budget is met, and a token of value 4 is
    drawn before one of value 1 as in a draw without replacement. With the budget `from-scores` they are the
    probabilities of being masked, such as two rates.

    Args:
        column: A column of whole numbers, one per token (-1 at special tokens and padding) or one per row.
        values: The score of each number, or "never" (-inf) or "always" (inf). Keys may be text, as TOML has them.
        other: The score of all numbers that are not listed, likewise.

    Raises:
        InputError: For keys that are not whole numbers, and values that are not numbers.

    >>> score = ByColumn("tags", {1: 4.0})
    >>> score({"input_ids": torch.tensor([[7, 8, 9]]), "tags": torch.tensor([[0, 1, 2]])})
    tensor([[1., 4., 1.]])
    """

    is_local = True

    def __init__(self, column: str, values: Mapping[Any, float], other: float = 1.0) -> None:
        self.column, self.columns = column, (column,)
        self.values = {_number(key): _value(value, key) for key, value in values.items()}
        self.other = _value(other, "other")

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the value of each token's number [B, T]."""
        column = batch[self.column]
        numbers_BT = (column if column.ndim > 1 else column[:, None]).expand(batch["input_ids"].shape)
        scores_BT = torch.full(numbers_BT.shape, self.other, device=numbers_BT.device)
        for number, value in self.values.items():
            scores_BT = torch.where(numbers_BT == number, value, scores_BT)
        return scores_BT


def _number(key: Any) -> int:
    try:
        return int(key)
    except (TypeError, ValueError):
        raise InputError(f"values are by whole number, such as {{1 = 4.0}}; found the key {key!r}.") from None


def _value(value: Any, key: Any) -> float:
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise InputError(f"The value of {key!r} is a number, 'never' or 'always'; found {value!r}.")
    return float(value)
