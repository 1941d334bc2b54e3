"""How alike two masks are: the tokens that both mask, as a share of those that either masks.

Two independent masks of rate r share r / (2 - r) of their tokens, 8% at r = 15%; the same mask shares all.

Shapes: E epochs, R rows, P pairs of rows, T columns, N tokens of all rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskwise.evaluation.auditing.epochs import Epoch
from maskwise.evaluation.auditing.rows import RowFacts

ALIKE = 0.5
LARGEST_CHANCE = 0.8
LEAST_TOKENS = 8
LEAST_UNION = 8


@dataclass(frozen=True)
class Masks:
    """The masks of some epochs. `masked_EN`: True at labelled text tokens; `column_N`: where they came out."""

    masked_EN: np.ndarray
    column_N: np.ndarray

    @classmethod
    def of(cls, epochs: list[Epoch], facts: RowFacts) -> Masks:
        """Returns the masks of epochs over the same rows."""
        masked_EN = np.stack([epoch.labelled_N & epoch.seen_N & facts.is_text_N for epoch in epochs])
        return cls(masked_EN, epochs[0].column_N)

    def dense(self, facts: RowFacts) -> tuple[np.ndarray, np.ndarray]:
        """Returns the masks as [E, R, T], and where text is as [R, T], by the columns that they came out in."""
        width = int(self.column_N.max()) + 1
        masked_ERT = np.zeros((len(self.masked_EN), facts.num_rows, width), dtype=bool)
        masked_ERT[:, facts.row_N, self.column_N] = self.masked_EN
        text_RT = np.zeros((facts.num_rows, width), dtype=bool)
        text_RT[facts.row_N, self.column_N] = facts.is_text_N
        return masked_ERT, text_RT


@dataclass(frozen=True)
class Overlap:
    """Overlaps of rows (or pairs of rows), and those that chance would give.

    `can_tell`: the rows that are long enough, and masked sparsely enough, for a high overlap to mean something.
    """

    overlap_R: np.ndarray
    chance_R: np.ndarray
    can_tell_R: np.ndarray

    @property
    def is_alike_R(self) -> np.ndarray:
        """True where the masks are the same for the most part: above a half, or half way from chance to 1."""
        limit_R = np.where(self.chance_R > ALIKE / 2, (1 + self.chance_R) / 2, ALIKE)
        return self.can_tell_R & (self.overlap_R > limit_R)

    @property
    def mean(self) -> float:
        """The mean overlap of the rows that can tell, not a number if there are none."""
        return float(self.overlap_R[self.can_tell_R].mean()) if self.can_tell_R.any() else float("nan")

    @property
    def mean_chance(self) -> float:
        """The mean of the overlaps that chance would give."""
        return float(self.chance_R[self.can_tell_R].mean()) if self.can_tell_R.any() else float("nan")


def over_epochs(masks: Masks, facts: RowFacts) -> Overlap:
    """Returns each row's overlap between all pairs of epochs, sums over sums.

    With c the number of epochs that mask a token, its row's shared tokens are the sum of c (c - 1) / 2.
    """
    num_epochs = len(masks.masked_EN)
    times_N = masks.masked_EN.sum(axis=0)
    shared_R = facts.by_row(times_N * (times_N - 1) / 2)
    masked_R = facts.by_row(times_N)
    tokens_R = facts.by_row(facts.is_text_N)
    union_R = (num_epochs - 1) * masked_R - shared_R
    rate_R = masked_R / np.maximum(num_epochs * tokens_R, 1)
    return _overlap(shared_R, union_R, rate_R / np.maximum(2 - rate_R, 1e-9), tokens_R)


def between(masks: Masks, others: Masks, facts: RowFacts) -> Overlap:
    """Returns each row's overlap between the epochs of one run and the same-numbered epochs of another."""
    num_epochs = min(len(masks.masked_EN), len(others.masked_EN))
    first_EN, second_EN = masks.masked_EN[:num_epochs], others.masked_EN[:num_epochs]
    shared_R = facts.by_row((first_EN & second_EN).sum(axis=0))
    union_R = facts.by_row((first_EN | second_EN).sum(axis=0))
    tokens_R = facts.by_row(facts.is_text_N)
    first_R, second_R = (facts.by_row(part.sum(axis=0)) for part in (first_EN, second_EN))
    chance_R = _chance(first_R, second_R, num_epochs * tokens_R)
    return _overlap(shared_R, union_R, chance_R, tokens_R)


def of_pairs(
    first_EPT: np.ndarray, text_PT: np.ndarray, second_EPT: np.ndarray, other_text_PT: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Returns the shared, united and chance counts [E, P] of two different rows, over columns where both have text."""
    width = min(text_PT.shape[1], other_text_PT.shape[1])
    both_PT = text_PT[:, :width] & other_text_PT[:, :width]
    first_EPT, second_EPT = first_EPT[..., :width] & both_PT, second_EPT[..., :width] & both_PT
    shared_EP = (first_EPT & second_EPT).sum(axis=-1)
    union_EP = (first_EPT | second_EPT).sum(axis=-1)
    tokens_P = both_PT.sum(axis=-1)
    chance_EP = first_EPT.sum(axis=-1) * second_EPT.sum(axis=-1) / np.maximum(tokens_P, 1)
    return shared_EP, union_EP, chance_EP, tokens_P


def pooled_pairs(shared_EP: np.ndarray, union_EP: np.ndarray, chance_EP: np.ndarray, tokens_P: np.ndarray) -> Overlap:
    """Returns the overlap of each pair of rows over all epochs."""
    shared_P, union_P, chance_P = (values.sum(axis=0) for values in (shared_EP, union_EP, chance_EP))
    expected_P = chance_P / np.maximum(shared_P + union_P - chance_P, 1e-9)
    return _overlap(shared_P, union_P, expected_P, tokens_P)


def single_pairs(shared_EP: np.ndarray, union_EP: np.ndarray, chance_EP: np.ndarray, tokens_P: np.ndarray) -> Overlap:
    """Returns the overlap of each pair of rows in each epoch, [E * P]; a pair with few masked tokens cannot tell."""
    expected_EP = chance_EP / np.maximum(shared_EP + union_EP - chance_EP, 1e-9)
    tokens_EP = np.broadcast_to(tokens_P, shared_EP.shape)
    return _overlap(shared_EP.ravel(), union_EP.ravel(), expected_EP.ravel(), tokens_EP.ravel(), 2 * LEAST_TOKENS)


def _overlap(
    shared_R: np.ndarray,
    union_R: np.ndarray,
    chance_R: np.ndarray,
    tokens_R: np.ndarray,
    least_tokens: int = LEAST_TOKENS,
) -> Overlap:
    can_tell_R = (tokens_R >= least_tokens) & (shared_R + union_R >= LEAST_UNION) & (chance_R <= LARGEST_CHANCE)
    return Overlap(shared_R / np.maximum(union_R, 1e-9), chance_R, can_tell_R)


def _chance(first_R: np.ndarray, second_R: np.ndarray, tokens_R: np.ndarray) -> np.ndarray:
    shared_R = first_R * second_R / np.maximum(tokens_R, 1)
    return shared_R / np.maximum(first_R + second_R - shared_R, 1e-9)
