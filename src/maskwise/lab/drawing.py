"""One way of drawing: matplotlib figures of one look, as files or as SVG inside a page, the same bytes every time."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as Tree

from maskwise.files.atomic import atomic_write

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

Draw = Callable[["Figure"], None]
LINE_COLOURS = ("#55616c", "#c8501f", "#1f6fb2", "#178a64", "#9a4a9c", "#a57800", "#0f8fa3", "#b3304f")
SHARE_COLOURS = ("#e6edf2", "#ffe2ad", "#fdc06d", "#f1914f", "#cf5a2a")  # from the most frequent to the rarest
PAPER, GRID, BAND, SOFT, INK = "#ffffff", "#d8e0e7", "#e4edf6", "#566573", "#1d2730"
LIMIT = LINE_COLOURS[7]  # a value not to be exceeded
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SVG, _HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


def colour_variables() -> dict[str, str]:
    """Returns the CSS variables of a page's pictures with the colours they have in light; dark is the page's own.

    >>> colour_variables()["a1"]
    '#c8501f'
    """
    plain = {"paper": PAPER, "line": GRID, "band": BAND, "soft": SOFT, "ink": INK}
    lines = {f"a{number}": colour for number, colour in enumerate(LINE_COLOURS)}
    return plain | lines | {f"q{number}": colour for number, colour in enumerate(SHARE_COLOURS, 1)}


def draw_file(path: Path, size: tuple[float, float], draw: Draw) -> None:
    """Writes what `draw` puts on a figure of this size in inches; the ending of the name is the format."""
    atomic_write(path, _rendered(draw, path.suffix[1:].lower(), "maskwise", figsize=size, layout="constrained"))


def draw_inline(title: str | None, size: tuple[float, float], draw: Draw, *, kind: str = "chart") -> str:
    """Returns what `draw` puts on a figure as an `<svg class=kind>` whose colours are variables of the page.

    `size` is in points, which are the units of the SVG. No font is named, so that the page's own is taken. Two pictures
    of a page need different titles: the names inside are made of them. Without a title it is only a decoration.
    """
    inches = (size[0] / 72, size[1] / 72)
    root = Tree.fromstring(_rendered(draw, "svg", title or "maskwise", figsize=inches, frameon=False))
    role = {"role": "img", "aria-label": title} if title else {"aria-hidden": "true"}
    page = Tree.Element("svg", {"class": kind, "viewBox": root.attrib["viewBox"], **role})
    page.extend(root[2:])  # without the metadata and the style sheet, which would hold for the whole page
    variables = {colour: f"var(--{name})" for name, colour in colour_variables().items()}
    for element in list(page.iter())[1:]:
        _adapt(element, variables)
    return Tree.tostring(page, encoding="unicode")


def mark(artist: Artist, kind: str, hint: str = "") -> None:
    """Makes `kind` the class of a mark inside a page, and `hint` what it shows when it is pointed at."""
    artist.set_gid(f"{kind} {hint}")


def _rendered(draw: Draw, kind: str, salt: str, **figure_settings: Any) -> bytes:
    """The salt makes the names inside an SVG; neither these nor the user's own settings of matplotlib change it."""
    import matplotlib.style
    from matplotlib.figure import Figure

    data = io.BytesIO()
    with matplotlib.style.context(["default", _look() | {"svg.hashsalt": salt}]), warnings.catch_warnings():
        if kind == "svg":  # its text is shown in the reader's fonts
            warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        figure = Figure(**figure_settings)
        draw(figure)
        figure.savefig(data, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return _NOT_XML.sub("\ufffd", data.getvalue().decode()).encode() if kind == "svg" else data.getvalue()


def _look() -> dict[str, Any]:
    from cycler import cycler

    return {
        "svg.fonttype": "none", "text.parse_math": False, "axes.formatter.useoffset": False,
        "text.color": INK, "axes.labelcolor": SOFT, "xtick.color": SOFT, "ytick.color": SOFT,
        "axes.edgecolor": SOFT, "grid.color": GRID, "axes.prop_cycle": cycler(color=LINE_COLOURS[1:]),
        "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "lines.scale_dashes": False,
        "lines.solid_capstyle": "butt", "grid.linewidth": 1,
        "axes.titlelocation": "left", "axes.titlesize": 10, "axes.labelsize": 9,
        "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.frameon": False, "legend.fontsize": 8,
    }  # fmt: skip


def _adapt(element: Tree.Element, variables: Mapping[str, str]) -> None:
    """Makes an element of matplotlib's one of a page: colours by variables, short numbers, classes and hints."""
    element.tag = element.tag.removeprefix(_SVG)
    element.tail = None
    if element.tag != "text":
        element.text = None
    if _HREF in element.attrib:
        element.set("href", element.attrib.pop(_HREF))
    gid = element.attrib.pop("id", "") if element.tag == "g" else ""
    for name, value in element.attrib.items():
        element.set(name, re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", value))
    if "style" in element.attrib:
        style = re.sub(r"font: (\S+) [^;]+", r"font-size: \1", element.attrib["style"])  # older matplotlib
        style = re.sub(r"font-family: [^;]+; ", "", style)
        element.set("style", re.sub(r"#[0-9a-f]{6}", lambda colour: variables[colour[0]], style))
    kind, is_marked, hint = gid.partition(" ")
    if is_marked:
        element.set("class", kind)
    if hint:
        title = Tree.Element("title")
        title.text = hint
        element.insert(0, title)
