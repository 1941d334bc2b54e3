"""What an evaluation keeps: for each checkpoint a folder with results, predictions, and the record of what it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from maskwise.errors import InputError
from maskwise.files.atomic_folder import atomic_folder
from maskwise.lab.records.attempts import Cost
from maskwise.lab.records.content import weights_hash
from maskwise.lab.records.environment import environment
from maskwise.lab.records.record import RunRecord, hash_of, list_files, metrics_of, write_record
from maskwise.lab.records.recorder import Recorder


@dataclass(frozen=True)
class Evaluated:
    """What one checkpoint came to: results as JSON, rows per item, metrics and the floors under them, all by name."""

    cost: Cost
    json: Mapping[str, str]
    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    items: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@contextmanager
def kept_in(out: str | PathLike[str] | None, checkpoints: Sequence[str]) -> Iterator[Path | None]:
    """Yields the folder that results are written to, which appears whole at the end; None if none is asked for.

    Raises:
        InputError: Two checkpoints have the same name, so that their folders would too, or the folder is in use.
    """
    names = [name_of(checkpoint) for checkpoint in checkpoints] if out is not None else list(checkpoints)
    repeated = sorted(name for name, number in Counter(names).items() if number > 1)
    if repeated:
        raise InputError(f"Two checkpoints are called {repeated[0]!r}. Name each once, by names that differ.")
    with atomic_folder(Path(out)) if out is not None else nullcontext() as folder:
        yield folder


def name_of(checkpoint: str) -> str:
    """Returns the name of a checkpoint's folder.

    >>> name_of("runs/high"), name_of("org/model")
    ('high', 'model')
    """
    return Path(checkpoint).resolve().name


@contextmanager
def timed() -> Iterator[Recorder]:
    """Yields a recorder of the block, whose cost is asked for inside it."""
    recorder = Recorder()
    with recorder.attempt_in(None):
        yield recorder


def write_evaluated(
    folder: Path, checkpoint: str, evaluated: Evaluated, settings: Mapping[str, Any], data: Mapping[str, str]
) -> None:
    """Writes a checkpoint's results and its record into a new folder below `folder`.

    Args:
        folder: The folder of all checkpoints' results.
        checkpoint: The checkpoint.
        evaluated: What it came to.
        settings: How it was evaluated.
        data: Hashes of what it was evaluated on, by name.
    """
    place = folder / name_of(checkpoint)
    place.mkdir()
    for name, text in evaluated.json.items():
        (place / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    for name, frame in evaluated.items.items():
        frame.to_parquet(place / f"{name}.parquet", index=False)
    content = {"checkpoint": weights_hash(checkpoint), **data}
    files = {path.stem + path.suffix.replace(".", " "): path.name for path in sorted(place.iterdir())}
    record = RunRecord(
        kind="evaluate",
        finished=True,
        metrics=metrics_of(evaluated.metrics),
        baselines={name: dict(values) for name, values in evaluated.baselines.items()},
        settings={"checkpoint": checkpoint, **settings},
        settings_hash=hash_of([settings, content]),
        content=content,
        environment=environment("fp32"),
        files=list_files(place, files),
    )
    write_record(place, record.costing(evaluated.cost))
