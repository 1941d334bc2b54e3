"""Whether a folder can be written, found out before anything is computed for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from maskwise.errors import InputError


def check_writable(out: Path) -> None:
    """Raises InputError unless files can be made in `out`, or in the nearest folder above it that is there.

    Args:
        out: A folder, made or to be made.

    >>> check_writable(Path("a-folder-to-be-made"))
    """
    place = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise InputError(
            f"{out} cannot be written: {place} refuses new files ({error.strerror}).\n"
            "Choose another --out, or make the folder writable."
        ) from None
