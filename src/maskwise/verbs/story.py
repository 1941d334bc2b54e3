"""The verb that shows everything once: demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from maskwise.progress import hide_library_bars


def demo(
    out: Annotated[Path, Option(help="Where the demo's folders go.")] = Path("demo-out"),
) -> None:
    """Run all of it, small, on the built-in corpus; needs no network."""
    hide_library_bars()
    from maskwise.demo import demo

    print(demo(out))
