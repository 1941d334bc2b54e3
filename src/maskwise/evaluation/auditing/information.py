"""What an audit reports without judging it.

Shapes: R rows, N tokens of all rows.
"""

from __future__ import annotations

import numpy as np

from maskwise.evaluation.auditing.intervals import share_by_row
from maskwise.evaluation.auditing.lines import AuditLine
from maskwise.evaluation.auditing.measures import AuditVerdict, Measure, count, percent
from maskwise.evaluation.auditing.tally import Tally
from maskwise.evaluation.auditing.words import NUM_FREQUENCY_BINS, frequency_bins

FIFTHS = ("rarest fifth", "second", "third", "fourth", "most frequent")


def information_lines(tally: Tally) -> list[AuditLine]:
    """Returns the lines for information: rates by frequency, and what is masked together."""
    return [_frequency_line(tally), *_word_line(tally)]


def _frequency_line(tally: Tally) -> AuditLine:
    """Not judged, because masking by entropy or rarity is meant to skew it."""
    bins_N, measures = frequency_bins(tally.facts), []
    for number in range(NUM_FREQUENCY_BINS):
        in_bin_N = bins_N == number
        seen = tally.facts.by_text(tally.seen_N * in_bin_N)
        if seen.sum():
            interval = share_by_row(tally.facts.by_text(tally.labelled_N * in_bin_N), seen)
            measures.append(Measure(FIFTHS[number], *interval))
    shares = ", ".join(percent(measure.estimate) for measure in measures)
    text = f"From the fifth of the tokens with the rarest types to that with the most frequent: {shares}."
    title = "The rate by token frequency"
    return AuditLine("rate_by_frequency", title, AuditVerdict.INFORMATION, text, measures=tuple(measures))


def _word_line(tally: Tally) -> list[AuditLine]:
    if not tally.touched_words:
        return []
    share = tally.whole_words / tally.touched_words
    kind = "words are masked whole" if tally.masks_whole_words else "tokens are masked one by one"
    text = (
        f"Of {count(tally.touched_words, 'word')} of several pieces with a label, {percent(share)} have one on every "
        f"piece: {kind}. Words are those of {tally.words.source}."
    )
    counts = {"whole": tally.whole_words, "words": tally.touched_words}
    return [AuditLine("unit", "What is masked together", AuditVerdict.INFORMATION, text, counts)]


def padding_share(tally: Tally, width_R: np.ndarray) -> np.ndarray:
    """Returns the padded share of each token's row [N], from the number of columns that its row came out in."""
    facts = tally.facts
    filled_R = facts.by_row(~facts.is_padding_N)
    share_R = np.where(width_R > 0, 1 - filled_R / np.maximum(width_R, 1), 0.0)
    return np.clip(share_R, 0.0, 1.0)[facts.row_N]
