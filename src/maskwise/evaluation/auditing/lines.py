"""What an audit found: a verdict per line, its numbers, and a row to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maskwise.evaluation.auditing.measures import AuditVerdict, Measure


@dataclass(frozen=True)
class ShownExample:
    """A few tokens of one row: what stood there, what the model would see, and what it would have to predict."""

    row: int
    epoch: int
    position: int
    original: tuple[str, ...]
    shown: tuple[str, ...]
    labels: tuple[str | None, ...]
    note: str = ""

    def __str__(self) -> str:
        """Returns the row as text; `[MASK]{the}` is a position at which "the" has to be predicted."""
        pieces = (shown if label is None else f"{shown}{{{label}}}" for _, shown, label in self.triples)
        return f"row {self.row}, {self.note or f'epoch {self.epoch}'}: {' '.join(pieces)}"

    @property
    def triples(self) -> list[tuple[str, str, str | None]]:
        """The original token, what is shown in its place, and the label, for each place."""
        return list(zip(self.original, self.shown, self.labels, strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Returns the example as plain data."""
        return {
            "row": self.row,
            "epoch": self.epoch,
            "position": self.position,
            "note": self.note,
            "original": list(self.original),
            "input": list(self.shown),
            "labels": list(self.labels),
        }


@dataclass(frozen=True)
class AuditLine:
    """One property, judged.

    `counts` are numbers by name, `measures` the shares that were judged or are shown, and `needs_more` is True if
    further epochs over the same rows could still decide the line.
    """

    name: str
    title: str
    verdict: AuditVerdict
    finding: str
    counts: Mapping[str, float | int | None] = field(default_factory=dict)
    measures: tuple[Measure, ...] = ()
    examples: tuple[ShownExample, ...] = ()
    needs_more: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Returns the line as plain data."""
        return {
            "name": self.name,
            "title": self.title,
            "verdict": str(self.verdict),
            "finding": self.finding,
            "counts": dict(self.counts),
            "measures": [measure.as_dict() for measure in self.measures],
            "examples": [example.as_dict() for example in self.examples],
        }
