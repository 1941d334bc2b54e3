"""A preview as one HTML page that needs nothing else: the strategy and the rate are switched in place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from torch import Tensor

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.lab.previews.shown_text import EntropyScale, ShownText, ShownWindow

NOISE_STEPS = 2**24


def write_page(preview: ShownText, path: Path) -> None:
    """Writes a preview's page; raises InputError if the file cannot be written."""
    try:
        atomic_write(path, preview_page(preview))
    except OSError as error:
        raise InputError(
            f"The page cannot be written to {path}: {error.strerror}. Give a file in a folder that exists."
        ) from None


def preview_page(preview: ShownText) -> str:
    """Returns a preview as a self-contained HTML page.

    Its script picks tokens exactly as `Masker` does, from the float32 scores and the noise that the page carries. The
    address may name what is shown: `page.html#strategy=mid&rate=0.3`.
    """
    scale = preview.scale()
    template = Template(files("maskwise.lab.previews").joinpath("preview.html").read_text(encoding="utf-8"))
    return template.substitute(
        checkpoint=escape(preview.checkpoint),
        scored=f"scored masked, in {preview.folds} folds" if preview.folds else "scored unmasked",
        amount=_amount(preview),
        low=f"{scale.low:.1f}",
        middle=f"{(scale.low + scale.high) / 2:.1f}",
        high=f"{scale.high:.1f}",
        windows="\n".join(_windows(preview, scale)),
        data=_json(
            {
                "rate": preview.rate,
                "strategies": preview.strategies,
                "own": preview.own,
                "windows": [_data(window, preview.own) for window in preview.windows],
            }
        ),
    )


def _amount(preview: ShownText) -> str:
    tokens, windows = f"{preview.num_tokens:,} tokens", len(preview.windows)
    amount = tokens if windows == 1 else f"{tokens} in {windows:,} windows, the budget spent in each"
    return f"{amount}; {escape(preview.own)} is shown at {preview.rate:.4g} alone" if preview.own else amount


def _windows(preview: ShownText, scale: EntropyScale) -> Iterator[str]:
    windows = preview.windows
    ends = [*(window.pieces[0].before for window in windows[1:]), preview.after]
    for number, (window, end) in enumerate(zip(windows, ends, strict=True), 1):
        heading = f"<h2>Window {number} of {len(windows)}</h2>" if len(windows) > 1 else ""
        begin = window.pieces[0].before if number == 1 else ""
        text = escape(begin) + "".join(_tokens(window, scale)) + escape(end)
        yield f'<section class="window">{heading}<p class="text">{text}</p><div class="curve"></div></section>'


def _tokens(window: ShownWindow, scale: EntropyScale) -> Iterator[str]:
    rows = zip(window.pieces, window.may_mask_N.tolist(), window.entropy_N.tolist(), strict=True)
    for i, (piece, may_mask, entropy) in enumerate(rows):
        kind = "token continues" if piece.continues else "token"
        place = f' style="--at:{scale.at(entropy):.4f}"' if may_mask else ""
        before = escape(piece.before) if i else ""
        yield f'{before}<span class="{kind}"{place}>{escape(piece.text or piece.name)}</span>'


def _data(window: ShownWindow, own: str) -> dict[str, Any]:
    """The scores in the shortest decimals that give the same float32 back, so no order and no tie is lost."""
    entropies = zip(_shortest(window.entropy_N), window.may_mask_N.tolist(), strict=True)
    return {
        "entropy": [value if may_mask else None for value, may_mask in entropies],
        "surprisal": [round(value, 3) for value in window.surprisal_N.tolist()],
        "noise": (window.noise_N * NOISE_STEPS).long().tolist(),
        "name": [piece.name for piece in window.pieces],
        "own": window.picks[own].nonzero().flatten().tolist() if own else [],
    }


def _shortest(values_N: Tensor) -> list[float]:
    return [float(str(np.float32(value))) for value in values_N.tolist()]


def _json(values: dict[str, Any]) -> str:
    """JSON that can stand in a script element: nothing in it opens or closes a tag."""
    return json.dumps(values, separators=(",", ":")).translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})
