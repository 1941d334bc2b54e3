"""A collator's output lined up with the rows that went in, whatever its padding, order or layout.

Shapes: B rows of a batch, T columns of the output, N tokens of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from maskwise.errors import InputError
from maskwise.evaluation.auditing.rows import RowFacts

SURE_AGREEMENT = 0.5
LEAST_AGREEMENT = 0.2


class Collated(NamedTuple):
    """A collator's output as arrays, [B, T] each; attention mask and token types are None if they are not there.

    `is_odd`: the attention mask is there in another shape than [B, T], so it is not audited.
    """

    input_ids_BT: np.ndarray
    labels_BT: np.ndarray
    attention_BT: np.ndarray | None
    types_BT: np.ndarray | None
    is_odd: bool = False

    def repeated(self, row: int, times: int) -> Collated:
        """Returns one of its rows, so many times."""
        parts = (None if part is None else np.repeat(part[row : row + 1], times, axis=0) for part in self[:4])
        return Collated(*parts)  # type: ignore[arg-type]


class Aligned(NamedTuple):
    """Which token each column holds: `token_BT` counts over all rows' tokens, -1 at padding.

    `moved` and `lost` are the rows that came out at another place, and those that did not come out whole.
    """

    token_BT: np.ndarray
    is_flat: bool
    moved: tuple[int, ...]
    lost: tuple[int, ...]


def read_output(output: Any) -> Collated:
    """Returns a collator's output as arrays; raises InputError if it has no input_ids and labels of one shape."""
    columns = dict(output) if hasattr(output, "keys") else {}
    if not {"input_ids", "labels"} <= set(columns):
        found = ", ".join(map(str, columns)) or type(output).__name__
        raise InputError(f"A collator returns a dictionary with input_ids and labels; this one returned {found}.")
    ids, labels = _array(columns["input_ids"]), _array(columns["labels"])
    if ids.shape != labels.shape or ids.ndim not in (1, 2):
        raise InputError(
            "The audit reads input_ids and labels of one shape [rows, tokens]; this collator returned "
            f"{list(ids.shape)} and {list(labels.shape)}."
        )
    ids, labels = np.atleast_2d(ids), np.atleast_2d(labels)
    attention, types = (_optional(columns.get(key), ids.shape) for key in ("attention_mask", "token_type_ids"))
    return Collated(ids, labels, attention, types, attention is None and "attention_mask" in columns)


def line_up(collated: Collated, rows: Sequence[int], facts: RowFacts) -> Aligned:
    """Returns which token of which of the batch's `rows` each column holds.

    A row is recognised by the tokens that the collator left alone or gave as labels. Rows may be padded on either
    side, cut, reordered, left out, or laid one after the other in a single row.
    """
    rows_B = np.asarray(rows)
    num_out, width = collated.input_ids_BT.shape
    if num_out == 1 and len(rows) > 1 and width >= facts.lengths_R[rows_B].sum():
        return _flat(rows_B, width, facts)
    if num_out != len(rows):
        return _by_search(collated, rows_B, facts)
    token_BT = _columns(rows_B, width, np.zeros(num_out, dtype=np.int64), facts)
    agreement_B = _agreement(collated, token_BT, facts)
    if (agreement_B < SURE_AGREEMENT).any():
        left_BT = _columns(rows_B, width, width - facts.lengths_R[rows_B], facts)
        left_B = _agreement(collated, left_BT, facts)
        token_BT = np.where((left_B > agreement_B)[:, None], left_BT, token_BT)
        agreement_B = np.maximum(agreement_B, left_B)
    if (agreement_B < SURE_AGREEMENT).any():
        return _by_search(collated, rows_B, facts)
    return Aligned(token_BT, False, (), _cut_rows(token_BT, rows_B, facts))


def _flat(rows_B: np.ndarray, width: int, facts: RowFacts) -> Aligned:
    parts = (facts.tokens_of(int(row)) for row in rows_B)
    tokens = np.concatenate([np.arange(part.start, part.stop) for part in parts])
    token_1T = np.full((1, width), -1, dtype=np.int64)
    token_1T[0, : len(tokens)] = tokens
    return Aligned(token_1T, True, (), ())


def _by_search(collated: Collated, rows_B: np.ndarray, facts: RowFacts) -> Aligned:
    """Each output row is the input row that it agrees with best; in doubt, the one at its own place."""
    num_out, width = collated.input_ids_BT.shape
    token_BT = np.full((num_out, width), -1, dtype=np.int64)
    found_at: dict[int, int] = {}
    for i in range(num_out):
        options = _options(collated.repeated(i, len(rows_B)), rows_B, width, facts)
        best, agreement, columns_T = max(options, key=lambda option: (option[1], option[0] == i))
        own = next((option for option in options if option[0] == i), None)
        if own is not None and (agreement < SURE_AGREEMENT and own[1] >= LEAST_AGREEMENT):
            best, agreement, columns_T = own
        if agreement >= LEAST_AGREEMENT and best not in found_at:
            found_at[best] = i
            token_BT[i] = columns_T
    moved = tuple(int(rows_B[row]) for row, place in found_at.items() if place != row)
    missing = {int(row) for i, row in enumerate(rows_B) if i not in found_at}
    lost = missing | (set(_cut_rows(token_BT, rows_B, facts)) - missing)
    return Aligned(token_BT, False, moved if num_out == len(rows_B) else (), tuple(sorted(lost)))


def _options(
    repeated: Collated, rows_B: np.ndarray, width: int, facts: RowFacts
) -> list[tuple[int, float, np.ndarray]]:
    """Each row of the batch that an output row may be, padded on either side: (number, agreement, columns [T])."""
    options = []
    for offsets_B in (np.zeros(len(rows_B), dtype=np.int64), width - facts.lengths_R[rows_B]):
        token_BT = _columns(rows_B, width, offsets_B, facts)
        agreement_B = _agreement(repeated, token_BT, facts)
        options += [(j, float(agreement_B[j]), token_BT[j]) for j in range(len(rows_B))]
    return options


def _columns(rows_B: np.ndarray, width: int, offset_B: np.ndarray, facts: RowFacts) -> np.ndarray:
    """The tokens of `rows_B`, each row beginning at its offset; a row that is too long is cut."""
    position_BT = np.arange(width) - offset_B[:, None]
    inside_BT = (position_BT >= 0) & (position_BT < facts.lengths_R[rows_B][:, None])
    return np.where(inside_BT, facts.starts_R[rows_B][:, None] + position_BT, -1)


def _agreement(collated: Collated, token_BT: np.ndarray, facts: RowFacts) -> np.ndarray:
    """The share of each row's tokens that stand in the input or in the labels, [B]."""
    inside_BT = token_BT >= 0
    original_BT = facts.ids_N[token_BT]
    same_BT = inside_BT & ((collated.input_ids_BT == original_BT) | (collated.labels_BT == original_BT))
    return same_BT.sum(axis=1) / np.maximum(inside_BT.sum(axis=1), 1)


def _cut_rows(token_BT: np.ndarray, rows_B: np.ndarray, facts: RowFacts) -> tuple[int, ...]:
    """The rows of which a token other than padding has no column."""
    if token_BT.shape[1] >= facts.lengths_R[rows_B].max():
        return ()
    seen_N = np.zeros(len(facts.ids_N), dtype=bool)
    seen_N[token_BT[token_BT >= 0]] = True
    return tuple(int(r) for r in rows_B if not (seen_N | facts.is_padding_N)[facts.tokens_of(r)].all())


def _optional(given: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    values = None if given is None else np.atleast_2d(_array(given))
    return values if values is not None and values.shape == shape else None


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
