"""The result of an audit, as a table on a terminal, in a notebook, and as plain data."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from typing import Any

from maskwise.evaluation.auditing.lines import AuditLine, ShownExample
from maskwise.evaluation.auditing.measures import AuditVerdict, count

_WIDTH = 110
AUDIT_ORDER = (AuditVerdict.FAULT, AuditVerdict.NOT_DECIDED, AuditVerdict.FINE, AuditVerdict.INFORMATION)
_COLOURS = {
    AuditVerdict.FAULT: "#b3261e",
    AuditVerdict.NOT_DECIDED: "#8a6100",
    AuditVerdict.FINE: "#1d6b3a",
    AuditVerdict.INFORMATION: "#4a5a68",
}


@dataclass(frozen=True, repr=False)
class Audit:
    """What `maskwise.check` found. `lines` are in a fixed order; `audit["rate"]` is the line of that name."""

    collator: str
    lines: tuple[AuditLine, ...]
    num_rows: int
    num_tokens: int
    num_epochs: int
    seconds: float

    @property
    def faults(self) -> tuple[AuditLine, ...]:
        """The lines that are faults."""
        return self.with_verdict(AuditVerdict.FAULT)

    def with_verdict(self, verdict: AuditVerdict | str) -> tuple[AuditLine, ...]:
        """Returns the lines with this verdict."""
        return tuple(line for line in self.lines if line.verdict == verdict)

    def __getitem__(self, name: str) -> AuditLine:
        """Returns the line called `name`; raises KeyError if there is none."""
        found = next((line for line in self.lines if line.name == name), None)
        if found is None:
            raise KeyError(f"no line {name!r}; there are {', '.join(line.name for line in self.lines)}")
        return found

    @property
    def summary(self) -> str:
        """The counts of verdicts, and what was collated."""
        counts = {verdict: len(self.with_verdict(verdict)) for verdict in AUDIT_ORDER}
        verdicts = (
            f"{count(counts[AuditVerdict.FAULT], 'fault')}, {counts[AuditVerdict.NOT_DECIDED]} not decided, "
            f"{counts[AuditVerdict.FINE]} fine, {counts[AuditVerdict.INFORMATION]} for information"
        )
        return f"{verdicts}; {count(self.num_rows, 'row')}, {self.num_epochs:,} epochs, {self.num_tokens:,} text tokens"

    def as_dict(self) -> dict[str, Any]:
        """Returns the audit as plain data, ready for JSON; shares are 0 to 1."""
        return {
            "collator": self.collator,
            "num_rows": self.num_rows,
            "num_tokens": self.num_tokens,
            "num_epochs": self.num_epochs,
            "seconds": round(self.seconds, 3),
            "faults": [line.name for line in self.faults],
            "lines": [line.as_dict() for line in self.lines],
        }

    def __repr__(self) -> str:
        """Returns the audit as text: faults first, each with an example."""
        blocks = [f"Audit of {self.collator}: {self.summary}"]
        for verdict in AUDIT_ORDER:
            blocks += [_text(line) for line in self.with_verdict(verdict)]
        return "\n".join(blocks)

    def _repr_html_(self) -> str:
        """Returns the audit as an HTML table, for notebooks."""
        rows = "".join(_table_row(line) for verdict in AUDIT_ORDER for line in self.with_verdict(verdict))
        return (
            f"<div><p><b>Audit of {escape(self.collator)}</b>: {escape(self.summary)}</p>"
            f'<table style="text-align:left"><tbody>{rows}</tbody></table></div>'
        )


def _text(line: AuditLine) -> str:
    indent = " " * 17
    parts = [f"{line.verdict:<16} {line.title}", *_wrapped(line.finding, indent)]
    if line.verdict in (AuditVerdict.FAULT, AuditVerdict.NOT_DECIDED):
        parts += [part for example in line.examples for part in _wrapped(str(example), indent + "  ")]
    return "\n".join(parts)


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _table_row(line: AuditLine) -> str:
    examples = "".join(f"<br><code>{escape(str(example))}</code>" for example in _shown(line))
    return (
        f'<tr><td style="text-align:left;vertical-align:top;white-space:nowrap;color:{_COLOURS[line.verdict]}">'
        f'<b>{escape(line.verdict)}</b></td><td style="text-align:left"><b>{escape(line.title)}</b><br>'
        f"{escape(line.finding)}{examples}</td></tr>"
    )


def _shown(line: AuditLine) -> tuple[ShownExample, ...]:
    return line.examples if line.verdict in (AuditVerdict.FAULT, AuditVerdict.NOT_DECIDED) else ()
