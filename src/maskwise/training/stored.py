"""A frozen teacher's scores, read from the files that `maskwise annotate` wrote beside the tokens.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from maskwise.data.blocks import MANIFEST, TOKEN_COUNTS, DataFolder, open_data
from maskwise.errors import InputError
from maskwise.training.token_file import TokenFile, row_offsets

SCORES, VALUES = "scores", "values.f32"
_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


class Stored:
    """A score that reads a teacher's entropy or surprisal, in nats, by `batch["example_id"]` from a memory map.

    `folder` is what `annotate` returned, inside the data folder trained on. It holds no model, so it works in the
    workers of a `MaskingCollator` too, where the rows must carry their number as `example_id`. It also stands in for a
    teacher: `Entropy(Stored(folder), epochs=1)`. Picks are the live teacher's, up to ties in the last bits of float32.

    Raises InputError for an unfinished annotate, scores of another data folder, or another tokenizer.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        manifest = _finished_manifest(self.folder)
        data = open_data(self.folder.parent.parent)
        for key, what in (("tokenizer_sha256", "tokenizer"), ("data_sha256", "data folder")):
            if manifest[key] != data_identity(data)[key]:
                raise InputError(
                    f"The scores in {self.folder} are of another {what} than {data.path} (found {manifest[key][:16]}, "
                    f"expected {data_identity(data)[key][:16]}). Delete them and run maskwise annotate again."
                )
        self.statistic: str = manifest["statistic"]
        self.teacher: str = manifest["teacher"]
        self.file = TokenFile(self.folder / VALUES, row_offsets(data.train))
        if not self.file.is_whole():
            raise InputError(
                f"{self.file.path} is missing or cut short. Delete {self.folder} and run maskwise annotate again."
            )

    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the stored scores [B, T], 0 at special tokens and padding."""
        return self.file.read(batch)


def open_stored(data: DataFolder, teacher: str, statistic: str) -> Stored:
    """Returns a teacher's stored scores; raises InputError with the command that makes them where there are none."""
    folder = scores_folder(data, teacher, statistic)
    if not (folder / MANIFEST).exists():
        raise InputError(
            f"There is no finished {statistic} of {teacher} stored in {data.path}. Make it once with\n"
            f"maskwise annotate --data {data.path} --teacher {teacher} --score {statistic}"
        )
    return Stored(folder)


def scores_folder(data: DataFolder, teacher: str, statistic: str) -> Path:
    """Returns where a teacher's scores of a data folder are kept: named by statistic and the teacher's weights."""
    return data.path / SCORES / f"{statistic}-{teacher_hash(teacher)[:16]}"


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


def data_identity(data: DataFolder) -> dict[str, str]:
    """Returns what stored scores are bound to: the tokenizer, and the training blocks.

    The blocks are told by the manifest (sources and settings), how often each token occurs, and the file's size:
    reading all of them would cost every run seconds a gigabyte.
    """
    digest = hashlib.sha256()
    for name in (MANIFEST, TOKEN_COUNTS):
        digest.update((data.path / name).read_bytes())
    digest.update(str((data.path / "train.arrow").stat().st_size).encode())
    return {"tokenizer_sha256": data.manifest["tokenizer_sha256"], "data_sha256": digest.hexdigest()}


def _finished_manifest(folder: Path) -> dict[str, Any]:
    if not (folder / MANIFEST).is_file():
        state = "were not finished" if folder.exists() else "do not exist"
        raise InputError(f"The scores in {folder} {state}. Run maskwise annotate: it goes on where it stopped.")
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
