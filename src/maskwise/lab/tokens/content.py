"""What a data folder is by its content, and the record of the job that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskwise.lab.records.content import files_hash
from maskwise.lab.records.environment import environment
from maskwise.lab.records.record import RunRecord, hash_of, record_beside, write_record_file
from maskwise.lab.records.recorder import Recorder
from maskwise.lab.tokens.blocks import TOKEN_COUNTS, DataFolder


def data_hash(data: DataFolder) -> str:
    """Returns a hash of a data folder's blocks and token counts, and of how they were cut."""
    files = [data.path / name for name in ("train.arrow", "valid.arrow", TOKEN_COUNTS)]
    return hash_of([files_hash(files), data.manifest["block"], data.manifest["mode"]])


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
