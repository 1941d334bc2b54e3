"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskwise.errors import InputError
from maskwise.files.disk_full import is_disk_full


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Returns a temporary folder next to `out` that is renamed to `out` if the block ends well, else deleted.

    What a killed run has left for the same `out` is deleted first. Raises InputError if `out` is there and not empty,
    cannot be made, or the disk is full.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        found = "is a data folder already" if (out / "manifest.json").exists() else "exists and is not empty"
        raise InputError(f"{out} {found}.\nGive another --out, or delete it first.")
    temporary = out.parent / f".{out.name}.unfinished-{os.getpid()}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _delete_leftovers(out)
        temporary.mkdir()
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}.") from error
    try:
        yield temporary
        temporary.rename(out)
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise InputError(
            f"the disk is full: {out.parent} has no room for {out.name}.\nNothing was left behind; free some space, or "
            "give an --out on another disk."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _delete_leftovers(out: Path) -> None:
    for path in out.parent.glob(f".{out.name}.unfinished-*"):
        number = re.search(r"unfinished-(\d+)$", path.name)
        if number and not _is_running(int(number[1])):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()
