"""What a job notes of itself while it runs: which run of a study it is, and the attempt that is under way."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskwise.errors import InputError
from maskwise.lab.records.attempts import Attempt, Attempted, Cost, read_attempts, total_cost
from maskwise.lab.records.record import RunKey


class Recorder:
    """Keeps a job's attempts and its place in a study. A job that is called without one makes its own.

    Args:
        key: Which run of a study this is; None outside a study.
        attempt: The attempt that was begun before the job was called.
        own_process: Whether the process runs this job alone; see `Attempt`.
    """

    def __init__(self, key: RunKey | None = None, attempt: Attempt | None = None, *, own_process: bool = False) -> None:
        self.key, self.attempt = key, attempt
        self.own_process = attempt.own_process if attempt is not None else own_process

    @contextmanager
    def attempt_in(self, folder: Path | None) -> Iterator[None]:
        """Runs the block as an attempt with its file in `folder`; one that is already open goes on being the job's."""
        if self.attempt is not None and self.attempt.is_open:
            yield
            return
        self.attempt = Attempt(own_process=self.own_process)
        self.attempt.begin(folder)
        try:
            yield
        except BaseException as error:
            self.attempt.end(exit_code_of(error), message_of(error))
            raise
        self.attempt.end(0)

    def part(self) -> Recorder:
        """Returns the recorder of a part of the job that has attempts of its own."""
        return Recorder(self.key, own_process=self.own_process)

    def cost(self) -> Cost:
        """Returns what all attempts have cost up to now, the open one included."""
        assert self.attempt is not None
        if self.attempt.folder is None:
            return Cost(1, round(self.attempt.seconds, 3), self.attempt.peak_memory)
        *earlier, last = read_attempts(self.attempt.folder)
        now = Attempted(last.number, seconds=self.attempt.seconds, peak_memory=self.attempt.peak_memory)
        return total_cost([*earlier, now])


def exit_code_of(error: BaseException) -> int:
    """Returns the exit code that an exception stands for: 2 for a user's mistake, 130 for an interruption.

    >>> exit_code_of(InputError("no such file")), exit_code_of(SystemExit(143)), exit_code_of(ValueError())
    (2, 143, 1)
    """
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, InputError) else 1


def message_of(error: BaseException) -> str:
    """Returns in one line what went wrong; an error that is not a user's mistake with its type."""
    if isinstance(error, InputError):
        return " ".join(str(error).split())
    return " ".join(traceback.format_exception_only(error)[-1].split())
