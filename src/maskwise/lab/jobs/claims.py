"""One study at a time in a folder."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from maskwise.errors import InputError

LOCK = "study.lock"
PATIENCE_SECONDS = 3.0  # how long the cells of a killed study may take to end


@contextmanager
def locked(out: Path) -> Iterator[IO[str]]:
    """Holds a study's folder for the `with` block; the system frees it when the process ends, however it ends.

    Yields the open file: a cell that inherits it holds the folder too. Raises InputError where another study has it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("a+", encoding="utf-8") as file:
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not _take(file):
            if time.monotonic() >= give_up_at:
                raise InputError(
                    f"A study is running in {out} already. Wait until it has ended, or choose another --out."
                )
            time.sleep(0.1)
        yield file


def _take(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
