"""Training rows that carry their number."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset


class IndexedRows(Dataset):
    """A map-style dataset whose rows carry their index as `example_id`."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    @classmethod
    def wrap(cls, rows: Any) -> Any:
        """Returns `rows` with example ids; an iterable dataset as it is (its rows are told apart by content)."""
        return cls(rows) if hasattr(rows, "__getitem__") and hasattr(rows, "__len__") else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.rows[index], "example_id": index}

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        """Rows of one batch at once: one read from disk instead of one a row."""
        rows = (
            self.rows.__getitems__(indices) if hasattr(self.rows, "__getitems__") else [self.rows[i] for i in indices]
        )
        return [{**row, "example_id": index} for index, row in zip(indices, rows, strict=True)]
