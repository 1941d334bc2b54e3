"""What runs jobs: the protocol that every engine keeps, from this process to a cluster.

An engine says only whether a process may still exist. How a job ended is read from its own files: the file that it
leaves when it is done, or else the last line of its newest attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from maskwise.lab.jobs.job import JobSpec

State = Literal["pending", "running", "gone", "unknown"]
WORKER = "maskwise.lab.commands.worker"  # the module with the table from kind of job to function; it is above this one


class Executor(Protocol):
    """Runs jobs somewhere."""

    in_this_process: bool  # whether a job can be given functions that cannot be imported

    def submit(self, job: JobSpec, attempt: int) -> str:
        """Returns the engine's id of an attempt; the same job and attempt give the same id, and never a second job."""
        ...

    def states(self, ids: Sequence[str]) -> dict[str, State]:
        """Returns the state of each id; "unknown" if the engine cannot be reached, which never means ended."""
        ...

    def cancel(self, ids: Sequence[str], grace_s: float) -> None:
        """Asks processes to end, and ends those that are still there after `grace_s` seconds."""
        ...

    def capacity(self) -> int:
        """Returns how many jobs may be submitted and unfinished."""
        ...
