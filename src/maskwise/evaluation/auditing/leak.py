"""Whether a masked token can be read off its neighbours, as with overlapping k-mers: then nothing is learned.

Shapes: R rows, N tokens of all rows, K keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskwise.evaluation.auditing.epochs import Epoch
from maskwise.evaluation.auditing.examples import Examples
from maskwise.evaluation.auditing.intervals import STATED_SHARE, enough, share_by_row, upper_limit
from maskwise.evaluation.auditing.lines import AuditLine, ShownExample
from maskwise.evaluation.auditing.measures import AuditVerdict, Measure, count, percent
from maskwise.evaluation.auditing.rows import RowFacts

LEAK_SHARE = 0.90
FEWEST_LOOKED_UP = 8
FULL_TABLE_SHARE = 0.5
LOOKUP_EPOCHS = 4


def leak_line(epochs: Sequence[Epoch], facts: RowFacts, examples: Examples) -> AuditLine:
    """Returns the line about labels that their two neighbours give away.

    A table (left neighbour, right neighbour) -> token is learned from the text of every second row, and asked for the
    masked tokens of the other rows of which both neighbours can be seen. Pairs of neighbours that are not in the table
    count as not recovered, unless they are the smaller part: more rows would fill the table, so they are left out.
    """
    epochs = epochs[:LOOKUP_EPOCHS]
    learns_R = np.arange(facts.num_rows) % 2 == 0
    asked_R = ~learns_R & ~_has_same_text(facts, learns_R)
    table = _Lookup.learn(_keys(facts), facts.ids_N, facts.is_text_N & learns_R[facts.row_N])
    found_N = table.look_up(_keys(facts))
    asked_N = np.zeros(len(facts.ids_N), dtype=np.int64)
    for epoch in epochs:
        asked_N += epoch.labelled_N & facts.is_text_N & asked_R[facts.row_N] & _neighbours_are_seen(epoch, facts)
    known_N, right_N = asked_N * (found_N >= 0), asked_N * (found_N == facts.ids_N)
    return _line(facts, facts.by_row(asked_N), facts.by_row(known_N), facts.by_row(right_N), epochs, examples)


def _line(
    facts: RowFacts,
    asked_R: np.ndarray,
    known_R: np.ndarray,
    right_R: np.ndarray,
    epochs: Sequence[Epoch],
    examples: Examples,
) -> AuditLine:
    name, title = "leak", "Neighbours do not give the masked token away"
    num_rows = int((asked_R > 0).sum())
    if not num_rows:
        return AuditLine(name, title, AuditVerdict.NOT_DECIDED, "No masked token stands between two that can be seen.")
    known = float(known_R.sum() / asked_R.sum())
    interval = share_by_row(right_R, known_R if known >= FULL_TABLE_SHARE else asked_R)
    leaks_R = (known_R >= FEWEST_LOOKED_UP) & (right_R > LEAK_SHARE * known_R)
    measure = Measure("recovered", *interval, accepted=(0.0, LEAK_SHARE))
    counts = {"known": known, "rows": num_rows, "rows_that_leak": int(leaks_R.sum())}
    text = (
        f"A table of neighbours recovers {percent(interval.estimate)} of the masked tokens that stand between two "
        f"visible ones in {count(num_rows, 'row')} ({percent(known)} of these pairs of neighbours are in the table); a "
        f"fault is more than {percent(LEAK_SHARE, 0)}."
    )
    num_leaks = int(leaks_R.sum())
    if num_leaks:
        text += f" {count(num_leaks, 'row is', 'rows are')} recovered almost wholly."
    if interval.low > LEAK_SHARE:
        verdict = AuditVerdict.FAULT
    elif interval.high < LEAK_SHARE and upper_limit(num_leaks, num_rows) <= STATED_SHARE:
        verdict = AuditVerdict.FINE
    else:
        verdict = AuditVerdict.NOT_DECIDED
        if not num_leaks:
            text += f" To meet a fault in {percent(STATED_SHARE, 0)} of them, {enough(STATED_SHARE)} rows are needed."
    example = _example(leaks_R, asked_R, facts, epochs, examples)
    return AuditLine(name, title, verdict, text, counts, (measure,), (example,))


def _example(
    leaks_R: np.ndarray, asked_R: np.ndarray, facts: RowFacts, epochs: Sequence[Epoch], examples: Examples
) -> ShownExample:
    """A masked token that was asked for, of a row that leaks if there is one."""
    row = int(np.flatnonzero(leaks_R if leaks_R.any() else asked_R > 0)[0])
    tokens = facts.tokens_of(row)
    for number, epoch in enumerate(epochs):
        asked_N = epoch.labelled_N & facts.is_text_N & _neighbours_are_seen(epoch, facts)
        if asked_N[tokens].any():
            return examples.at_token(epoch, number, tokens.start + int(np.flatnonzero(asked_N[tokens])[0]))
    raise AssertionError("a row was asked for in none of the epochs")


class _Lookup:
    """The commonest token of each key."""

    def __init__(self, keys_K: np.ndarray, tokens_K: np.ndarray) -> None:
        self._keys_K, self._tokens_K = keys_K, tokens_K

    @classmethod
    def learn(cls, keys_N: np.ndarray, tokens_N: np.ndarray, chosen_N: np.ndarray) -> _Lookup:
        """Learns from the chosen tokens."""
        pairs_2K = np.stack((keys_N[chosen_N], tokens_N[chosen_N]))
        (keys, tokens), times = np.unique(pairs_2K, axis=1, return_counts=True)
        order = np.lexsort((-times, keys))
        keys_K, first_K = np.unique(keys[order], return_index=True)
        return cls(keys_K, tokens[order][first_K])

    def look_up(self, keys_N: np.ndarray) -> np.ndarray:
        """Returns the token of each key, -1 if it has none."""
        if not len(self._keys_K):
            return np.full(len(keys_N), -1)
        place_N = np.clip(np.searchsorted(self._keys_K, keys_N), 0, len(self._keys_K) - 1)
        return np.where(self._keys_K[place_N] == keys_N, self._tokens_K[place_N], -1)


def _keys(facts: RowFacts) -> np.ndarray:
    """One number for the left and the right neighbour of each token; beyond the row's ends stands none."""
    none, size = facts.kinds.size, facts.kinds.size + 1
    left_N, right_N = _neighbours(facts.ids_N, facts, none)
    return left_N * size + right_N


def _neighbours_are_seen(epoch: Epoch, facts: RowFacts) -> np.ndarray:
    """True [N] where both neighbours are text, without a label and unchanged."""
    seen_N = facts.is_text_N & ~epoch.labelled_N & (epoch.input_N == facts.ids_N)
    left_N, right_N = _neighbours(seen_N, facts, False)
    return left_N & right_N


def _neighbours(values_N: np.ndarray, facts: RowFacts, beyond: int) -> tuple[np.ndarray, np.ndarray]:
    """The values of the left and the right neighbours, `beyond` at the ends of a row."""
    left_N, right_N = np.full_like(values_N, beyond), np.full_like(values_N, beyond)
    is_inside_N = facts.row_N[1:] == facts.row_N[:-1]
    left_N[1:] = np.where(is_inside_N, values_N[:-1], beyond)
    right_N[:-1] = np.where(is_inside_N, values_N[1:], beyond)
    return left_N, right_N


def _has_same_text(facts: RowFacts, learns_R: np.ndarray) -> np.ndarray:
    """True [R] for rows whose text is also that of a row that is learned from."""
    texts = [facts.ids_N[facts.tokens_of(row)].tobytes() for row in range(facts.num_rows)]
    learned = {text for text, learns in zip(texts, learns_R, strict=True) if learns}
    return np.array([text in learned for text in texts])
