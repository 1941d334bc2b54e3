"""Verdicts, shares with their limits, and how the one follows from the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class AuditVerdict(StrEnum):
    """What is said about one property of a collator."""

    FAULT = "fault"
    FINE = "fine"
    NOT_DECIDED = "not decided"
    INFORMATION = "for information"


@dataclass(frozen=True)
class Measure:
    """A share (0 to 1) with its 99.99% limits, and the range that is accepted, None if it is not judged."""

    name: str
    estimate: float
    low: float
    high: float
    accepted: tuple[float, float] | None = None

    @property
    def is_outside(self) -> bool:
        """True if the whole interval lies outside of what is accepted."""
        return self.accepted is not None and (self.high < self.accepted[0] or self.low > self.accepted[1])

    @property
    def is_inside(self) -> bool:
        """True if the whole interval lies within what is accepted, or if anything is."""
        return self.accepted is None or (self.accepted[0] <= self.low and self.high <= self.accepted[1])

    @property
    def excess(self) -> float:
        """How far the interval reaches beyond what is accepted; if it is wholly outside, how far away it begins."""
        if self.accepted is None:
            return -math.inf
        low, high = self.accepted
        if self.is_outside:
            return max(low - self.high, self.low - high)
        return max(low - self.low, self.high - high)

    def limits(self, digits: int = 2) -> str:
        """Returns the interval as text, cut to 0 to 100%."""
        return f"{percent(max(self.low, 0.0), digits)} to {percent(min(self.high, 1.0), digits)}"

    def as_dict(self) -> dict[str, Any]:
        """Returns the measure as plain data; what is not finite is None."""
        numbers = {"estimate": self.estimate, "low": self.low, "high": self.high}
        finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        return {"name": self.name, **finite, "accepted": None if self.accepted is None else list(self.accepted)}


def judge_measures(measures: Sequence[Measure]) -> AuditVerdict:
    """Returns the verdict of measures: a fault if one is wholly outside of what is accepted, fine if all are inside.

    >>> str(judge_measures([Measure("rate", 0.20, 0.19, 0.21, accepted=(0.145, 0.155))]))
    'fault'
    >>> str(judge_measures([Measure("rate", 0.15, 0.14, 0.16, accepted=(0.145, 0.155))]))
    'not decided'
    """
    if any(measure.is_outside for measure in measures):
        return AuditVerdict.FAULT
    return AuditVerdict.FINE if all(measure.is_inside for measure in measures) else AuditVerdict.NOT_DECIDED


def why(measures: Sequence[Measure]) -> str:
    """Returns what decides, or keeps from deciding, as a sentence; nothing if all is within what is accepted."""
    outside = [measure for measure in measures if measure.is_outside]
    still_open = [measure for measure in measures if not measure.is_inside]
    if not still_open:
        return ""
    worst = max(outside or still_open, key=lambda measure: measure.excess)
    assert worst.accepted is not None
    relation = "lies outside of" if outside else "is not yet within"
    low, high = worst.accepted
    return f"At {worst.name}, {worst.limits()} {relation} {percent(low, 2)} to {percent(high, 2)}."


def percent(share: float, digits: int = 1) -> str:
    """Returns a share as a percentage.

    >>> percent(0.1508), percent(0.00041, 2)
    ('15.1%', '0.04%')
    """
    return f"{100 * share:.{digits}f}%"


def count(number: int, noun: str, plural: str = "") -> str:
    """Returns a number with its noun.

    >>> count(1, "row"), count(12_000, "token"), count(2, "batch", "batches")
    ('1 row', '12,000 tokens', '2 batches')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
