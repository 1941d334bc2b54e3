"""Pictures of a study as SVG for a page: every seed as a dot, evaluations over training, shares as bars.

Each picture is small enough for a phone and stands next to others if there is room. Colours are classes, `a0` to `a7`
for arms and `q1` to `q5` for shares, so that the page sets them for light, dark and print.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as Tree

_WIDTH = 360.0
LABELS = 142.0  # room for names at the left of rows
_MARGIN = 14.0
ROW = 34.0
LETTER = 6.6  # the mean width of a letter, to cut names that would not fit
NUM_COLOURS = 8
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2")
WARM_UP = 0.1  # the share of training whose evaluations may lie above the picture


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


class AxisScale:
    """Where a value lies between two ends of the picture."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        largest = max(abs(low), abs(high), 1.0)
        if high - low < 1e-9 * largest:
            low, high = low - 0.5 * largest, high + 0.5 * largest
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def holds(self, value: float) -> bool:
        """Whether the value lies in the picture."""
        return self.low <= value <= self.high

    def ticks(self, number: int = 5) -> list[tuple[float, str]]:
        """Returns about this many round values with their labels.

        >>> [label for _, label in AxisScale(0.68, 0.742, 0, 1).ticks()]
        ['0.68', '0.70', '0.72', '0.74']
        """
        rough = (self.high - self.low) / number
        size = 10 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
        first = math.ceil(self.low / step - 1e-9)
        values = [step * i for i in range(first, math.floor(self.high / step + 1e-9) + 1)]
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(value, _tick(value, step, digits)) for value in values]


def strips(title: str, rows: Sequence[Strip], *, line: float | None = None, line_name: str = "",
           band: float | None = None) -> str:  # fmt: skip
    """Returns rows of dots over one axis.

    `line` is a value to hold them against, such as the constant classifier's; `band` shades all within it of 0.
    """
    values = [value for row in rows for value in row.by_seed.values()]
    low, high = min(values), max(values)
    room = max((high - low), 1e-6 * max(abs(high), 1.0))
    whole = [edge for row in rows for edge in (row.low, row.high) if not math.isnan(edge)]
    low, high = max(low - room, min([*whole, low])), min(high + room, max([*whole, high]))
    if line is not None and low - (high - low) <= line <= high + (high - low):
        low, high = min(low, line), max(high, line)
    pad = 0.06 * (high - low)
    x = AxisScale(low - pad, high + pad, LABELS, _WIDTH - _MARGIN)
    height = 8 + ROW * len(rows)
    svg = _picture(title, height + (40 if line_name else 22))
    if band is not None:
        _band(svg, x, band, height)
    _axis(svg, x, height)
    for number, row in enumerate(rows):
        _strip(svg, x, row, 8 + ROW * (number + 0.5))
    if line is not None:
        _line(svg, x, line, line_name, height)
    return Tree.tostring(svg, encoding="unicode")


def curves(title: str, x_name: str, lines: Sequence[ChartLine]) -> str:
    """Returns evaluation losses over training; those of its first tenth may lie above the picture."""
    xs = [x for line in lines for x, _ in line.points]
    last = max(xs)
    ys = [y for line in lines for x, y in line.points if x >= WARM_UP * last]
    pad = 0.05 * (max(ys) - min(ys))
    left, height = 44.0, 236.0
    x = AxisScale(0.0, last, left, _WIDTH - _MARGIN)
    y = AxisScale(min(ys) - pad, max(ys) + pad, height - 36, 8)
    svg = _picture(title, height)
    for value, label in y.ticks():
        _add(svg, "line", cls="grid", x1=left, x2=_WIDTH - _MARGIN, y1=y(value), y2=y(value))
        _text(svg, label, left - 6, y(value) + 4, "tick", anchor="end")
    for value, label in x.ticks(4):
        _text(svg, label, x(value), height - 20, "tick", anchor="middle")
    _text(svg, x_name, (left + _WIDTH - _MARGIN) / 2, height - 4, "tick", anchor="middle")
    inside = _add(svg, "svg", x=left, y=4, width=_WIDTH - left, height=height - 36, viewBox=_box(left, 4, height - 36))
    for line in sorted(lines, key=lambda line: line.bold):
        _curve(inside, x, y, line)
    return Tree.tostring(svg, encoding="unicode")


def bars(title: str, rows: Sequence[Bar], names: Sequence[str]) -> str:
    """Returns one bar a row, cut into shares; `names` say what the shares are of."""
    height = 6 + 26.0 * len(rows)
    svg = _picture(title, height)
    x = AxisScale(0.0, 1.0, LABELS, _WIDTH - _MARGIN)
    for number, row in enumerate(rows):
        top, begin = 6 + 26.0 * number, 0.0
        _name(svg, row.label, top + 14)
        for part, (share, name) in enumerate(zip(row.shares, names, strict=True), 1):
            width = x(begin + share) - x(begin)
            piece = _add(svg, "rect", cls=f"q{part}", x=x(begin), y=top, width=width, height=19)
            _hint(piece, f"{row.label}, {name}: {share:.1%}")
            if width > 26:
                _text(svg, f"{share:.0%}", x(begin) + width / 2, top + 13.5, f"inside i{part}", anchor="middle")
            begin += share
    return Tree.tostring(svg, encoding="unicode")


def swatch(arm: int) -> str:
    """Returns the sample of an arm's line and dot for a legend."""
    svg = Tree.Element("svg", {"viewBox": "0 0 30 10", "class": "swatch", "aria-hidden": "true"})
    _curve(svg, lambda x: x, lambda y: y, ChartLine(arm, [(1, 5), (29, 5)], bold=True))
    _add(svg, "circle", cls=f"dot {colour(arm)}", cx=15, cy=5, r=3.5)
    return Tree.tostring(svg, encoding="unicode")


def colour(arm: int) -> str:
    """Returns the class of an arm's colour."""
    return f"a{arm % NUM_COLOURS}"


def mean_points(many: Iterable[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Returns the mean of curves at the places that all of them have; nothing for no curves."""
    tables = [dict(points) for points in many]
    shared = set.intersection(*map(set, tables)) if tables else set()
    return [(x, sum(table[x] for table in tables) / len(tables)) for x in sorted(shared)]


def _strip(svg: Tree.Element, x: AxisScale, row: Strip, middle: float) -> None:
    _name(svg, row.label, middle + 4)
    group = _add(svg, "g", cls=colour(row.arm))
    if not math.isnan(row.low):
        start, end = x(max(row.low, x.low)), x(min(row.high, x.high))
        above = middle - 6
        _add(group, "line", cls="interval", x1=start, x2=end, y1=above, y2=above)
        for edge, tip, outward in ((row.low, start, -1), (row.high, end, 1)):
            _end_of(group, x.holds(edge), tip, above, outward)
        _add(group, "rect", cls="mean", x=x(row.mean) - 2, y=above - 6, width=4, height=12)
        _hint(group, f"{row.label}: mean {row.mean:.4g}, interval {row.low:.4g} to {row.high:.4g}")
    for seed, value in row.by_seed.items():
        dot = _add(group, "circle", cls="dot", cx=x(value), cy=middle + 7, r=3.6)
        _hint(dot, f"{row.label}, seed {seed}: {value:.4g}")


def _end_of(group: Tree.Element, is_inside: bool, tip: float, y: float, outward: int) -> None:
    """Draws a stop where an interval ends in the picture, and an arrow head if it continues outside."""
    if is_inside:
        _add(group, "line", cls="interval", x1=tip, x2=tip, y1=y - 3, y2=y + 3)
    else:
        points = f"{tip + 5 * outward:.1f},{y:.1f} {tip:.1f},{y - 4:.1f} {tip:.1f},{y + 4:.1f}"
        _add(group, "polygon", cls="arrow", points=points)


def _band(svg: Tree.Element, x: AxisScale, band: float, height: float) -> None:
    start, end = x(max(-band, x.low)), x(min(band, x.high))
    if end > start:
        _hint(
            _add(svg, "rect", cls="band", x=start, y=4, width=end - start, height=height - 4), f"within {band:g} of 0"
        )


def _axis(svg: Tree.Element, x: AxisScale, height: float) -> None:
    for value, label in x.ticks():
        _add(svg, "line", cls="grid", x1=x(value), x2=x(value), y1=4, y2=height)
        _text(svg, label, x(value), height + 16, "tick", anchor="middle")


def _line(svg: Tree.Element, x: AxisScale, value: float, name: str, height: float) -> None:
    if x.holds(value):
        _add(svg, "line", cls="reference", x1=x(value), x2=x(value), y1=2, y2=height)
        text = f"dashed: {name} {value:.4g}" if name else ""
    else:
        text = f"{name} {value:.4g}, {'left' if value < x.low else 'right'} of the picture"
    if text:
        _text(svg, text, (LABELS + _WIDTH - _MARGIN) / 2, height + 33, "tick", anchor="middle")


def _curve(svg: Tree.Element, x: Any, y: Any, line: ChartLine) -> None:
    path = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in line.points)
    shape = _add(svg, "polyline", cls=f"{'curve' if line.bold else 'thin'} {colour(line.arm)}", points=path)
    if line.bold and DASHES[line.arm % len(DASHES)]:
        shape.set("stroke-dasharray", DASHES[line.arm % len(DASHES)])


def _picture(title: str, height: float) -> Tree.Element:
    box = {"viewBox": f"0 0 {_WIDTH:g} {height:g}", "role": "img", "aria-label": title, "class": "chart"}
    return Tree.Element("svg", box)


def _box(left: float, top: float, height: float) -> str:
    return f"{left:g} {top:g} {_WIDTH - left:g} {height:g}"


def _name(svg: Tree.Element, name: str, y: float) -> None:
    most = int((LABELS - 8) / LETTER)
    text = _text(svg, name if len(name) <= most else name[: most - 1] + "…", LABELS - 8, y, "name", anchor="end")
    _hint(text, name)


def _text(svg: Tree.Element, words: str, x: float, y: float, cls: str, *, anchor: str = "start") -> Tree.Element:
    text = Tree.SubElement(svg, "text", {"class": cls, "x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor})
    text.text = words
    return text


def _add(parent: Tree.Element, tag: str, *, cls: str = "", **attributes: float | str) -> Tree.Element:
    plain = {name: f"{value:.1f}" if isinstance(value, int | float) else value for name, value in attributes.items()}
    return Tree.SubElement(parent, tag, plain | ({"class": cls} if cls else {}))


def _hint(shape: Tree.Element, words: str) -> None:
    Tree.SubElement(shape, "title").text = words


def _tick(value: float, step: float, digits: int) -> str:
    if step >= 1e6 or (abs(value) >= 1e6 and step >= 1e3):
        return f"{value:.1e}".replace("e+", "e").replace("e0", "e") if value else "0"
    return f"{value:,.{digits}f}"
