"""An audit as one HTML page that needs nothing else: verdicts, intervals in their bands, and rows to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from maskwise.errors import InputError
from maskwise.evaluation.auditing.lines import AuditLine
from maskwise.evaluation.auditing.measures import AuditVerdict, Measure, percent
from maskwise.evaluation.auditing.report import AUDIT_ORDER, Audit
from maskwise.files.atomic import atomic_write

SECTIONS = {
    AuditVerdict.FAULT: ("faults", "Faults"),
    AuditVerdict.NOT_DECIDED: ("open", "Not decided"),
    AuditVerdict.FINE: ("fine", "Fine"),
    AuditVerdict.INFORMATION: ("information", "For information"),
}
_MARGIN = 0.06


@dataclass(frozen=True)
class MeasureBar:
    """One measure, drawn: places are percentages of the width, and None for what there is not."""

    name: str
    text: str
    dot: float
    interval: tuple[float, float]
    band: tuple[float, float] | None
    kind: str


def write_audit_page(audit: Audit, path: Path, facts: Mapping[str, str] | None = None) -> None:
    """Writes an audit's page; `facts` are lines below the title, such as the tokenizer and the data.

    Raises:
        InputError: If the file cannot be written.
    """
    try:
        atomic_write(path, audit_page(audit, facts))
    except OSError as error:
        raise InputError(
            f"The page cannot be written to {path}: {error.strerror}. Give a file in a folder that exists."
        ) from None


def audit_page(audit: Audit, facts: Mapping[str, str] | None = None) -> str:
    """Returns an audit as a self-contained HTML page."""
    from jinja2 import Environment

    template = files("maskwise.lab.evaluation").joinpath("audit.html").read_text(encoding="utf-8")
    sections = [
        (*SECTIONS[verdict], [(line, measure_bars(line)) for line in audit.with_verdict(verdict)])
        for verdict in AUDIT_ORDER
    ]
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(audit=audit, sections=sections, facts=dict(facts or {}))


def measure_bars(line: AuditLine) -> list[MeasureBar]:
    """Returns a line's measures on one common scale, which holds all intervals and bands."""
    ends = [end for measure in line.measures for end in _ends(measure, signed=line.name == "empty_rows")]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    margin = max(high - low, 1e-9) * _MARGIN
    low, width = low - margin, high - low + 2 * margin

    def place(share: float) -> float:
        return round(100 * min(max((share - low) / width, 0.0), 1.0), 2)

    return [
        MeasureBar(
            name=measure.name,
            text=_text(measure, line.name == "empty_rows"),
            dot=place(measure.estimate),
            interval=(place(measure.low), place(measure.high)),
            band=None if measure.accepted is None else (place(measure.accepted[0]), place(measure.accepted[1])),
            kind="out" if measure.is_outside else "in" if measure.is_inside else "open",
        )
        for measure in line.measures
    ]


def _ends(measure: Measure, signed: bool) -> list[float]:
    """What the scale must hold; an end of a band that no share can go beyond is left out."""
    least = -1.0 if signed else 0.0
    band = [end for end in measure.accepted or () if least < end < 1.0]
    return [max(measure.low, least), min(measure.high, 1.0), measure.estimate, *band]


def _text(measure: Measure, is_difference: bool) -> str:
    if is_difference:
        return f"{100 * measure.estimate:+.2f} points"
    return percent(measure.estimate, 2)
