"""One writer at a time: the one function through which a folder is locked."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from maskwise.errors import InputError

BUSY = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}  # held by another process, in the words of every system


@contextmanager
def locked(file: Path, busy: str, *, patience_seconds: float = 0.0) -> Iterator[IO[str]]:
    """Holds a lock file for the `with` block; the system frees it when the process ends, however it ends.

    Args:
        file: The lock file, which is made with its folder and stays.
        busy: What is said if another process holds it.
        patience_seconds: How long a process that holds it is waited for.

    Yields:
        The open file: on POSIX a process that inherits it holds the lock too.

    Raises:
        InputError: Another process holds the lock, or the file system has no locks.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+", encoding="utf-8") as opened:
        give_up_at = time.monotonic() + patience_seconds
        while not _take(opened, file):
            if time.monotonic() >= give_up_at:
                raise InputError(busy)
            time.sleep(0.1)
        try:
            yield opened
        finally:
            _release(opened)


def _take(opened: IO[str], file: Path) -> bool:
    try:
        _lock(opened)
    except OSError as error:
        if error.errno in BUSY:
            return False
        raise InputError(
            f"{file} cannot be locked: {error.strerror}. The file system has no locks; put the folder on one that has, "
            "such as a local disk."
        ) from None
    return True


def _lock(opened: IO[str]) -> None:
    if find_spec("fcntl") is not None:
        import fcntl

        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    opened.seek(0)
    msvcrt.locking(opened.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]


def _release(opened: IO[str]) -> None:
    """Closing a file frees its lock on POSIX unless a child holds it too; Windows asks for the word."""
    if find_spec("fcntl") is None:
        import msvcrt

        opened.seek(0)
        msvcrt.locking(opened.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
