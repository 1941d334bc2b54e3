"""The drift of tuned checkpoints as a heat map: layers by parts, one row of panels a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwise.errors import InputError
from maskwise.lab.drawing import draw_file
from maskwise.lab.weight_changes.report import MEASURES, DriftReport, parts_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS = (".svg", ".png")
CELL_WIDTH, CELL_HEIGHT, _MARGIN = 0.55, 0.32, 1.9  # inches
DARK_BELOW = 0.6  # of viridis


def check_picture(path: Path) -> None:
    """Raises InputError for a picture that is neither SVG nor PNG."""
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"--picture writes {' or '.join(_FORMATS)}; found {path.name!r}.")


def draw_drift(report: DriftReport, path: Path) -> None:
    """Writes the heat maps of both measures as SVG or PNG; the same bytes for the same report.

    The colour of a measure means the same in every panel, on a logarithmic scale.
    """
    check_picture(path)
    height, width = max(len(drift.layers) for drift in report.drifts), max(len(parts_in(d)) for d in report.drifts)
    size = (2 * (CELL_WIDTH * width + _MARGIN), len(report.drifts) * (CELL_HEIGHT * height + _MARGIN))

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(report.drifts), len(MEASURES), squeeze=False)
        for column, measure in enumerate(MEASURES):
            _draw_measure(figure, axes[:, column], report, measure)

    draw_file(path, size, draw)


def _draw_measure(figure: Figure, axes: Any, report: DriftReport, measure: str) -> None:
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator, MaxNLocator

    grids = [_grid(drift, measure) for drift in report.drifts]
    seen = np.concatenate([grid[grid > 0] for grid in grids])
    norm = LogNorm(seen.min(), max(seen.max(), seen.min() * 1.01)) if seen.size else None
    ticks = LogLocator(subs=(1, 3)) if seen.size and seen.max() > 10 * seen.min() else MaxNLocator(4)
    for ax, drift, grid in zip(axes, report.drifts, grids, strict=True):
        ax.set_facecolor("lightgray")
        image = ax.imshow(np.ma.masked_where(~(grid > 0), grid), norm=norm, cmap="viridis", aspect="auto")
        ax.set_xticks(range(len(parts_in(drift))), parts_in(drift), rotation=45, ha="right")
        ax.set_yticks(range(len(drift.layers)), drift.layers)
        ax.set_ylabel("layer")
        ax.invert_yaxis()
        ax.set_title(f"{drift.tuned}\n{measure}, %")
        _write_values(ax, grid, image)
        figure.colorbar(image, ax=ax, ticks=ticks, format="{x:g}").minorticks_off()


def _grid(drift: Any, measure: str) -> np.ndarray:
    changes = [[drift.change(layer, part) for part in parts_in(drift)] for layer in drift.layers]
    values = [[MEASURES[measure](change) if change else None for change in row] for row in changes]
    return np.array(values, dtype=float)


def _write_values(ax: Any, grid: np.ndarray, image: Any) -> None:
    for (row, column), value in np.ndenumerate(grid):
        if not np.isnan(value):
            text = f"{value:.0f}" if value >= 100 else f"{value:.2g}"
            is_light = value == 0 or image.norm(value) > DARK_BELOW
            ax.text(column, row, text, ha="center", va="center", fontsize=6, color="black" if is_light else "white")
