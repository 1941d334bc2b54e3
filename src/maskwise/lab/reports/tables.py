"""A table of the report, and the plain forms in which it can be taken away: Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from maskwise.files.markdown_text import markdown_text
from maskwise.progress import format_seconds

ValueKind = Literal[
    "text", "number", "difference", "p", "share", "times", "count", "flops", "seconds", "bytes", "exact"
]
NOTHING = "-"


@dataclass(frozen=True)
class Column:
    """A column: its name in files, its heading, and what its values are, which decides how they are shown."""

    name: str
    heading: str = ""
    kind: ValueKind = "text"

    @property
    def title(self) -> str:
        """The heading; the name where none was given."""
        return self.heading or self.name


@dataclass(frozen=True)
class Table:
    """A table with a note under it; rows hold plain values by column name, and may lack some."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    note: str = ""

    def shown(self) -> list[list[str]]:
        """Returns every row as people read it."""
        return [[shown(row.get(column.name), column.kind) for column in self.columns] for row in self.rows]

    def without_empty_columns(self) -> Table:
        """Returns the table without the columns that no row has a value in."""
        used = [column for column in self.columns if any(_plain(row.get(column.name)) is not None for row in self.rows)]
        return replace(self, columns=tuple(used) if self.rows else self.columns)

    def markdown(self) -> str:
        """Returns the table in Markdown, its numbers as people read them.

        >>> print(Table("t", "T", (Column("arm"), Column("p", kind="p")), ({"arm": "high", "p": 0.0123},)).markdown())
        | arm | p |
        |---|---:|
        | high | 0.0123 |
        """
        rule = "|".join("---" if column.kind == "text" else "---:" for column in self.columns)
        lines = [_line(column.title for column in self.columns), f"|{rule}|"]
        return "\n".join([*lines, *(_line(row) for row in self.shown())])

    def csv(self) -> str:
        """Returns the table as CSV, its numbers in full precision; what is missing is empty."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in self.columns])
        for row in self.plain_rows():
            writer.writerow(["" if value is None else value for value in row.values()])
        return file.getvalue()

    def plain_rows(self) -> list[dict[str, Any]]:
        """Returns the rows as JSON can say them: what is missing or no finite number is None."""
        return [{column.name: _plain(row.get(column.name)) for column in self.columns} for row in self.rows]


def shown(value: Any, kind: ValueKind) -> str:
    """Returns a value as people read it.

    >>> [shown(0.0213, "difference"), shown(0.00004, "p"), shown(0.151, "share"), shown(None, "p")]
    ['+0.0213', '<0.0001', '15.10%', '-']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if kind == "text" or isinstance(value, str | bool):
        return str(value)
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return _number(value, kind)


def _number(value: float, kind: ValueKind) -> str:
    match kind:
        case "number":
            return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"
        case "difference":
            return f"{value:+.4f}"
        case "p":
            return "<0.0001" if value < 0.0001 else f"{value:.3g}"
        case "share":
            return f"{value:.2%}"
        case "times":
            return f"{value:.2f}x"
        case "flops":
            return f"{value:.2e}"
        case "seconds":
            return f"{value:.1f}s" if value < 10 else format_seconds(value)
        case "bytes":
            return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"
        case "count":
            return f"{value:,.0f}"
    return repr(value)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(markdown_text(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
