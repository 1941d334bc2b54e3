"""The drift of tuned checkpoints as a table, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from maskwise.files.atomic import atomic_write
from maskwise.files.path_names import path_text
from maskwise.files.writable import check_writable
from maskwise.lab.printed import Printed
from maskwise.lab.records.strict_json import to_json
from maskwise.lab.weight_changes.measure import ALL, Change, Drift, measure_drift
from maskwise.lab.weight_changes.parameter_groups import HEAD, OTHER, PARTS
from maskwise.lab.weight_changes.weights import open_weights

DriftMeasure = Callable[[Change], float | None]
NORM_RATIO, ELEMENTWISE = "||W' - W|| / ||W||", "mean |W' - W| / (|W| + 1e-8)"
MEASURES: dict[str, DriftMeasure] = {
    NORM_RATIO: lambda change: change.norm_percent,
    ELEMENTWISE: lambda change: change.elementwise_percent,
}
PAPER_RANGE = (167.33, 7077.23)
MOST_NAMES = 12


@dataclass(frozen=True)
class DriftReport(Printed):
    """How far checkpoints are from the one they were tuned from: `table()`, `as_json()`, `write_csv(path)`."""

    checkpoint: str
    drifts: Sequence[Drift]

    def rows(self) -> list[dict[str, Any]]:
        """Returns a row for each checkpoint, layer and part; `all` stands for the sum over layers or parts."""
        rows = []
        for drift in self.drifts:
            for layer in (*drift.layers, ALL):
                for part in (*PARTS, ALL):
                    change = drift.change(layer, part)
                    if change:
                        rows.append({"tuned": drift.tuned, "layer": layer, "part": part, **_figures(change)})
        return rows

    def __repr__(self) -> str:
        return self.table()

    def as_json(self) -> str:
        """Returns the rows, and what was skipped, as JSON."""
        skipped = {drift.tuned: drift.skipped for drift in self.drifts}
        return to_json({"checkpoint": self.checkpoint, "rows": self.rows(), "skipped": skipped}).rstrip()

    def write_csv(self, path: Path) -> None:
        """Writes the rows; raises InputError if the folder cannot be written."""
        check_writable(path.parent)
        rows, text = self.rows(), io.StringIO()
        writer = csv.DictWriter(text, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        atomic_write(path, text.getvalue())

    def table(self) -> str:
        """Returns both measures of each checkpoint by layer and part, what moved most, and what was skipped."""
        blocks = [block for drift in self.drifts for block in (*_tables(drift), _remarks(drift))]
        return "\n\n".join([*blocks, self.about_the_paper()])

    def about_the_paper(self) -> str:
        """Returns what these figures say about the measure behind those of the paper, which does not name it."""
        largest = {name: max(_moved_most(drift, name)[2] for drift in self.drifts) for name in MEASURES}
        low, high = PAPER_RANGE
        reach = [name for name, value in largest.items() if value >= low] or ["neither"]
        return (
            f"The paper reports {low:.0f}% to {high:.0f}% and does not say of what.\n"
            f"Here the largest cell of the norm ratio is {_percent(largest[NORM_RATIO])}%, that of the elementwise "
            f"mean {_percent(largest[ELEMENTWISE])}%; of that size: {' and '.join(reach)}.\n"
            f"A norm ratio of {high:.0f}% would be weights that move {high / 100:.0f} times their own length; an "
            "elementwise mean gets there by the few weights that start near zero."
        )


def drift(checkpoint: str | PathLike[str], tuned: str | PathLike[str] | Sequence[str | PathLike[str]]) -> DriftReport:
    """Measures how far each of the `tuned` checkpoints is from `checkpoint`, by layer and part.

    Reads the weights' files and builds no model.

    Args:
        checkpoint: The run folder, checkpoint or hub name that was tuned.
        tuned: What tuning made of it, one or several.

    Returns:
        Both measures in percent, by layer and part: `table()`, `as_json()`, `write_csv(path)`, `rows()`.

    Raises:
        InputError: For a checkpoint that does not load or that has no parameter in common with the first.

    >>> import tempfile
    >>> from maskwise.testing import tiny_model, word_tokenizer
    >>> tokenizer = word_tokenizer("a b c")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for seed in (0, 1):
    ...         tiny_model(tokenizer, seed=seed).save_pretrained(f"{folder}/{seed}")
    ...     moved = drift(f"{folder}/0", f"{folder}/1")
    >>> len(moved.drifts)
    1
    """
    names = tuned if isinstance(tuned, Sequence) and not isinstance(tuned, str) else [tuned]
    before = path_text(checkpoint, "checkpoint")
    return _drift(before, [path_text(name, "tuned checkpoint") for name in names])


def _drift(checkpoint: str, tuned: Sequence[str]) -> DriftReport:
    before = open_weights(checkpoint)
    return DriftReport(checkpoint, [measure_drift(before, open_weights(name)) for name in tuned])


def parts_in(drift: Drift) -> list[str]:
    """Returns the parts that a checkpoint has, in the order of the forward pass."""
    found = {part for _, part in drift.cells}
    return [part for part in PARTS if part in found]


def _figures(change: Change) -> dict[str, Any]:
    return {
        "parameters": change.count,
        "norm_percent": change.norm_percent,
        "elementwise_percent": change.elementwise_percent,
    }


def _tables(drift: Drift) -> list[str]:
    parts = parts_in(drift)
    tables = []
    for title, measure in MEASURES.items():
        rows = [["layer", *parts, ALL]]
        for layer in (*drift.layers, ALL):
            changes = [drift.change(layer, part) for part in (*parts, ALL)]
            rows.append([layer, *(_percent(measure(change)) if change else "" for change in changes)])
        tables.append("\n".join([f"{drift.tuned}: {title}, in percent", *_aligned(rows)]))
    return tables


def _remarks(drift: Drift) -> str:
    lines = []
    for name in MEASURES:
        layer, part, value = _moved_most(drift, name)
        lines.append(f"Moved most by {name}: {_place(layer, part)} ({_percent(value)}%).")
    for reason, names in drift.skipped.items():
        more = f" and {len(names) - MOST_NAMES} more (--json names all)" if len(names) > MOST_NAMES else ""
        lines.append(f"Skipped, {reason}: {', '.join(names[:MOST_NAMES])}{more}.")
    return "\n".join(lines)


def _moved_most(drift: Drift, measure: str) -> tuple[str, str, float]:
    """The layer and part with the largest value; a head is left out where there is anything else."""
    values = [(MEASURES[measure](change) or 0.0, *cell) for cell, change in drift.cells.items()]
    value, layer, part = max(row for row in values if row[2] not in (HEAD, OTHER) or len(values) == 1)
    return layer, part, value


def _place(layer: str, part: str) -> str:
    return part if part == layer else f"{part} of layer {layer}" if layer.isdigit() else f"{part} of the {layer}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _percent(value: float | None) -> str:
    """Three figures that tell small from large: 0.0213, 1.25, 167, 7,077."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
