"""Sizes and checksums of a folder's files: recorded where its completion is recorded, compared before it is used.

A record is a table from a file's path inside the folder (with `/`) to its number of bytes and its checksum, as JSON:

    {"model.safetensors": {"bytes": 17548216, "checksum": "xxh3_128:9d1b..."}}

Sizes are always compared, and so is the content of small files. That of large ones is read where a run starts: at the
speed of the disk, or 5 to 10 GB/s if the files are cached (blake2b, without the package xxhash: 1 GB/s).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from maskwise.errors import InputError

Record = Mapping[str, Mapping[str, Any]]

_SMALL = 1 << 20  # bytes: read in about a millisecond
CHUNK = 1 << 22
_BYTES, _CHECKSUM = "bytes", "checksum"


def record_files(folder: Path, names: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """Returns the size and checksum of files of a folder.

    Args:
        folder: The folder.
        names: Paths inside it, of files or of folders that are taken whole; by default all there is.
    """
    chosen = [folder] if names is None else [folder / name for name in names]
    files = sorted(file for path in chosen for file in _files_of(path))
    return {
        file.relative_to(folder).as_posix(): {_BYTES: file.stat().st_size, _CHECKSUM: checksum(file)} for file in files
    }


def damage(folder: Path, record: Any, *, read_all: bool) -> list[str]:
    """Returns what is wrong with the recorded files, one phrase for each; nothing if all are as recorded.

    Args:
        folder: The folder.
        record: What `record_files` returned.
        read_all: Whether the content of large files is compared too. Sizes and small files always are.

    Raises:
        InputError: If a checksum is of a kind that this environment cannot compute.
    """
    if not _is_record(record):
        return ["the record of its files does not parse"]
    return [phrase for name, entry in record.items() if (phrase := _damage_of(folder, name, entry, read_all))]


def checksum(file: Path, kind: str | None = None) -> str:
    """Returns the checksum of a file, with the name of its kind in front.

    Raises:
        InputError: For a kind that is unknown here.
    """
    kind = kind or ("xxh3_128" if find_spec("xxhash") else "blake2b")
    digest = _new_digest(kind)
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return f"{kind}:{digest.hexdigest()}"


def record_digest(record: Record) -> str:
    """Returns one sha256 for the content that a record stands for."""
    entries = sorted((name, entry[_CHECKSUM]) for name, entry in record.items())
    return hashlib.sha256(repr(entries).encode()).hexdigest()


def _new_digest(kind: str) -> Any:
    makers: dict[str, Callable[[], Any]] = {"blake2b": lambda: hashlib.blake2b(digest_size=16)}
    if find_spec("xxhash"):
        import xxhash

        makers["xxh3_128"] = xxhash.xxh3_128
    if kind not in makers:
        raise InputError(f"A checksum of the kind {kind!r} cannot be computed here: pip install xxhash.")
    return makers[kind]()


def _files_of(path: Path) -> Iterable[Path]:
    return (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _is_record(record: Any) -> bool:
    return isinstance(record, Mapping) and all(
        isinstance(entry, Mapping)
        and isinstance(entry.get(_BYTES), int)
        and isinstance(entry.get(_CHECKSUM), str)
        and ":" in entry[_CHECKSUM]
        for entry in record.values()
    )


def _damage_of(folder: Path, name: str, entry: Mapping[str, Any], read_all: bool) -> str | None:
    file = folder / name
    try:
        size = file.stat().st_size if file.is_file() else None
        if size is None:
            return f"{name} is missing"
        if size != entry[_BYTES]:
            return f"{name} has {size:,} bytes instead of {entry[_BYTES]:,}"
        if (read_all or size <= _SMALL) and checksum(file, entry[_CHECKSUM].partition(":")[0]) != entry[_CHECKSUM]:
            return f"{name} is not what was written (another checksum)"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    return None
