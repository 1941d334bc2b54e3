"""The command that compares folders with the checksums in them: verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument


def verify_command(
    folders: Annotated[list[Path], Argument(metavar="DIR...", help="Data, runs, checkpoints, scores, studies.")],
) -> None:
    """Compare what maskwise wrote with the recorded sizes and checksums; exit code 1 if something is damaged."""
    from maskwise.lab.study.integrity import verify

    found = verify(folders)
    print(found)
    if found.damaged:
        raise typer.Exit(1)
