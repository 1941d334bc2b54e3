"""What a data folder is by its content, and the record of the job that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskwise.errors import InputError
from maskwise.files.checksums import record_digest
from maskwise.lab.records.content import damage_of_all
from maskwise.lab.records.environment import environment
from maskwise.lab.records.record import RunRecord, hash_of, record_beside, write_record_file
from maskwise.lab.records.recorder import Recorder
from maskwise.lab.tokens.blocks import TOKEN_COUNTS, DataFolder

_BLOCKS = ("train.arrow", "valid.arrow")


def data_hash(data: DataFolder) -> str:
    """Returns a hash of a data folder's blocks and token counts, and of how they were cut.

    All files are read: a run calls this at its start.

    Raises:
        InputError: If a file is not as it was written.
    """
    files = data.manifest["files"]
    if found := damage_of_all(data.path, files):
        raise InputError(f"The data folder {data.path} is damaged: {'; '.join(found[:3])}.\nPrepare it again.")
    content = record_digest({name: files[name] for name in (*_BLOCKS, TOKEN_COUNTS)})
    return hash_of([content, data.manifest["block"], data.manifest["mode"]])


def write_prepare_record(data: DataFolder, settings: Mapping[str, Any], recorder: Recorder) -> None:
    """Writes the record of a finished data folder next to it."""
    manifest = data.manifest
    sources = [source["sha256"] for source in manifest["sources"]]
    record = RunRecord(
        kind="prepare",
        finished=True,
        key=recorder.key,
        tokens=sum(manifest["counts"]["tokens"].values()),
        settings=dict(settings),
        settings_hash=hash_of([settings, sources]),
        content={
            "data": data_hash(data),
            "tokenizer": manifest["tokenizer_sha256"],
            "sources": hash_of(sources),
        },
        notes=tuple(manifest.get("notes", ())),
        environment=environment(),
    )
    write_record_file(record_beside(data.path), record.costing(recorder.cost()))
