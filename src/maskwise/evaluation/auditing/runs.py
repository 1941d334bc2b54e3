"""The runs whose masks are compared: epochs, loader workers, ranks, and a run that is resumed.

Shapes: R rows, P pairs of rows, N tokens of all rows.
"""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from torch.utils.data import DataLoader

from maskwise.errors import first_line
from maskwise.evaluation.auditing.aligned import Collated, line_up, read_output
from maskwise.evaluation.auditing.epochs import CollatedBatch, Epoch, batches_of, collate_batches, read_epoch, set_epoch
from maskwise.evaluation.auditing.overlap import Masks
from maskwise.evaluation.auditing.processes import (
    Failure,
    Processes,
    get_random_state,
    random_state_of_its_own,
    set_random_state,
)
from maskwise.evaluation.auditing.rows import Row, RowFacts, copy_row, shorten_row

SPAWNED_EPOCHS = 3
WORKER_TIMEOUT_SECONDS = 120
SAME_TEXT_SHARE = 0.5


@dataclass(frozen=True)
class Pairs:
    """Pairs of different rows of equal length: the noise of two batches can then be compared column by column.

    `rows` are the first rows of all pairs, then the second ones; `numbers` are their places in the caller's rows.
    """

    rows: list[Row]
    numbers: list[int]
    facts: RowFacts

    @classmethod
    def of(cls, rows: Sequence[Row], facts: RowFacts) -> Pairs:
        """Pairs rows with their neighbours in length, and cuts the longer one in front of its last token."""
        order = np.argsort(facts.lengths_R, kind="stable")
        pairs = [(int(a), int(b)) for a, b in zip(order[::2], order[1::2], strict=False)]
        lengths = [int(facts.lengths_R[a]) for a, _ in pairs]
        numbers = [a for a, _ in pairs] + [b for _, b in pairs]
        cut = [shorten_row(rows[row], length) for row, length in zip(numbers, lengths * 2, strict=True)]
        return cls(cut, numbers, RowFacts.of(cut, facts.kinds))

    @property
    def num_pairs(self) -> int:
        """The number of pairs."""
        return len(self.rows) // 2

    def differ(self) -> np.ndarray:
        """Returns True [P] for pairs whose texts differ; two copies of a text may well get the same mask."""
        half = len(self.facts.ids_N) // 2
        same_N = (self.facts.ids_N[:half] == self.facts.ids_N[half:]) & self.facts.is_text_N[:half]
        rows_N, size = self.facts.row_N[:half], self.num_pairs
        same_P = np.bincount(rows_N, weights=same_N, minlength=size)
        return same_P <= SAME_TEXT_SHARE * np.bincount(rows_N, weights=self.facts.is_text_N[:half], minlength=size)

    def halves(self) -> tuple[range, range]:
        """Returns the places of the first and the second rows of the pairs."""
        return range(self.num_pairs), range(self.num_pairs, 2 * self.num_pairs)

    def interleaved(self, batch_size: int) -> list[list[int]]:
        """Returns batches in turn of first and of second rows, so that two workers get the two halves."""
        firsts = batches_of(self.num_pairs, batch_size)
        return [list(part) for batch in firsts for part in (batch, [row + self.num_pairs for row in batch])]


@dataclass(frozen=True)
class Runs:
    """The masks of every run, or why there are none."""

    pairs: Pairs
    workers: Masks | Failure | None
    ranks: tuple[Masks, Masks] | Failure
    ranks_alike: Masks | Failure
    resumed: Masks | Failure
    pickle_error: str


def make_runs(
    processes: Processes, rows: Sequence[Row], facts: RowFacts, *, batch_size: int, epochs: int, workers: int, seed: int
) -> Runs:
    """Makes all runs, each on a collator that nobody has used."""
    pairs = Pairs.of(rows, facts)
    half = epochs // 2
    first = [list(batch) for batch in batches_of(pairs.num_pairs, batch_size)]
    second = [[row + pairs.num_pairs for row in batch] for batch in first]

    def run_rank(batches: Sequence[Sequence[int]], rank: int, seed: int) -> Masks | Failure:
        task = _Epochs(pairs.rows, pairs.facts, batches, range(half))
        return processes.run(task, seed, rank)

    made = [run_rank(first, 0, seed), run_rank(second, 1, seed + 1), run_rank(second, 1, seed)]
    failed = next((masks for masks in made if isinstance(masks, Failure)), None)
    resumed = _resume(processes, rows, facts, batches_of(len(rows), batch_size), half, seed)
    return Runs(
        pairs=pairs,
        ranks=failed or (made[0], made[1]),  # type: ignore[arg-type]
        ranks_alike=made[2],
        resumed=resumed,
        workers=_with_workers(processes, pairs, batch_size, epochs, workers, seed) if workers else None,
        pickle_error=_pickle_error(processes.collator),
    )


@dataclass(frozen=True)
class _Epochs:
    """Collates some epochs from the start."""

    rows: Sequence[Row]
    facts: RowFacts
    batches: Sequence[Sequence[int]]
    epochs: range

    def __call__(self, collator: Any) -> Masks:
        return Masks.of(list(self.collate(collator)), self.facts)

    def collate(self, collator: Any) -> list[Epoch]:
        made = []
        for epoch in self.epochs:
            set_epoch(collator, epoch)
            made.append(read_epoch(collate_batches(collator, self.rows, self.batches, self.facts), self.facts))
        return made


@dataclass(frozen=True)
class _Checkpoint:
    """What a trainer keeps: the random states, and the collator's state if it has one."""

    random_state: tuple[Any, ...]
    collator_state: Any


def _resume(
    processes: Processes, rows: Sequence[Row], facts: RowFacts, batches: Sequence[range], half: int, seed: int
) -> Masks | Failure:
    """The second half of the epochs, by a process that restores a checkpoint made after the first half."""

    def run_first_half(collator: Any) -> _Checkpoint:
        _Epochs(rows, facts, batches, range(half)).collate(collator)
        state = collator.state_dict() if hasattr(collator, "state_dict") else None
        return _Checkpoint(get_random_state(), state)

    def run_second_half(collator: Any) -> Masks:
        assert isinstance(checkpoint, _Checkpoint)
        if hasattr(collator, "load_state_dict"):
            collator.load_state_dict(checkpoint.collator_state)
        set_random_state(checkpoint.random_state)
        return _Epochs(rows, facts, batches, range(half, 2 * half))(collator)

    checkpoint = processes.run(run_first_half, seed)
    if isinstance(checkpoint, Failure):
        return checkpoint
    return processes.run(run_second_half, seed)


class _InWorker:
    """Collates in a loader worker and returns arrays: shared memory is not needed for them."""

    def __init__(self, collator: Any) -> None:
        self.collator = collator

    def __call__(self, items: list[tuple[int, Row]]) -> tuple[list[int], Collated]:
        rows = [copy_row(row) for _, row in items]
        return [number for number, _ in items], read_output(self.collator(rows))


def _with_workers(
    processes: Processes, pairs: Pairs, batch_size: int, epochs: int, workers: int, seed: int
) -> Masks | Failure:
    """The epochs by a `DataLoader` with workers, as this machine starts them."""
    collator, facts = processes.collator, pairs.facts
    if multiprocessing.get_start_method() != "fork":
        epochs = min(epochs, SPAWNED_EPOCHS)  # each starts two interpreters that import torch
    loader = DataLoader(
        cast(Any, list(enumerate(pairs.rows))),
        batch_sampler=pairs.interleaved(batch_size),
        collate_fn=_InWorker(collator),
        num_workers=workers,
        timeout=WORKER_TIMEOUT_SECONDS,
    )
    made = []
    with random_state_of_its_own(seed):
        for epoch in range(epochs):
            set_epoch(collator, epoch)
            try:
                collated = list(loader)
            except Exception as error:
                return _worker_failure(error)
            batches = (CollatedBatch(rows, [], output, line_up(output, rows, facts)) for rows, output in collated)
            made.append(read_epoch(batches, facts))
    return Masks.of(made, facts)


def _worker_failure(error: Exception) -> Failure:
    """What went wrong: if a worker raised, the last line of its traceback, which the loader hands on as text."""
    raised = "in DataLoader worker process" in str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1] if raised else f"{type(error).__name__}: {first_line(error)}"
    return Failure(f"With loader workers: {reason}.", is_fault=raised)


def _pickle_error(collator: Any) -> str:
    try:
        pickle.loads(pickle.dumps(collator))
    except Exception as error:
        return f"{type(error).__name__}: {first_line(error)}"
    return ""
