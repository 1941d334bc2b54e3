"""Tolerance bands: how often tokens are masked, what they become, and whether rows are left without a label.

A line is a fault only if the 99.99% interval of its share lies wholly outside of the band, fine only if it lies wholly
within, and otherwise not decided.

Shapes: R rows, N tokens of all rows.
"""

from __future__ import annotations

import math

import numpy as np

from maskwise.evaluation.auditing.cells import RATE_TOLERANCE, cell_lines
from maskwise.evaluation.auditing.expected import Expected
from maskwise.evaluation.auditing.intervals import CONFIDENCE, share_by_row, t_quantile
from maskwise.evaluation.auditing.lines import AuditLine
from maskwise.evaluation.auditing.measures import AuditVerdict, Measure, judge_measures, percent
from maskwise.evaluation.auditing.tally import Tally, expected_rates

SHARE_TOLERANCE = 0.01
EMPTY_TOLERANCE = 0.01


def band_lines(tally: Tally, expected: Expected, padding_N: np.ndarray) -> list[AuditLine]:
    """Returns the lines that have a tolerance; `padding_N` is the padded share of each token's row."""
    rate_line = _rate_line(tally, expected)
    # A rate that is wrong everywhere is one fault, not one at each position.
    rate = tally.rate if expected.rate is None or rate_line.verdict is AuditVerdict.FAULT else expected.rate
    cells = cell_lines(tally, expected, rate, padding_N)
    return [rate_line, _fate_line(tally, expected), *cells, _empty_line(tally, expected)]


def _rate_line(tally: Tally, expected: Expected) -> AuditLine:
    interval = share_by_row(tally.facts.by_text(tally.labelled_N), tally.facts.by_text(tally.seen_N))
    accepted = None
    if expected.rate is not None:
        low, high = expected_rates(tally, expected.rate, np.ones(len(tally.seen_N), dtype=bool))
        accepted = max(0.0, low - RATE_TOLERANCE), min(1.0, high + RATE_TOLERANCE)
    measure = Measure("rate", *interval, accepted=accepted)
    found = f"{percent(measure.estimate, 2)} of the text tokens have a label ({measure.limits()})"
    if accepted is None:
        verdict, text = AuditVerdict.INFORMATION, f"{found}. No rate is stated, so it is not judged."
    else:
        verdict = judge_measures([measure])
        text = f"{found}; accepted is {percent(accepted[0], 2)} to {percent(accepted[1], 2)} for {expected.rate:g}."
    counts = {"tokens": int(tally.seen_N.sum()), "labelled": int(tally.labelled_N.sum()), "expected": expected.rate}
    needs_more = verdict is AuditVerdict.NOT_DECIDED
    return AuditLine("rate", "The masking rate", verdict, text, counts, (measure,), needs_more=needs_more)


def _fate_line(tally: Tally, expected: Expected) -> AuditLine:
    name, title = "corruption", "What masked tokens become"
    fates = [tally.facts.sum_texts(fate_R) for fate_R in tally.fates_3R]
    labelled = np.sum(fates, axis=0)
    if not labelled.sum():
        return AuditLine(name, title, AuditVerdict.NOT_DECIDED, "No token has a label.")
    shares = expected.corruption or (None, None, None)
    measures = tuple(
        Measure(name, *share_by_row(fate, labelled), accepted=None if share is None else _around(share))
        for name, fate, share in zip(("[MASK]", "random", "kept"), fates, shares, strict=True)
    )
    found = ", ".join(f"{percent(part.estimate)} {part.name} ({part.limits(1)})" for part in measures)
    if expected.corruption is None:
        verdict, text = AuditVerdict.INFORMATION, f"{found}. No shares are stated, so they are not judged."
    else:
        around = " / ".join(percent(share, 0) for share in expected.corruption)
        verdict, text = judge_measures(measures), f"{found}; accepted is one point around {around}."
    counts = {"labelled": int(labelled.sum())}
    return AuditLine(name, title, verdict, text, counts, measures, needs_more=verdict is AuditVerdict.NOT_DECIDED)


def _around(share: float) -> tuple[float, float]:
    return share - SHARE_TOLERANCE, share + SHARE_TOLERANCE


def _empty_line(tally: Tally, expected: Expected) -> AuditLine:
    """Rows without a label, beyond those that independent draws at the observed rate would leave.

    Of a row of n units (words if they are masked whole, else tokens) these leave (1 - rate)^n without a label. The
    excess is a fault if it is surely above 0, and fine if it is surely below one point.
    """
    has_text_R = tally.epochs_R > 0
    epochs_R = tally.epochs_R[has_text_R].astype(float)
    units_R = tally.seen_units_R()[has_text_R]
    total = max(float(epochs_R.sum()), 1.0)
    chance_R = (1 - min(tally.rate, 1.0)) ** units_R
    empty, chance = float(tally.empty_R.sum()) / total, float((epochs_R * chance_R).sum()) / total
    excess_R, counted_R = np.zeros(len(has_text_R)), np.zeros(len(has_text_R))
    excess_R[has_text_R], counted_R[has_text_R] = tally.empty_R[has_text_R] - epochs_R * chance_R, epochs_R
    observed = share_by_row(tally.facts.sum_texts(excess_R), tally.facts.sum_texts(counted_R))
    # Few events say little about their own spread, so it is at least that of the independent draws.
    error = math.sqrt(float((epochs_R * chance_R * (1 - chance_R)).sum())) / total
    width = max(observed.high - observed.estimate, t_quantile((1 + CONFIDENCE) / 2, max(len(units_R) - 1, 3)) * error)
    excess = Measure("excess", empty - chance, empty - chance - width, empty - chance + width, (-1.0, EMPTY_TOLERANCE))
    if not expected.is_uniform:
        verdict = AuditVerdict.INFORMATION
    else:
        undecided = AuditVerdict.FINE if excess.high <= EMPTY_TOLERANCE else AuditVerdict.NOT_DECIDED
        verdict = AuditVerdict.FAULT if excess.low > 0 else undecided
    text = (
        f"{percent(empty, 2)} of the rows have no label; independent draws at this rate leave {percent(chance, 2)}. "
        f"The difference is {100 * excess.low:+.2f} to {100 * excess.high:+.2f} points."
    )
    counts = {"rows": int(total), "empty": int(tally.empty_R.sum()), "by_chance": chance * total}
    needs_more = verdict is AuditVerdict.NOT_DECIDED
    return AuditLine("empty_rows", "Rows without a label", verdict, text, counts, (excess,), needs_more=needs_more)
