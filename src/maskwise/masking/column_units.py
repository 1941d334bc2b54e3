"""Units that a column of the rows gives, for recipes: such as all mentions of an entity.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class ColumnGroups:
    """Tokens of equal numbers in a column are masked together, next to each other or not; -1 is a token alone.

    Args:
        column: A column of whole numbers, one per token.

    >>> import torch
    >>> ColumnGroups("entities")({"entities": torch.tensor([[-1, 7, 7, -1]])})
    tensor([[-1,  7,  7, -1]])
    """

    def __init__(self, column: str) -> None:
        self.column, self.columns = column, (column,)

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the column [B, T]."""
        return batch[self.column]

    def __repr__(self) -> str:
        return f"ColumnGroups({self.column!r})"
