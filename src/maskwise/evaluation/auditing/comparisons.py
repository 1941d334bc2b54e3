"""Which masks are compared with which, and how many are nearly the same.

Shapes: E epochs, R rows, P pairs of rows, T columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskwise.evaluation.auditing import overlap
from maskwise.evaluation.auditing.overlap import Masks, Overlap
from maskwise.evaluation.auditing.rows import RowFacts
from maskwise.evaluation.auditing.runs import Pairs

FEWEST_PAIRS_ALIKE = 2
PAIRS_ALIKE_SHARE = 0.10


@dataclass(frozen=True)
class MaskComparison:
    """How many of the judged places (rows, pairs of rows, batches) have masks that are nearly the same.

    `place`: one that is alike if any is, else one that was judged, None if none could be; `overlap` and `by_chance`
    are means over what was judged.
    """

    num_alike: int
    num_judged: int
    place: int | None
    overlap: float | None
    by_chance: float | None

    @classmethod
    def of(cls, found: Overlap, can_count_R: np.ndarray | None = None) -> MaskComparison:
        """Returns the summary of overlaps, of those places that count."""
        judged_R = found.can_tell_R if can_count_R is None else found.can_tell_R & can_count_R
        alike_R = found.is_alike_R & judged_R
        means = [
            float(values[judged_R].mean()) if judged_R.any() else None for values in (found.overlap_R, found.chance_R)
        ]
        return cls(int(alike_R.sum()), int(judged_R.sum()), _first(alike_R, judged_R), *means)


def compare_over_epochs(masks: Masks, facts: RowFacts) -> MaskComparison:
    """Compares each row's masks of all epochs with each other."""
    return MaskComparison.of(overlap.over_epochs(masks, facts))


def resumed_with_start(masks: Masks, resumed: Masks, facts: RowFacts) -> MaskComparison:
    """Compares the epochs after a resume with the first epochs of the run."""
    return MaskComparison.of(overlap.between(masks, resumed, facts))


def of_ranks(first: Masks, second: Masks, pairs: Pairs) -> MaskComparison:
    """Compares the first row of each pair on one rank with the second row on another."""
    first_ERT, text_RT = first.dense(pairs.facts)
    second_ERT, other_RT = second.dense(pairs.facts)
    return _of_pairs(first_ERT, text_RT, second_ERT, other_RT, pairs)


def of_workers(masks: Masks, pairs: Pairs) -> MaskComparison:
    """Compares the first row of each pair, collated by one worker, with the second, collated by the other."""
    masked_ERT, text_RT = masks.dense(pairs.facts)
    return _of_pairs(masked_ERT, text_RT, masked_ERT, text_RT, pairs)


def within_batches(masks: Masks, facts: RowFacts, batches: Sequence[range]) -> tuple[MaskComparison, int | None]:
    """Compares neighbours in a batch, in each epoch; what is counted are batches, one for each epoch.

    A batch is alike if more than a tenth of its neighbours are, and at least two. The second result is the row that
    has, at the comparison's place, the same mask as the next one.
    """
    firsts_P = np.array([row for batch in batches for row in batch[:-1]], dtype=np.int64)
    batch_P = np.array([i for i, batch in enumerate(batches) for _ in batch[:-1]], dtype=np.int64)
    masked_ERT, text_RT = masks.dense(facts)
    num_epochs, num_batches = len(masked_ERT), len(batches)
    seconds_P = firsts_P + 1
    counts = overlap.of_pairs(masked_ERT[:, firsts_P], text_RT[firsts_P], masked_ERT[:, seconds_P], text_RT[seconds_P])
    found = overlap.single_pairs(*counts)
    differ_P = ~_same_text(facts, firsts_P)
    judged_EP = found.can_tell_R.reshape(num_epochs, -1) & differ_P
    alike_EP = found.is_alike_R.reshape(num_epochs, -1) & differ_P
    batch_EP = np.arange(num_epochs)[:, None] * num_batches + batch_P
    judged_Q, alike_Q = (
        np.bincount(batch_EP.ravel(), weights=values.ravel(), minlength=num_epochs * num_batches)
        for values in (judged_EP, alike_EP)
    )
    is_judged_Q = judged_Q >= FEWEST_PAIRS_ALIKE
    is_alike_Q = (alike_Q >= FEWEST_PAIRS_ALIKE) & (alike_Q > PAIRS_ALIKE_SHARE * judged_Q)
    place = _first(is_alike_Q, is_judged_Q)
    pairs_alike = MaskComparison.of(found, judged_EP.ravel())
    row = None
    if place is not None:
        epoch, batch = divmod(place, num_batches)
        inside_P = batch_P == batch
        shown_P = inside_P & alike_EP[epoch] if (inside_P & alike_EP[epoch]).any() else inside_P
        row = int(firsts_P[np.flatnonzero(shown_P)[0]])
    compared = MaskComparison(
        int(is_alike_Q.sum()), int(is_judged_Q.sum()), place, pairs_alike.overlap, pairs_alike.by_chance
    )
    return compared, row


def _of_pairs(
    first_ERT: np.ndarray, text_RT: np.ndarray, second_ERT: np.ndarray, other_RT: np.ndarray, pairs: Pairs
) -> MaskComparison:
    first, second = (np.array(half) for half in pairs.halves())
    counts = overlap.of_pairs(first_ERT[:, first], text_RT[first], second_ERT[:, second], other_RT[second])
    return MaskComparison.of(overlap.pooled_pairs(*counts), pairs.differ())


def _same_text(facts: RowFacts, firsts_P: np.ndarray) -> np.ndarray:
    """True [P] where a row and the next one have the same tokens."""
    return np.array(
        [np.array_equal(facts.ids_N[facts.tokens_of(r)], facts.ids_N[facts.tokens_of(r + 1)]) for r in firsts_P],
        dtype=bool,
    )


def _first(alike_R: np.ndarray, judged_R: np.ndarray) -> int | None:
    places = np.flatnonzero(alike_R if alike_R.any() else judged_R)
    return int(places[0]) if len(places) else None
