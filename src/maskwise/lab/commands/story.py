"""The verb that shows everything once: demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from maskwise.progress import hide_library_bars


def demo_command(
    out: Annotated[Path, Option(help="Where the demo's folders go; run again, it resumes.")] = Path("demo-out"),
    jobs: Annotated[int, Option(help="Models at a time; the processor's threads are split among them.")] = 2,
) -> None:
    """Run all of it, small, on the built-in corpus: text, models, a study, its report; needs no network."""
    hide_library_bars()
    from maskwise.lab.demonstration import demo

    print(demo(out, jobs=jobs))
