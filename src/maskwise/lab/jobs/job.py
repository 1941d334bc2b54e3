"""A job: what it needs, what it leaves, and its settings, which are known when all that it needs is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.files.json_text import read_json
from maskwise.lab.records.attempts import ATTEMPTS
from maskwise.lab.records.record import RunKey
from maskwise.lab.records.strict_json import to_json

JobKind = Literal["prepare", "pretrain", "annotate", "tune", "time", "evaluate"]


@dataclass(frozen=True)
class Requirements:
    """What a job asks of a machine: GPUs if the machine has any, memory in bytes and seconds if they are known."""

    cpus: int = 1
    gpus: int = 0
    memory_bytes: int | None = None
    seconds: int | None = None
    nodes: int = 1


@dataclass(frozen=True)
class JobSpec:
    """A job as an executor gets it: the files it reads, prints to and leaves when it is done.

    `key` is "<study id>/<job name>". `objects` are functions by name that have no place in a file: only an executor of
    this process passes them on.
    """

    key: str
    settings: Path
    requirements: Requirements
    log: Path
    done: Path
    objects: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Job:
    """One job. `settings` is called when all jobs named in `needs` are done; `done` exists when this one is.

    `key` says which run of a study it is, `flops` guess its size.
    """

    name: str
    kind: JobKind
    folder: Path
    needs: tuple[str, ...]
    done: Path
    requirements: Requirements
    settings: Callable[[], BaseModel] = field(compare=False)
    key: RunKey | None = None
    flops: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether the job's last file is there."""
        return self.done.exists()

    @property
    def log(self) -> Path:
        """What the job printed, all attempts one after another."""
        return log_of(self.folder)

    @property
    def attempts(self) -> Path:
        """The folder with a file for each attempt."""
        return attempts_of(self.folder, self.kind)

    def resolve(self, study: str, objects: Mapping[str, Any] | None = None) -> JobSpec:
        """Writes the settings, which are known now, to `<job>.json`; returns what an executor needs.

        Raises:
            InputError: The settings cannot be known, since what they depend on is not as it should be.
        """
        file = JobFile(
            name=self.name,
            kind=self.kind,
            key=self.key,
            folder=str(self.folder),
            attempts=str(self.attempts),
            settings=self.settings().model_dump(mode="json", exclude_none=True),
        )
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        path = settings_of(self.folder)
        atomic_write(path, to_json(file.model_dump(mode="json", exclude_none=True)))
        return JobSpec(f"{study}/{self.name}", path, self.requirements, self.log, self.done, objects or {})


class JobFile(BaseModel):
    """What `<job>.json` holds: all that a worker needs to run the job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: JobKind
    key: RunKey | None = None
    folder: str
    attempts: str
    settings: dict[str, Any]


def read_job_file(path: Path) -> JobFile:
    """Returns what a `<job>.json` holds; raises InputError if it is damaged."""
    advice = "The study that it is of writes it again."
    try:
        return JobFile.model_validate(read_json(path, advice=advice))
    except ValidationError as error:
        raise InputError(f"{path} is damaged: {error.errors()[0]['msg']}. {advice}") from None


def log_of(folder: Path) -> Path:
    """Returns the log of a job, next to the folder that the job makes."""
    return folder.with_name(f"{folder.name}.log")


def settings_of(folder: Path) -> Path:
    """Returns the settings of a job, next to the folder that the job makes."""
    return folder.with_name(f"{folder.name}.json")


def attempts_of(folder: Path, kind: JobKind) -> Path:
    """Returns where a job's attempts are: in its folder, or next to one that appears whole."""
    return folder.with_name(f"{folder.name}.{ATTEMPTS}") if kind == "prepare" else folder / ATTEMPTS
