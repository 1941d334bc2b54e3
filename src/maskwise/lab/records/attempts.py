"""Attempts at a job: a file for each, which grows while the job runs, so that a killed one has left what it cost.

`attempts/<G>.jsonl` holds one line for the start, one every 30 seconds, and one for the end, which is the last:

    {"event": "start", "attempt": 1, "time": "2026-01-31T12:00:00+00:00", "host": "node7", "pid": 4242}
    {"event": "alive", "seconds": 30.0, "peak_memory": 812000000}
    {"event": "end", "seconds": 41.2, "peak_memory": 812000000, "status": "done", "exit_code": 0, "message": ""}

A file without an end line is that of an attempt that is running, or was killed.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from maskwise.lab.records.memory import peak_memory

Status = Literal["done", "failed", "preempted", "cancelled"]
ATTEMPTS = "attempts"
RENEW_SECONDS = 30.0
STATUS_OF_EXIT: dict[int, Status] = {0: "done", 143: "preempted", 130: "cancelled"}  # any other code: failed


@dataclass(frozen=True)
class Attempted:
    """What an attempt's file says. `status` is None without an end line: it is running, or was killed."""

    number: int
    host: str = ""
    seconds: float = 0.0
    peak_memory: int | None = None
    status: Status | None = None
    exit_code: int | None = None
    message: str = ""


@dataclass(frozen=True)
class Cost:
    """Seconds summed and peak memory (bytes; None if not known) maximised over attempts."""

    attempts: int
    seconds: float
    peak_memory: int | None


class Attempt:
    """One attempt at a job, timed from its `begin`.

    Args:
        own_process: Whether the process runs this job alone, so that the memory which it held is the job's. Otherwise
            peak memory is not known.
        renew_seconds: How often seconds and peak memory are written while the job runs.
    """

    def __init__(self, *, own_process: bool = False, renew_seconds: float = RENEW_SECONDS) -> None:
        self.own_process, self.renew_seconds = own_process, renew_seconds
        self.folder: Path | None = None
        self.is_open = False
        self._path: Path | None = None
        self._ended = threading.Event()

    @property
    def seconds(self) -> float:
        """The time since the attempt began."""
        return time.monotonic() - self._begun_at

    @property
    def peak_memory(self) -> int | None:
        """Bytes; None if it is not known."""
        return peak_memory() if self.own_process else None

    def begin(self, folder: Path | None) -> None:
        """Writes the start line of the next file in `folder`, which is made; None keeps no file."""
        self._begun_at, self.is_open, self.folder = time.monotonic(), True, folder
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        number = _take_number(folder)
        self._path = attempt_file(folder, number)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(
            {"event": "start", "attempt": number, "time": now, "host": socket.gethostname(), "pid": os.getpid()}
        )
        threading.Thread(target=self._renew, daemon=True).start()

    def end(self, exit_code: int, message: str = "") -> None:
        """Writes the end line; the exit code decides the status."""
        self.is_open = False
        self._ended.set()
        status = STATUS_OF_EXIT.get(exit_code, "failed")
        self._write({**self._cost("end"), "status": status, "exit_code": exit_code, "message": message})

    def _renew(self) -> None:
        while not self._ended.wait(self.renew_seconds):
            with suppress(OSError):  # a full disk is the job's to meet
                self._write(self._cost("alive"))

    def _cost(self, event: str) -> dict[str, Any]:
        return {"event": event, "seconds": round(self.seconds, 3), "peak_memory": self.peak_memory}

    def _write(self, line: dict[str, Any]) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def attempt_file(folder: Path, number: int) -> Path:
    """Returns the file of an attempt."""
    return folder / f"{number}.jsonl"


def read_attempts(folder: Path) -> list[Attempted]:
    """Returns what the attempts in a folder have left, in their order; lines that cannot be read are passed over."""
    return [_read(folder, number) for number in _numbers(folder)]


def total_cost(attempts: Sequence[Attempted]) -> Cost:
    """Returns the cost of all attempts together.

    >>> total_cost([Attempted(1, seconds=30.0, peak_memory=500), Attempted(2, seconds=4.0, peak_memory=700)])
    Cost(attempts=2, seconds=34.0, peak_memory=700)
    """
    known = [one.peak_memory for one in attempts if one.peak_memory is not None]
    return Cost(len(attempts), round(sum(one.seconds for one in attempts), 3), max(known, default=None))


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.jsonl") if path.stem.isdecimal())


def _take_number(folder: Path) -> int:
    """Returns the next number, its file made by nobody else."""
    number = max(_numbers(folder), default=0) + 1
    while True:
        try:
            attempt_file(folder, number).open("x").close()
        except FileExistsError:
            number += 1
        else:
            return number


def _read(folder: Path, number: int) -> Attempted:
    found: dict[str, Any] = {}
    try:
        text = attempt_file(folder, number).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Attempted(number)
    for line in text.splitlines():
        with suppress(ValueError, RecursionError):
            said = json.loads(line)
            found |= said if isinstance(said, dict) else {}
    known = {name: found[name] for name, kinds in _KINDS.items() if name in found and isinstance(found[name], kinds)}
    return Attempted(number, **known)


_KINDS = {
    "host": str, "seconds": int | float, "peak_memory": int | None, "status": str | None, "exit_code": int | None,
    "message": str,
}  # fmt: skip
