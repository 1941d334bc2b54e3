"""Whether the rate depends on where a token stands: on its position, its word, and the padding of its row.

Shapes: R rows, N tokens of all rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from maskwise.evaluation.auditing.expected import Expected
from maskwise.evaluation.auditing.intervals import share_by_row
from maskwise.evaluation.auditing.lines import AuditLine
from maskwise.evaluation.auditing.measures import AuditVerdict, Measure, judge_measures, percent, why
from maskwise.evaluation.auditing.tally import Tally, expected_rates

RATE_TOLERANCE = 0.005
LEAST_CELL_SHARE = 0.01
FEWEST_CELL_ROWS = 20


@dataclass(frozen=True)
class Cells:
    """A number per token, -1 for none, and the names of the numbers."""

    cell_N: np.ndarray
    names: tuple[str, ...]


def cell_lines(tally: Tally, expected: Expected, rate: float, padding_N: np.ndarray) -> list[AuditLine]:
    """Returns the lines about the rate in parts of the text; `padding_N` is the padded share of each token's row."""
    lines = (
        ("rate_by_position", "The rate is the same at all positions", _position_cells(tally)),
        ("rate_by_word_length", "The rate is the same for short and long words", _word_cells(tally)),
        ("rate_by_padding", "The rate does not depend on padding", _padding_cells(padding_N)),
    )
    return [_line(name, title, cells, tally, expected, rate) for name, title, cells in lines]


def _line(name: str, title: str, cells: Cells, tally: Tally, expected: Expected, rate: float) -> AuditLine:
    """A line over cells; those of few rows, or with less than a hundredth of the tokens, are shown and not judged."""
    total, measures = max(int(tally.seen_N.sum()), 1), []
    for cell, cell_name in enumerate(cells.names):
        in_cell_N = cells.cell_N == cell
        seen = tally.facts.by_text(tally.seen_N * in_cell_N)
        if not seen.sum():
            continue
        interval = share_by_row(tally.facts.by_text(tally.labelled_N * in_cell_N), seen)
        accepted = None
        is_large = seen.sum() >= LEAST_CELL_SHARE * total and (seen > 0).sum() >= FEWEST_CELL_ROWS
        if expected.is_uniform and is_large:
            low, high = expected_rates(tally, rate, in_cell_N)
            accepted = max(0.0, low - RATE_TOLERANCE), min(1.0, high + RATE_TOLERANCE)
        measures.append(Measure(cell_name, *interval, accepted=accepted))
    text = "; ".join(f"{measure.name}: {percent(measure.estimate)}" for measure in measures) + "."
    judged = [measure for measure in measures if measure.accepted is not None]
    verdict = judge_measures(judged)
    if not expected.is_uniform:
        verdict, text = AuditVerdict.INFORMATION, f"{text} Tokens are chosen by a score, so this is not judged."
    elif len(measures) < 2:
        verdict, text = AuditVerdict.INFORMATION, f"There is nothing to compare: {text}"
    elif len(judged) < 2:
        least = percent(LEAST_CELL_SHARE, 0)
        text += f" To be judged, a part needs {FEWEST_CELL_ROWS} different rows and {least} of the tokens."
        return AuditLine(name, title, AuditVerdict.NOT_DECIDED, text, measures=tuple(measures))
    else:
        text = f"{text} {why(measures)}".strip()
    needs_more = verdict is AuditVerdict.NOT_DECIDED
    return AuditLine(name, title, verdict, text, measures=tuple(measures), needs_more=needs_more)


def _position_cells(tally: Tally) -> Cells:
    longest = int(tally.facts.lengths_R.max())
    edges = [0, 16]
    while edges[-1] < longest:
        edges.append(2 * edges[-1])
    cell_N = np.searchsorted(edges, tally.facts.position_N, side="right") - 1
    return Cells(cell_N, tuple(f"{low} to {high - 1}" for low, high in pairwise(edges)))


def _word_cells(tally: Tally) -> Cells:
    in_word_N = tally.words.word_N >= 0
    names = ("1 piece", "2 pieces", "3 pieces", "4 or more")
    return Cells(np.where(in_word_N, np.minimum(tally.words.pieces_N, 4) - 1, -1), names)


def _padding_cells(padding_N: np.ndarray) -> Cells:
    names = ("no padding", "up to 25%", "up to 50%", "up to 75%", "more")
    return Cells(np.searchsorted([0.0, 0.25, 0.5, 0.75], padding_N, side="left"), names)
