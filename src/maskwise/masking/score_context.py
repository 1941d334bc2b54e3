"""Where a run is and what it is made of, as scores see it.

Shapes: B sequences, T positions, N rows of the training data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from maskwise.errors import InputError


class TrainState(NamedTuple):
    """Where in a run a batch is masked.

    Attributes:
        epoch: The epoch, from 0.
        step: The optimizer step, from 0.
        progress: The share of the run that is over, 0 to 1.

    >>> TrainState(epoch=1, step=200, progress=0.25).step
    200
    """

    epoch: int = 0
    step: int = 0
    progress: float = 0.0


class RunPlan(NamedTuple):
    """How long a run will be: optimizer steps, and epochs (a fraction if the run ends inside one)."""

    steps: int
    epochs: float


@dataclass(frozen=True)
class ScoreContext:
    """The run as a score's hooks see it. `MaskingTrainer` makes one for each call; `alone` makes one for a bare loop.

    Attributes:
        device: Where batches are.
        rank: This process, from 0.
        world_size: The number of processes.
        seed: The run's seed.
        state: Where the run is.
        epoch: The same as a fraction: 1.5 is the middle of the second epoch.
        rate: The masking rate at `state`.
        is_resume: Whether the run was resumed and this is the first call since.
        model: The model in training, unwrapped.
        folder: The run's folder, if it has one.
        rows: The training rows; None if there are none with a length.
        make_batch: What `training_batch` calls.
        choose: What `pick` calls.
        autocast: What `precision` calls.
        write_log: What `log` calls.

    >>> ScoreContext.alone(state=TrainState(epoch=2)).epoch
    2.0
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1
    seed: int = 0
    state: TrainState = field(default=TrainState())
    epoch: float = 0.0
    rate: float = 0.15
    is_resume: bool = False
    model: nn.Module | None = None
    folder: Path | None = None
    rows: Any = None
    make_batch: Callable[[Sequence[int]], dict[str, Any]] | None = field(default=None, repr=False)
    choose: Callable[[Mapping[str, Any], Tensor], Tensor] | None = field(default=None, repr=False)
    autocast: Callable[[], AbstractContextManager] = field(default=contextlib.nullcontext, repr=False)
    write_log: Callable[[dict[str, Any]], None] | None = field(default=None, repr=False)

    @classmethod
    def alone(cls, model: nn.Module | None = None, *, state: TrainState = TrainState(), **values: Any) -> ScoreContext:
        """Returns the context of a bare loop in one process.

        Args:
            model: The model in training.
            state: Where the loop is.
            values: Other attributes.

        >>> ScoreContext.alone(state=TrainState(step=200)).state.step
        200
        """
        first = next(model.parameters(), None) if model is not None else None
        device = torch.device("cpu") if first is None else first.device
        return cls(**{"device": device, "model": model, "state": state, "epoch": float(state.epoch)} | values)

    @property
    def num_rows(self) -> int:
        """The number of training rows. Raises InputError for a data set without a length."""
        if self.rows is None:
            raise InputError(
                "This score keeps values by row number, so it needs a data set with a length; found a stream."
            )
        return len(self.rows)

    def row_lengths(self) -> np.ndarray:
        """Returns int [N]: the number of tokens of each training row, padding not counted."""
        return row_lengths(self.rows) if self.num_rows else np.zeros(0, np.int64)

    def training_batch(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Returns the training rows of these numbers as a score sees them, on the device."""
        assert self.make_batch is not None, "this context has no training rows"
        return self.make_batch(numbers)

    def pick(self, batch: Mapping[str, Any], scores_BT: Tensor) -> Tensor:
        """Returns True [B, T] at the tokens that the masker would mask by these scores."""
        assert self.choose is not None, "this context has no masker"
        return self.choose(batch, scores_BT)

    def precision(self) -> AbstractContextManager:
        """Returns autocast as training uses it."""
        return self.autocast()

    def sum_over_ranks(self, tensor: Tensor) -> Tensor:
        """Returns the sum of a tensor over the processes, the same on each."""
        if self.world_size == 1:
            return tensor
        total = tensor.clone()
        torch.distributed.all_reduce(total)
        return total

    def gather_rows(self, rows_RC: Tensor) -> Tensor:
        """Returns the rows of all processes, in the order of the processes; each may have another number of them."""
        if self.world_size == 1:
            return rows_RC
        sizes = self.sum_over_ranks(_one_hot(self.rank, self.world_size, len(rows_RC), rows_RC.device)).tolist()
        padded = rows_RC.new_zeros(max(max(sizes), 1), *rows_RC.shape[1:])
        padded[: len(rows_RC)] = rows_RC
        parts = [torch.empty_like(padded) for _ in sizes]
        torch.distributed.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def barrier(self) -> None:
        """Returns when every process is here."""
        if self.world_size > 1:
            torch.distributed.barrier()

    def log(self, figures: dict[str, Any]) -> None:
        """Logs figures with the run's metrics; a bare loop without a log drops them."""
        if self.write_log is not None:
            self.write_log(figures)


def _one_hot(place: int, length: int, value: int, device: torch.device) -> Tensor:
    counts = torch.zeros(length, dtype=torch.int64, device=device)
    counts[place] = value
    return counts


def row_lengths(rows: Any) -> np.ndarray:
    """Returns int [N]: the number of tokens of each row of a data set, padding (`attention_mask` 0) not counted.

    A `datasets.Dataset` is asked for its Arrow offsets, other data sets for every row.

    >>> row_lengths([{"input_ids": [5, 6, 7]}, {"input_ids": [5, 0], "attention_mask": [1, 0]}]).tolist()
    [3, 1]
    """
    if hasattr(rows, "with_format") and "attention_mask" not in rows.column_names:
        tables = rows.select_columns(["input_ids"]).with_format("arrow").iter(batch_size=10_000)
        lengths = [chunk.value_lengths().to_numpy() for table in tables for chunk in table["input_ids"].chunks]
        return np.concatenate([np.zeros(0, np.int32), *lengths])
    return np.array([_length(rows[i]) for i in range(len(rows))], np.int64)


def _length(row: Mapping[str, Any]) -> int:
    return int(sum(row["attention_mask"])) if "attention_mask" in row else len(row["input_ids"])
