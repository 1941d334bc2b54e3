"""Hashes of what a run depends on, by content: weights, files, and the functions that score."""

from __future__ import annotations

import hashlib
import inspect
import json
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any

from maskwise.errors import InputError
from maskwise.files.checkpoint_names import checkpoint_source
from maskwise.files.checksums import Record, checksum, damage, record_digest, record_files
from maskwise.masking.score import StatefulScore

NOT_KNOWN = "not known"
_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def weights_hash(name: str) -> str:
    """Returns the sha256 over a checkpoint's weight files; raises InputError if it has none."""
    from transformers.utils import cached_file

    source = checkpoint_source(name)

    def find(file_name: str) -> Path | None:
        try:
            found = cached_file(source, file_name, _raise_exceptions_for_missing_entries=False)
        except OSError:
            return None
        return Path(found) if found else None

    main = next(filter(None, map(find, _WEIGHT_FILES)), None)
    if main is None:
        raise InputError(f"The checkpoint {name!r} has no weights: none of {', '.join(_WEIGHT_FILES)} is there.")
    shards = sorted(set(json.loads(main.read_text())["weight_map"].values())) if main.suffix == ".json" else []
    digest = hashlib.sha256()
    for path in filter(None, map(find, shards)) if shards else [main]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def path_hash(path: Path) -> str:
    """Returns a hash of a file's content, or of all the files' in a folder; "not known" if it is neither."""
    if path.is_file():
        return checksum(path)
    return record_digest(record_files(path)) if path.is_dir() else NOT_KNOWN


def damage_of_all(folder: Path, record: Record) -> list[str]:
    """Returns what is wrong with recorded files, large ones included; one that has not changed is not read again.

    It reads some 10 GB a second from memory, else what the disk gives.
    """
    stats = ((name, (folder / name).stat()) for name in record if (folder / name).is_file())
    seen = tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
    return list(_damage_of_all(folder.resolve(), json.dumps(record), seen))


@lru_cache(maxsize=64)
def _damage_of_all(folder: Path, record: str, seen: tuple[tuple[str, int, int], ...]) -> tuple[str, ...]:
    """Sizes and times are part of the question: a file that was changed is read again."""
    return tuple(damage(folder, json.loads(record), read_all=True))


def score_hash(score: Any) -> str:
    """Returns what a score is: its fingerprint and the sha256 of the file that its code is in; else "not known".

    >>> score_hash(3)
    'not known'
    """
    source = source_file(score)
    if source is None:
        return NOT_KNOWN
    code = hashlib.sha256(source.read_bytes()).hexdigest()
    return f"{score.fingerprint()} {code}" if isinstance(score, StatefulScore) else code


def source_file(score: Any) -> Path | None:
    """Returns the file that the code of a function or a `StatefulScore` was read from; None if there is none."""
    code = type(score) if isinstance(score, StatefulScore) else score
    if not isinstance(code, FunctionType | type):
        return None
    try:
        found = inspect.getsourcefile(code)
    except (TypeError, OSError):
        return None
    return Path(found) if found is not None and Path(found).is_file() else None
