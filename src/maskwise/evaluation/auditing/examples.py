"""A few tokens around a place in a row, for people to look at.

Shapes: N tokens of all rows, T columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from maskwise.evaluation.auditing.epochs import CollatedBatch, Epoch
from maskwise.evaluation.auditing.lines import ShownExample
from maskwise.evaluation.auditing.rows import RowFacts
from maskwise.masking.corrupt import IGNORE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REACH = 6


class Examples:
    """Makes examples of one set of rows; `numbers` are their places in the caller's rows, if they differ."""

    def __init__(
        self, facts: RowFacts, tokenizer: PreTrainedTokenizerBase, numbers: Sequence[int] | None = None
    ) -> None:
        self.facts, self.tokenizer = facts, tokenizer
        self.numbers = range(facts.num_rows) if numbers is None else numbers

    def of_rows(self, facts: RowFacts, numbers: Sequence[int]) -> Examples:
        """Returns the examples of other rows."""
        return Examples(facts, self.tokenizer, numbers)

    def at_token(self, epoch: Epoch, number: int, token: int, note: str = "") -> ShownExample:
        """Returns the surroundings of one token of the rows."""
        window = self._window(token)
        return self._make(window, self.facts.ids_N[window], epoch.input_N[window], epoch.label_N[window], number, note)

    def of_epoch(self, epoch: Epoch, number: int, row: int) -> ShownExample:
        """Returns the first labelled part of a row, or its beginning if it has no label."""
        tokens = self.facts.tokens_of(row)
        labelled = np.flatnonzero(epoch.labelled_N[tokens])
        return self.at_token(
            epoch, number, min(tokens.stop - 1, tokens.start + (int(labelled[0]) if len(labelled) else REACH))
        )

    def of_mask(self, masked_N: np.ndarray, number: int, row: int, note: str = "") -> ShownExample:
        """Returns the first masked part of a row, of which only the labelled places are known."""
        tokens = self.facts.tokens_of(row)
        masked = np.flatnonzero(masked_N[tokens])
        window = self._window(tokens.start + (int(masked[0]) if len(masked) else 0), REACH, 3 * REACH)
        original, here = self.facts.ids_N[window], masked_N[window]
        shown = np.where(here, self.facts.kinds.mask_token_id, original)
        return self._make(window, original, shown, np.where(here, original, IGNORE), number, note)

    def at_column(self, batch: CollatedBatch, number: int, row: int, column: int, note: str = "") -> ShownExample:
        """Returns the surroundings of one place of a batch's output, padding included."""
        columns = slice(max(0, column - REACH), column + REACH + 1)
        token_T = batch.aligned.token_BT[row, columns]
        pad = self.facts.kinds.pad_token_id
        original_T = np.where(token_T >= 0, self.facts.ids_N[token_T], -1 if pad is None else pad)
        inside = batch.aligned.token_BT[row][batch.aligned.token_BT[row] >= 0]
        number_of_row = int(self.facts.row_N[inside[0]]) if len(inside) else int(batch.rows[row])
        collated = batch.collated
        return ShownExample(
            self.numbers[number_of_row],
            number,
            columns.start,
            self._names(original_T),
            self._names(collated.input_ids_BT[row, columns]),
            self._labels(collated.labels_BT[row, columns]),
            note,
        )

    def _window(self, token: int, before: int = REACH, after: int = REACH) -> slice:
        row = self.facts.tokens_of(int(self.facts.row_N[token]))
        return slice(max(row.start, token - before), min(row.stop, token + after + 1))

    def _make(
        self, window: slice, original: np.ndarray, shown: np.ndarray, labels: np.ndarray, number: int, note: str
    ) -> ShownExample:
        row, position = int(self.facts.row_N[window.start]), int(self.facts.position_N[window.start])
        return ShownExample(
            self.numbers[row], number, position, self._names(original), self._names(shown), self._labels(labels), note
        )

    def _names(self, ids: np.ndarray) -> tuple[str, ...]:
        return tuple(self._name(int(token)) for token in ids)

    def _labels(self, labels: np.ndarray) -> tuple[str | None, ...]:
        return tuple(None if label == IGNORE else self._name(int(label)) for label in labels)

    def _name(self, token: int) -> str:
        known = 0 <= token < self.facts.kinds.size
        return str(self.tokenizer.convert_ids_to_tokens(token)) if known else f"<{token}>"
