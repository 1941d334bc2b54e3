"""The record of a run: what it was, what it measured and what it cost, in one file that needs nothing else to be read.

`record.json` is in the run's folder from its first step, with `finished = false` and the content of all that the run
depends on; it is written again when the run has ended. Results and reports read records, and no settings, data, model
or module of anybody's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.files.checksums import checksum, damage
from maskwise.files.json_text import read_json_object
from maskwise.lab.records.attempts import Cost
from maskwise.lab.records.strict_json import to_json

RECORD = "record.json"
_CHECKSUM = "checksum"  # of all else in the file
RecordKind = Literal["prepare", "annotate", "pretrain", "tune", "evaluate"]
HELD_OUT = "held_out"  # the held-out evaluation of pretraining, as a task
LESS_IS_BETTER = frozenset({"loss", "perplexity", "nats_per_character"})
METRIC_UNITS = {  # else a share of 1
    "loss": "nats", "perplexity": "types", "entropy": "nats", "surprisal": "nats", "gain": "nats",
    "gain_self_paced": "nats", "partial_r2": "percent", "partial_r2_self_paced": "percent", "correlation": "rho",
    "nats_per_character": "nats",
}  # fmt: skip


@dataclass(frozen=True)
class RunKey:
    """Which run of a study: its arm, backbone and pretraining seed, the task that it is graded on, and adapted to."""

    arm: str
    backbone: str
    seed: int
    task: str = HELD_OUT
    adapted_to: str | None = None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Measured(_Part):
    """A measured value; None if it was not finite. `direction` says which way is better."""

    value: float | None
    unit: str = "share"
    direction: Literal["up", "down"] = "up"


class RunFile(_Part):
    """A file that belongs to the run, by its path from the record's folder; size and checksum unless it grows on."""

    path: str
    bytes: int | None = None
    checksum: str | None = None


class Environment(_Part):
    """The versions and the machine, which decide whether a run can be repeated to the last bit."""

    versions: dict[str, str] = Field(default_factory=dict)
    python: str = ""
    machine: str = ""
    system: str = ""
    device: str = ""
    threads: int | None = None
    precision: str = ""


class RunRecord(_Part):
    """What a run was, what it measured and what it cost.

    `content` holds hashes of what it depends on (data, tokenizer, teacher, checkpoint, score, ...), or "not known".
    `seconds` and `peak_memory` are summed and maximised over attempts; `training_seconds` are those of its steps alone.
    `flops` are counted, not measured; `tokens` are those trained on (padding left out) or scored.
    """

    format: Literal[1] = 1
    kind: RecordKind
    finished: bool = False
    key: RunKey | None = None
    tuning_seed: int | None = None
    steps: int | None = None
    tokens: float | None = None
    flops: float | None = None
    attempts: int = 0
    seconds: float | None = None
    training_seconds: float | None = None
    peak_memory: int | None = None
    metrics: dict[str, Measured] = Field(default_factory=dict)
    baselines: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    collapsed: bool | None = None
    class_counts: dict[str, dict[str, int]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    selected_epoch: int | None = None
    stopping: dict[str, Any] | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    settings_hash: str = ""
    content: dict[str, str] = Field(default_factory=dict)
    environment: Environment = Environment()
    files: dict[str, RunFile] = Field(default_factory=dict)

    def costing(self, cost: Cost) -> RunRecord:
        """Returns the record with what its attempts cost."""
        return self.model_copy(
            update={"attempts": cost.attempts, "seconds": cost.seconds, "peak_memory": cost.peak_memory}
        )


def record_beside(folder: Path) -> Path:
    """Returns the record of a folder that appears whole, as a data folder does: it is next to it."""
    return folder.with_name(f"{folder.name}.{RECORD}")


def read_record(folder: Path) -> RunRecord:
    """Returns the record in a run's folder; see `read_record_file`."""
    return read_record_file(folder / RECORD)


def read_record_file(path: Path) -> RunRecord:
    """Returns the record that a file holds.

    Raises:
        InputError: There is none, or it is damaged; the message names it and says what was found.
    """
    advice = "Restore it, or delete the folder that it is in and run the same command again."
    found = read_json_object(path, advice=advice)
    if found.pop(_CHECKSUM, None) != hash_of(found):
        raise InputError(f"{path} is damaged: it is not as it was written (another checksum). {advice}")
    try:
        return RunRecord.model_validate(found)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the whole"
        raise InputError(
            f"{path} is damaged: {where}: {fault['msg']}; found {str(fault['input'])[:80]!r}. {advice}"
        ) from None


def write_record(folder: Path, record: RunRecord) -> None:
    """Writes the record in a run's folder, whole or not at all."""
    write_record_file(folder / RECORD, record)


def write_record_file(path: Path, record: RunRecord) -> None:
    """Writes a record, whole or not at all."""
    plain = json.loads(to_json(record.model_dump(mode="json")))
    atomic_write(path, to_json(plain | {_CHECKSUM: hash_of(plain)}))


def check_files(folder: Path, record: RunRecord) -> None:
    """Raises InputError if a file that the record lists is missing or is not as it was when the run ended."""
    for file in record.files.values():
        path = folder / file.path
        if file.bytes is None:
            continue
        if found := damage(folder, {file.path: file.model_dump()}, read_all=True):
            raise InputError(f"{path} is damaged: {found[0]}.")


def list_files(folder: Path, names: Mapping[str, str], *, growing: Iterable[str] = ()) -> dict[str, RunFile]:
    """Returns the entries of those files that are there, by name; those that are `growing` get no size and hash."""
    found: dict[str, RunFile] = {}
    for name, path in names.items():
        if not (folder / path).is_file():
            continue
        if name in growing:
            found[name] = RunFile(path=path)
            continue
        found[name] = RunFile(path=path, bytes=(folder / path).stat().st_size, checksum=checksum(folder / path))
    return found


def metrics_of(values: Mapping[str, float]) -> dict[str, Measured]:
    """Returns measured values with their units and directions; a name may begin with what it is of, and a dot.

    >>> metrics_of({"loss": 3.5, "accuracy": 0.5})["loss"]
    Measured(value=3.5, unit='nats', direction='down')
    """
    return {name: _metric(name.rpartition(".")[2].partition("_q")[0], value) for name, value in values.items()}


def hash_of(value: Any) -> str:
    """Returns a short hash of plain values, the same whatever the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _metric(name: str, value: float) -> Measured:
    """Returns a value with the unit and direction of its name; those of fifths of the tokens end in _q1 to _q5."""
    direction = "down" if name in LESS_IS_BETTER else "up"
    return Measured(value=_finite(value), unit=METRIC_UNITS.get(name, "share"), direction=direction)


def _finite(value: float | None) -> float | None:
    return None if value is None or value != value or value in (float("inf"), float("-inf")) else float(value)
