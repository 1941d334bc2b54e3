"""One float32 for each token of a data set's rows, in one flat file that many processes read and write.

Shapes: B sequences, T positions, N rows of the data set, X tokens of all rows one after another.

Row n is `values_X[offsets[n]:offsets[n + 1]]` with offsets [N + 1]; padding is not stored. The file has no header, so
what it belongs to is written elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.errors import InputError
from maskwise.files.disk_full import disk_full_as_input_error
from maskwise.masking.score_context import row_lengths

_BYTES = np.dtype(np.float32).itemsize


class ScoreFile:
    """A file of one float32 a token, for rows with these offsets; pickled, it is its path and the offsets alone."""

    def __init__(self, path: Path, offsets: np.ndarray) -> None:
        self.path, self.offsets = path, offsets

    def reserve(self) -> None:
        """Makes the file, or keeps what is there, at its full size; raises InputError if the disk has no room."""
        size = int(self.offsets[-1]) * _BYTES
        with disk_full_as_input_error(self.path), self.path.open("ab") as file:
            if size and hasattr(os, "posix_fallocate"):  # else a full disk shows only when it is written
                os.posix_fallocate(file.fileno(), 0, size)
            os.ftruncate(file.fileno(), size)

    def write(self, first_row: int, values_X: np.ndarray) -> None:
        """Writes the tokens of whole rows from `first_row` on."""
        with disk_full_as_input_error(self.path), self.path.open("r+b") as file:
            file.seek(int(self.offsets[first_row]) * _BYTES)
            file.write(values_X.astype(np.float32).tobytes())

    def sync(self) -> None:
        """Returns when all that was written would survive a loss of power."""
        with disk_full_as_input_error(self.path), self.path.open("r+b") as file:
            os.fsync(file.fileno())

    def is_whole(self) -> bool:
        """Returns True where the file is there and as long as the rows ask for."""
        return self.path.is_file() and self.path.stat().st_size == int(self.offsets[-1]) * _BYTES

    def read(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the values [B, T] of a batch's rows by `example_id`, 0 at padding, on the batch's device.

        Padding is where `attention_mask` is 0, on any side. Costs about 5 microseconds a row, and on a GPU a wait
        for the ids. Raises InputError if a row is not one of the file's or has another length there.
        """
        input_ids_BT = batch["input_ids"]
        rows_B = batch["example_id"].cpu().numpy()
        is_text_BT = batch.get("attention_mask", torch.ones_like(input_ids_BT)).bool().cpu()
        self._check_rows(rows_B, is_text_BT)
        found_X = np.concatenate([self._values_X[self.offsets[row] : self.offsets[row + 1]] for row in rows_B])
        values_BT = torch.zeros(input_ids_BT.shape)
        values_BT[is_text_BT] = torch.from_numpy(found_X)
        return values_BT.to(input_ids_BT.device)

    @cached_property
    def _values_X(self) -> np.ndarray:
        return np.asarray(np.memmap(self.path, np.float32, "r"))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "offsets": self.offsets}

    def _check_rows(self, rows_B: np.ndarray, is_text_BT: Tensor) -> None:
        num_rows = len(self.offsets) - 1
        outside = rows_B[(rows_B < 0) | (rows_B >= num_rows)]
        if len(outside):
            raise InputError(
                f"{self.path} has scores of {num_rows:,} rows; the batch asks for example {outside[0]}. A batch needs "
                "`example_id`, the row's number in the data set that was scored: MaskingTrainer adds it."
            )
        stored_B, here_B = self.offsets[rows_B + 1] - self.offsets[rows_B], is_text_BT.sum(-1).numpy()
        wrong = (stored_B != here_B).nonzero()[0]
        if len(wrong):
            row, stored, here = rows_B[wrong[0]], stored_B[wrong[0]], here_B[wrong[0]]
            raise InputError(
                f"{self.path} has {stored} tokens for example {row}, the batch {here}: the scores are of another data "
                "set. Score this one."
            )


def row_offsets(rows: Any) -> np.ndarray:
    """Returns int64 [N + 1]: where each row of a data set begins, its padding (`attention_mask` 0) not counted.

    >>> row_offsets([{"input_ids": [5, 6, 7]}, {"input_ids": [5, 0], "attention_mask": [1, 0]}]).tolist()
    [0, 3, 4]
    """
    return offsets_of(row_lengths(rows))


def offsets_of(lengths_N: np.ndarray) -> np.ndarray:
    """Returns int64 [N + 1]: where each of N rows of these lengths begins, and where the last one ends."""
    offsets = np.zeros(len(lengths_N) + 1, np.int64)
    np.cumsum(lengths_N, out=offsets[1:])
    return offsets
