"""What is counted over epochs, and the rates that a correct collator would have.

Shapes: R rows, N tokens of all rows, W words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskwise.evaluation.auditing.epochs import Epoch
from maskwise.evaluation.auditing.rows import RowFacts
from maskwise.evaluation.auditing.words import Words

WHOLE_WORD_SHARE = 0.95


@dataclass
class Tally:
    """Counts over epochs: per token how often it came out and had a label, per row what its labelled tokens became."""

    facts: RowFacts
    words: Words

    def __post_init__(self) -> None:
        num_rows, num_tokens = self.facts.num_rows, len(self.facts.ids_N)
        self.num_epochs = 0
        self.seen_N = np.zeros(num_tokens, dtype=np.int64)
        self.labelled_N = np.zeros(num_tokens, dtype=np.int64)
        self.fates_3R = np.zeros((3, num_rows), dtype=np.int64)
        self.epochs_R = np.zeros(num_rows, dtype=np.int64)
        self.empty_R = np.zeros(num_rows, dtype=np.int64)
        self.touched_words, self.whole_words = 0, 0

    def add_epoch(self, epoch: Epoch) -> None:
        """Adds one epoch; tokens other than text are left out."""
        facts = self.facts
        seen_N = epoch.seen_N & facts.is_text_N
        labelled_N = epoch.labelled_N & seen_N
        masked_N = labelled_N & (epoch.input_N == facts.kinds.mask_token_id)
        kept_N = labelled_N & (epoch.input_N == facts.ids_N)
        self.num_epochs += 1
        self.seen_N += seen_N
        self.labelled_N += labelled_N
        for fate, is_fate_N in enumerate((masked_N, labelled_N & ~masked_N & ~kept_N, kept_N)):
            self.fates_3R[fate] += facts.by_row(is_fate_N).astype(np.int64)
        seen_R = facts.by_row(seen_N) > 0
        self.epochs_R += seen_R
        self.empty_R += seen_R & (facts.by_row(epoch.labelled_N & epoch.seen_N) == 0)
        self._add_words(labelled_N)

    def _add_words(self, labelled_N: np.ndarray) -> None:
        several_N = (self.words.word_N >= 0) & (self.words.pieces_N > 1)
        if not self.words.are_known or not several_N.any():
            return
        word, size = self.words.word_N[several_N], int(self.words.word_N.max()) + 1
        labelled_W = np.bincount(word, weights=labelled_N[several_N], minlength=size)
        pieces_W = np.bincount(word, minlength=size)
        self.touched_words += int((labelled_W > 0).sum())
        self.whole_words += int(((labelled_W > 0) & (labelled_W == pieces_W)).sum())

    @property
    def masks_whole_words(self) -> bool:
        """True if words of several pieces get labels on all of them or none."""
        return self.touched_words > 0 and self.whole_words >= WHOLE_WORD_SHARE * self.touched_words

    @property
    def rate(self) -> float:
        """The share of text tokens that had a label."""
        return float(self.labelled_N.sum()) / max(int(self.seen_N.sum()), 1)

    def units_R(self) -> np.ndarray:
        """Returns what each row is masked by: its number of words if they are masked whole, else of text tokens."""
        tokens_R = self.facts.by_row(self.facts.is_text_N)
        if not self.masks_whole_words:
            return tokens_R
        alone_N = self.facts.is_text_N & (self.words.word_N < 0)
        in_words_N = self.facts.is_text_N & ~alone_N
        return self.facts.by_row(np.where(in_words_N, 1 / self.words.pieces_N, alone_N))

    def seen_units_R(self) -> np.ndarray:
        """Returns how many units of each row came out in an epoch, on average: fewer than it has if it was cut."""
        tokens_R = self.facts.by_row(self.facts.is_text_N) * self.epochs_R
        return self.units_R() * self.facts.by_row(self.seen_N) / np.maximum(tokens_R, 1)


def expected_rates(tally: Tally, rate: float, in_cell_N: np.ndarray) -> tuple[float, float]:
    """Returns the lowest and highest share of a cell's tokens that correct collators of this rate would label.

    Per row of n tokens they label `rate * n` on average (each on its own, or a budget rounded at random), or the
    nearest whole number of tokens, at least one; and at least one word if words are masked whole.
    """
    tokens_R, units_R = tally.facts.by_row(tally.facts.is_text_N), tally.units_R()
    seen_N = tally.seen_N * in_cell_N
    weight_R, has_text_R = tally.facts.by_row(seen_N), tokens_R > 0
    tokens_R, units_R, weight_R = tokens_R[has_text_R], units_R[has_text_R], weight_R[has_text_R]
    rounded_R = np.clip(np.floor(rate * tokens_R + 0.5), 1, tokens_R) / tokens_R
    one_unit_R = np.clip(rate * units_R, np.minimum(1, units_R), units_R) / units_R
    shares = [float((weight_R * share_R).sum() / weight_R.sum()) for share_R in (rounded_R, one_unit_R)]
    return min(rate, *shares), max(rate, *shares)
