"""Pictures of a study for a page: every seed as a dot, evaluations over training, shares as bars.

Each picture is small enough for a phone and stands next to others if there is room. Lengths are in points, the units of
the SVG; `y` of rows grows downward.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maskwise.lab.drawing import (
    BAND,
    INK,
    LINE_COLOURS,
    PAPER,
    SHARE_COLOURS,
    SOFT,
    draw_inline,
    mark,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 360.0
LABELS = 142.0  # room for names at the left of rows
_MARGIN = 14.0
ROW, BAR_ROW = 34.0, 26.0
_DOT = 7.2
LETTER = 6.6  # the mean width of a letter, to cut names that would not fit
DASHES = ("-", (0, (7, 3)), (0, (2, 3)), (0, (9, 3, 2, 3)), (0, (4, 2)))
WARM_UP = 0.1  # the share of training whose evaluations may lie above the picture
_TEXT = {"fontsize": 11, "color": SOFT}


@dataclass(frozen=True)
class Strip:
    """A row of dots: one value a seed, their mean and its interval; nan where there is none. `arm` gives the colour."""

    label: str
    by_seed: Mapping[int, float]
    mean: float
    low: float
    high: float
    arm: int


@dataclass(frozen=True)
class ChartLine:
    """A line of points (x, y); `bold` is the mean of an arm, others are its seeds."""

    arm: int
    points: Sequence[tuple[float, float]]
    bold: bool


@dataclass(frozen=True)
class Bar:
    """A row of shares that add up to 1."""

    label: str
    shares: Sequence[float]


def strips(title: str, rows: Sequence[Strip], *, line: float | None = None, line_name: str = "",
           band: float | None = None) -> str:  # fmt: skip
    """Returns rows of dots over one axis.

    `line` is a value to hold them against, such as the constant classifier's; `band` shades all within it of 0.
    """
    low, high = _limits(rows, line)
    top, bottom = 4.0, 8 + ROW * len(rows)
    height = bottom + (40 if line_name else 22)
    middles = [8 + ROW * (number + 0.5) for number in range(len(rows))]

    def draw(figure: Figure) -> None:
        ax = _axes(figure, LABELS, top, height - bottom)
        ax.set(xlim=(low, high), ylim=(bottom, top))
        ax.locator_params(axis="x", nbins=5)
        ax.grid(axis="x")
        _name_rows(ax, middles, [row.label for row in rows])
        if band is not None and max(-band, low) < min(band, high):
            mark(ax.axvspan(max(-band, low), min(band, high), facecolor=BAND), "band", f"within {band:g} of 0")
        for middle, row in zip(middles, rows, strict=True):
            _strip(ax, row, middle)
        if line is not None:
            _reference(ax, line, line_name)

    return draw_inline(title, (_WIDTH, height), draw)


def curves(title: str, x_name: str, lines: Sequence[ChartLine]) -> str:
    """Returns evaluation losses over training; those of its first tenth may lie above the picture."""
    last = max(x for line in lines for x, _ in line.points)
    ys = [y for line in lines for x, y in line.points if x >= WARM_UP * last]

    def draw(figure: Figure) -> None:
        ax = _axes(figure, 44, 8, 36)
        ax.set(xlim=_widened(0.0, last, 0.0), ylim=_widened(min(ys), max(ys), 0.05))
        ax.locator_params(axis="x", nbins=4)
        ax.locator_params(axis="y", nbins=5)
        ax.xaxis.set_major_formatter(_count)
        ax.grid(axis="y")
        ax.set_xlabel(x_name, **_TEXT)
        for line in sorted(lines, key=lambda line: line.bold):
            _curve(ax, line)

    return draw_inline(title, (_WIDTH, 236.0), draw)


def bars(title: str, rows: Sequence[Bar], names: Sequence[str]) -> str:
    """Returns one bar a row, cut into shares; `names` say what the shares are of."""
    height = 6 + BAR_ROW * len(rows)
    middles = [15.5 + BAR_ROW * number for number in range(len(rows))]

    def draw(figure: Figure) -> None:
        ax = _axes(figure, LABELS, 0, 0)
        ax.set(xlim=(0, 1), ylim=(height, 0), xticks=[])
        _name_rows(ax, middles, [row.label for row in rows])
        for middle, row in zip(middles, rows, strict=True):
            _bar(ax, row, names, middle)

    return draw_inline(title, (_WIDTH, height), draw)


def swatch(arm: int) -> str:
    """Returns the sample of an arm's line and dot for a legend."""

    def draw(figure: Figure) -> None:
        from matplotlib.patches import Circle

        ax = figure.add_axes((0, 0, 1, 1), frame_on=False)
        ax.set(xlim=(0, 30), ylim=(0, 10), xticks=[], yticks=[])
        _curve(ax, ChartLine(arm, [(1, 5), (29, 5)], bold=True), clip_on=False)
        ax.add_patch(
            Circle((15, 5), _DOT / 2, facecolor=_dot_colour(arm), edgecolor=PAPER, linewidth=0.8, clip_on=False)
        )

    return draw_inline(None, (30, 10), draw, kind="swatch")


def mean_points(many: Iterable[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Returns the mean of curves at the places that all of them have; nothing for no curves."""
    tables = [dict(points) for points in many]
    shared = set.intersection(*map(set, tables)) if tables else set()
    return [(x, sum(table[x] for table in tables) / len(tables)) for x in sorted(shared)]


def _limits(rows: Sequence[Strip], line: float | None) -> tuple[float, float]:
    """The ends of the axis: all dots, intervals and the line, as far as they leave the dots apart."""
    values = [value for row in rows for value in row.by_seed.values()]
    low, high = min(values), max(values)
    room = max((high - low), 1e-6 * max(abs(high), 1.0))
    whole = [edge for row in rows for edge in (row.low, row.high) if not math.isnan(edge)]
    low, high = max(low - room, min([*whole, low])), min(high + room, max([*whole, high]))
    if line is not None and low - (high - low) <= line <= high + (high - low):
        low, high = min(low, line), max(high, line)
    return _widened(low, high, 0.06)


def _widened(low: float, high: float, share: float) -> tuple[float, float]:
    """The ends of an axis with a share of it added at either end; ends that are the same are moved apart."""
    largest = max(abs(low), abs(high), 1.0)
    pad = 0.5 * largest if high - low < 1e-9 * largest else share * (high - low)
    return low - pad, high + pad


def _axes(figure: Figure, left: float, above: float, below: float) -> Axes:
    """Axes without a frame at these distances from the ends of the picture."""
    width, height = 72 * figure.get_size_inches()
    room = (left / width, below / height, (width - left - _MARGIN) / width, (height - below - above) / height)
    ax = figure.add_axes(room, frame_on=False)
    ax.tick_params(length=0, labelsize=11, pad=7)
    return ax


def _name_rows(ax: Axes, middles: Sequence[float], names: Sequence[str]) -> None:
    most = int((LABELS - 8) / LETTER)
    cut = [name if len(name) <= most else name[: most - 1] + "…" for name in names]
    for text, name in zip(ax.set_yticks(middles, cut, fontsize=11.5, color=INK), names, strict=True):
        mark(text.label1, "name", name)


def _strip(ax: Axes, row: Strip, middle: float) -> None:
    low, high = ax.get_xlim()
    color, above = _colour(row.arm), middle - 6
    if not math.isnan(row.low):
        hint = f"{row.label}: mean {row.mean:.4g}, interval {row.low:.4g} to {row.high:.4g}"
        ends = max(row.low, low), min(row.high, high)
        mark(ax.plot(ends, (above, above), color=color, linewidth=2)[0], "interval", hint)
        for edge, tip, is_right in ((row.low, ends[0], False), (row.high, ends[1], True)):
            _end_of(ax, low <= edge <= high, tip, above, color, is_right)
        mark(ax.plot(row.mean, above, "|", color=color, markersize=12, markeredgewidth=4)[0], "mean", hint)
    for seed, value in row.by_seed.items():
        _dot(ax, row.arm, value, middle + 7, f"{row.label}, seed {seed}: {value:.4g}")


def _dot(ax: Axes, arm: int, x: float, y: float, hint: str) -> None:
    look: dict[str, Any] = {"markerfacecolor": _dot_colour(arm), "markeredgecolor": PAPER, "markeredgewidth": 0.8}
    mark(ax.plot(x, y, "o", markersize=_DOT, clip_on=False, **look)[0], "dot", hint)


def _end_of(ax: Axes, is_inside: bool, tip: float, y: float, color: str, is_right: bool) -> None:
    """Draws a stop where an interval ends in the picture, and an arrow head where it goes on outside."""
    from matplotlib.markers import CARETLEFTBASE, CARETRIGHTBASE

    arrow = CARETRIGHTBASE if is_right else CARETLEFTBASE
    marker, size, width = ("|", 6, 2) if is_inside else (arrow, 8, 0)
    end = ax.plot(tip, y, color=color, marker=marker, markersize=size, markeredgewidth=width, clip_on=False)[0]
    mark(end, "stop" if is_inside else "arrow")


def _reference(ax: Axes, value: float, name: str) -> None:
    low, high = ax.get_xlim()
    if low <= value <= high:
        mark(ax.axvline(value, color=INK, linewidth=1.2, linestyle=(0, (4, 3))), "reference")
        text = f"dashed: {name} {value:.4g}" if name else ""
    else:
        text = f"{name} {value:.4g}, {'left' if value < low else 'right'} of the picture"
    ax.set_xlabel(text, **_TEXT)


def _curve(ax: Axes, line: ChartLine, *, clip_on: bool = True) -> None:
    x, y = zip(*line.points, strict=True)
    dashes = DASHES[line.arm % len(DASHES)]
    look: dict[str, Any] = {"linewidth": 2.2, "linestyle": dashes} if line.bold else {"linewidth": 1, "alpha": 0.28}
    mark(ax.plot(x, y, color=_colour(line.arm), clip_on=clip_on, **look)[0], "curve" if line.bold else "thin")


def _bar(ax: Axes, row: Bar, names: Sequence[str], middle: float) -> None:
    begin = 0.0
    for share, name, color in zip(row.shares, names, SHARE_COLOURS, strict=True):
        piece = ax.barh(middle, share, 19, begin, color=color)[0]
        mark(piece, "share", f"{row.label}, {name}: {share:.1%}")
        if share * (_WIDTH - LABELS - _MARGIN) > 26:
            place = {"ha": "center", "va": "center_baseline", "fontsize": 10.5}
            mark(ax.text(begin + share / 2, middle, f"{share:.0%}", **place), "inside")
        begin += share


def _colour(arm: int) -> str:
    return LINE_COLOURS[arm % len(LINE_COLOURS)]


def _dot_colour(arm: int) -> tuple[str, float]:
    return _colour(arm), 0.62


def _count(value: float, _: float) -> str:
    return f"{value:.1e}".replace("e+", "e") if value >= 1e6 else f"{value:,.0f}"
