"""What tells one checkpoint from another: the content of its weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from maskwise.errors import InputError

_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def teacher_hash(name: str) -> str:
    """Returns the sha256 over a checkpoint's weight files; raises InputError where it has none."""
    from transformers.utils import cached_file

    def find(file_name: str) -> Path | None:
        try:
            found = cached_file(name, file_name, _raise_exceptions_for_missing_entries=False)
        except OSError:
            return None
        return Path(found) if found else None

    main = next(filter(None, map(find, _WEIGHT_FILES)), None)
    if main is None:
        raise InputError(f"The teacher {name!r} has no weights: none of {', '.join(_WEIGHT_FILES)} is there.")
    shards = sorted(set(json.loads(main.read_text())["weight_map"].values())) if main.suffix == ".json" else []
    digest = hashlib.sha256()
    for path in filter(None, map(find, shards)) if shards else [main]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
