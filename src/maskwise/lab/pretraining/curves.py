"""Pictures of what was measured along training runs, by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from maskwise.lab.drawing import LIMIT, SOFT, draw_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_WIDTH, PANEL_HEIGHT = 7.0, 2.6  # inches


class LoggedCurve(NamedTuple):
    """A figure at each of the steps where it was taken."""

    steps: list[int]
    values: list[float]


class Panel(NamedTuple):
    """Curves by name that share an axis, one a run for instance; `limit` is a value not to be exceeded."""

    title: str
    curves: Mapping[str, LoggedCurve]
    limit: float | None = None


def read_curve(records: Iterable[Mapping[str, Any]], name: str) -> LoggedCurve:
    """Returns the figure `name` of the records of a `metrics.jsonl` (`runs.read_metrics`).

    >>> read_curve([{"step": 0, "loss": 5.0}, {"step": 4, "epoch": 1}, {"step": 9, "loss": 3.0}], "loss")
    LoggedCurve(steps=[0, 9], values=[5.0, 3.0])
    """
    points = [(record["step"], record[name]) for record in records if name in record]
    return LoggedCurve([step for step, _ in points], [value for _, value in points])


def draw_curves(panels: Sequence[Panel], path: Path, *, marked_step: int | None = None) -> None:
    """Writes an SVG of the panels under one another, over the same steps; the same bytes for the same curves.

    `marked_step` is the step of the model that is kept.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for ax, panel in zip(axes, panels, strict=True):
            _draw_panel(ax, panel, marked_step)
        axes[-1].set_xlabel("step")

    draw_file(path, (PANEL_WIDTH, PANEL_HEIGHT * len(panels)), draw)


def _draw_panel(ax: Axes, panel: Panel, marked_step: int | None) -> None:
    for name, curve in panel.curves.items():
        ax.plot(curve.steps, curve.values, marker="o", markersize=3, label=name)
    if panel.limit is not None:
        ax.axhline(panel.limit, color=LIMIT, linestyle="--", linewidth=1, label="tolerance")
    if marked_step is not None:
        ax.axvline(marked_step, color=SOFT, linestyle=":", linewidth=1, label=f"kept: step {marked_step:,}")
    ax.set_title(panel.title)
    ax.grid()
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))  # never over the curves
