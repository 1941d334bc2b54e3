"""A preview for the terminal: each token in the colour of its entropy, and under it what each strategy would mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.style import Style
from rich.text import Text

from maskwise.lab.previews.shown_text import EntropyScale, Piece, ShownText, ShownWindow

_MARGIN = 10
NARROWEST = 8
LEGEND_CELLS = 24
_COLOURS = ((244, 246, 248), (255, 209, 128), (232, 98, 58))
_MASKED = Style(color="rgb(72,136,196)", bgcolor="rgb(72,136,196)")
QUIET = Style(dim=True)


class TokenColumn(NamedTuple):
    """One token with what stands under it: `masked` has one truth for each strategy."""

    text: str
    nats: str
    colour: Style
    masked: tuple[bool, ...]
    begins_line: bool

    @property
    def width(self) -> int:
        return max(cell_len(self.text), len(self.nats))


def print_preview(preview: ShownText) -> None:
    """Prints a preview on stdout, in colour where stdout is a terminal that has it."""
    console = Console(highlight=False)
    console.print(terminal_view(preview, console.width, coloured=console.color_system is not None))


def terminal_view(preview: ShownText, width: int, *, coloured: bool) -> Text:
    """Returns a preview wrapped at `width` cells; what the colours say, the numbers under the tokens say too."""
    margin = max(_MARGIN, *(cell_len(name) + 1 for name in preview.strategies))
    scale, available = preview.scale(), max(width - margin, NARROWEST)
    view = _heading(preview, scale, coloured)
    for number, window in enumerate(preview.windows, 1):
        if len(preview.windows) > 1:
            view.append(f"\nwindow {number} of {len(preview.windows)}: {_budget(window)}\n", QUIET)
        for line in _lines(_columns(window, preview.strategies, scale, available), available):
            view.append("\n").append_text(_system(line, preview.strategies, margin))
    return view


def _heading(preview: ShownText, scale: EntropyScale, coloured: bool) -> Text:
    how = f"in {preview.folds} folds" if preview.folds else "unmasked"
    spent = _budget(preview.windows[0]) if len(preview.windows) == 1 else f"{len(preview.windows)} windows"
    view = Text(f"{preview.checkpoint}, scored {how}. Each strategy masks {preview.rate:.4g} of the tokens: {spent}.\n")
    view.append(f"Entropy from {scale.low:.1f} ")
    if coloured:
        for cell in range(LEGEND_CELLS):
            view.append(" ", _colour(cell / (LEGEND_CELLS - 1)))
    return view.append(f" to {scale.high:.1f} nats. ## continues a word.\n")


def _budget(window: ShownWindow) -> str:
    return f"{int(window.picks['high'].sum())} of {int(window.may_mask_N.sum())}"


def _columns(window: ShownWindow, strategies: Sequence[str], scale: EntropyScale, widest: int) -> Iterator[TokenColumn]:
    entropies, may_mask = window.entropy_N.tolist(), window.may_mask_N.tolist()
    masked = zip(*(window.picks[strategy].tolist() for strategy in strategies), strict=True)
    for i, (piece, picks) in enumerate(zip(window.pieces, masked, strict=True)):
        nats = f"{entropies[i]:.1f}" if may_mask[i] else "-"
        colour = _colour(scale.at(entropies[i])) if may_mask[i] else QUIET
        yield TokenColumn(_shown(piece, widest), nats, colour, picks, "\n" in piece.before)


def _lines(columns: Iterator[TokenColumn], width: int) -> Iterator[list[TokenColumn]]:
    line: list[TokenColumn] = []
    used = 0
    for column in columns:
        if line and (column.begins_line or used + column.width > width):
            yield line
            line, used = [], 0
        line.append(column)
        used += column.width + 1
    yield line


def _system(line: Sequence[TokenColumn], strategies: Sequence[str], margin: int) -> Text:
    """Returns one line of tokens with the lines that belong under it."""
    blank, nats = " " * margin, "nats".ljust(margin)
    rows = [_row(blank, line, [column.text for column in line], [column.colour for column in line])]
    rows.append(_row(nats, line, [column.nats for column in line], [QUIET] * len(line)))
    for i, strategy in enumerate(strategies):
        marks = ["#" * column.width if column.masked[i] else "" for column in line]
        rows.append(_row(strategy.ljust(margin), line, marks, [_MASKED] * len(line)))
    return Text("\n").join(rows).append("\n")


def _row(name: str, line: Sequence[TokenColumn], cells: Sequence[str], styles: Sequence[Style]) -> Text:
    row = Text(name)
    for column, cell, style in zip(line, cells, styles, strict=True):
        row.append(cell, style).append(" " * (column.width + 1 - cell_len(cell)))
    row.rstrip()
    return row


def _shown(piece: Piece, widest: int) -> str:
    """The token's own text, safe to print; the vocabulary's name where a token covers none (bytes of a character)."""
    text = ("##" if piece.continues else "") + (piece.text or piece.name)
    text = "".join(chr(0x2400 + ord(c)) if ord(c) < 32 else c if c.isprintable() else "\ufffd" for c in text)
    return text if cell_len(text) <= widest else set_cell_size(text, widest - 1) + "~"


def _colour(share: float) -> Style:
    """Dark text on a mixture of the two neighbouring colours: readable on a light and on a dark terminal."""
    place = share * (len(_COLOURS) - 1)
    i = min(int(place), len(_COLOURS) - 2)
    mixed = [round(a + (b - a) * (place - i)) for a, b in zip(_COLOURS[i], _COLOURS[i + 1], strict=True)]
    return Style(color="rgb(20,28,36)", bgcolor="rgb({},{},{})".format(*mixed))
