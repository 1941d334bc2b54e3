"""Folders whose last file, the marker, records the sizes and checksums of the others.

| folder | marker |
|---|---|
| data folder, stored scores | `manifest.json` |
| checkpoint of a run | `complete.json` |
| finished run | `done.json` |
| tuned model | `result.json` |
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.files.checksums import damage
from maskwise.files.json_text import read_json_object

FILES = "files"  # the marker's key
MARKERS = ("manifest.json", "complete.json", "done.json", "result.json")
RESTORE = "Restore it from a copy, or make it again."


def markers_in(folder: Path) -> list[Path]:
    """Returns the markers in a folder; a checkpoint or a model from elsewhere has none."""
    return [folder / name for name in MARKERS if (folder / name).is_file()]


def damage_by_marker(marker: Path, *, read_all: bool, may_lack: Collection[str] = ()) -> list[str]:
    """Returns what is wrong with the files that a marker records, one phrase for each.

    Args:
        marker: The marker.
        read_all: Whether the content of large files is compared too. Sizes and small files always are.
        may_lack: Names of files that may have been deleted since.
    """
    try:
        record: Any = read_json_object(marker, advice=RESTORE).get(FILES)
    except InputError as error:
        return [str(error)]
    if isinstance(record, dict):
        deleted = {name for name in may_lack if not (marker.parent / name).exists()}
        record = {name: entry for name, entry in record.items() if name not in deleted}
    return damage(marker.parent, record, read_all=read_all)


def check_folder(folder: Path, what: str, *, read_all: bool = True) -> None:
    """Raises InputError if files are not as the folder's marker records them; a folder without a marker passes.

    Args:
        folder: The folder.
        what: What it is, for the message, such as "checkpoint".
        read_all: Whether the content of large files is compared too.
    """
    for marker in markers_in(folder):
        if found := damage_by_marker(marker, read_all=read_all):
            raise InputError(f"The {what} {folder} is damaged: {'; '.join(found[:3])}.\n{RESTORE}")
