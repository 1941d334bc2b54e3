"""One pass of a collator over the rows, as a data loader makes it, and what came out for each token.

Shapes: R rows, N tokens of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from maskwise.errors import InputError, first_line
from maskwise.evaluation.auditing.aligned import Aligned, Collated, line_up, read_output
from maskwise.evaluation.auditing.rows import Row, RowFacts, copy_row
from maskwise.masking.corrupt import IGNORE

Collator = Callable[[list[Any]], Any]


class CollatedBatch(NamedTuple):
    """One batch: its rows, the copies of them that the collator was given, and what it returned."""

    rows: Sequence[int]
    given: list[Row]
    collated: Collated
    aligned: Aligned


class Epoch(NamedTuple):
    """What came out for each token: the model's input, the label (-100 if none), and in which column.

    `seen_N` is False for tokens that did not come out at all.
    """

    input_N: np.ndarray
    label_N: np.ndarray
    column_N: np.ndarray
    seen_N: np.ndarray

    @property
    def labelled_N(self) -> np.ndarray:
        """True at tokens that have a label."""
        return self.label_N != IGNORE


def batches_of(num_rows: int, batch_size: int) -> list[range]:
    """Returns the rows of each batch, in order."""
    return [range(first, min(first + batch_size, num_rows)) for first in range(0, num_rows, batch_size)]


def collate_batches(
    collator: Collator, rows: Sequence[Row], batches: Iterable[Sequence[int]], facts: RowFacts
) -> Iterator[CollatedBatch]:
    """Yields the batches that a collator makes of copies of the rows; raises InputError if it raises anything."""
    for batch in batches:
        given = [copy_row(rows[row]) for row in batch]
        try:
            output = collator(given)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"The collator raised {type(error).__name__}: {first_line(error)}. The rows have the columns "
                f"{', '.join(map(str, rows[batch[0]]))}; if it needs others, put them into the rows."
            ) from error
        collated = read_output(output)
        yield CollatedBatch(batch, given, collated, line_up(collated, batch, facts))


def read_epoch(batches: Iterable[CollatedBatch], facts: RowFacts) -> Epoch:
    """Returns what came out for each token of the rows."""
    num_tokens = len(facts.ids_N)
    input_N, label_N = facts.ids_N.copy(), np.full(num_tokens, IGNORE, dtype=np.int64)
    column_N, seen_N = facts.position_N.copy(), np.zeros(num_tokens, dtype=bool)
    for batch in batches:
        token_BT = batch.aligned.token_BT
        inside_BT = token_BT >= 0
        tokens = token_BT[inside_BT]
        input_N[tokens] = batch.collated.input_ids_BT[inside_BT]
        label_N[tokens] = batch.collated.labels_BT[inside_BT]
        seen_N[tokens] = True
        if not batch.aligned.is_flat:
            column_N[tokens] = np.nonzero(inside_BT)[1]
    return Epoch(input_N, label_N, column_N, seen_N)


def set_epoch(collator: Any, epoch: int) -> None:
    """Tells a collator the epoch, if it wants to know."""
    if hasattr(collator, "set_epoch"):
        collator.set_epoch(epoch)
