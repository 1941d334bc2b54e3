"""Where a teacher's stored scores of a data folder are, and whether they are of this data."""

from __future__ import annotations

import hashlib
from pathlib import Path

from maskwise.errors import InputError
from maskwise.lab.records.content import weights_hash
from maskwise.lab.tokens.blocks import MANIFEST, TOKEN_COUNTS, DataFolder
from maskwise.scores.stored import Stored

_SCORES = "scores"


def open_stored(data: DataFolder, teacher: str, statistic: str) -> Stored:
    """Returns a teacher's stored scores; raises InputError with the command that makes them where there are none."""
    folder = scores_folder(data, teacher, statistic)
    if not (folder / MANIFEST).exists():
        raise InputError(
            f"There is no finished {statistic} of {teacher} stored in {data.path}. Make it once with\n"
            f"maskwise annotate --data {data.path} --teacher {teacher} --score {statistic}"
        )
    stored = Stored(folder)
    _check_same_data(stored, data)
    return stored


def scores_folder(data: DataFolder, teacher: str, statistic: str) -> Path:
    """Returns where a teacher's scores of a data folder are kept: named by statistic and the teacher's weights."""
    return data.path / _SCORES / f"{statistic}-{weights_hash(teacher)[:16]}"


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


def _check_same_data(stored: Stored, data: DataFolder) -> None:
    expected = data_identity(data)
    for key, what in (("tokenizer_sha256", "tokenizer"), ("data_sha256", "data folder")):
        if stored.manifest[key] != expected[key]:
            raise InputError(
                f"The scores in {stored.folder} are of another {what} than {data.path} "
                f"(found {stored.manifest[key][:16]}, expected {expected[key][:16]}). "
                "Delete them and run maskwise annotate again."
            )
