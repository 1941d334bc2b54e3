"""Jobs in this process, one at a time: for notebooks and tests, and for functions that no other process can import."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module

from maskwise.lab.jobs.executor import WORKER, State
from maskwise.lab.jobs.job import JobSpec


class InProcessExecutor:
    """Runs each job to its end when it is submitted. What it prints goes to its log; its peak memory is not known.

    Example:
        ```python
        from maskwise.lab import InProcessExecutor, load_study, run_study

        run_study(load_study("study.toml"), "out", executor=InProcessExecutor())
        ```
    """

    in_this_process = True

    def __init__(self) -> None:
        self._submitted: set[str] = set()

    def submit(self, job: JobSpec, attempt: int) -> str:
        """Runs the job; KeyboardInterrupt comes through."""
        name = f"{job.key}/{attempt}"
        if name in self._submitted:
            return name
        self._submitted.add(name)
        with job.log.open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
            import_module(WORKER).run_job(job.settings, own_process=False, objects=job.objects)
        return name

    def states(self, ids: Sequence[str]) -> dict[str, State]:
        """Returns "gone" for all: a job has ended when `submit` returns."""
        return dict.fromkeys(ids, "gone")

    def cancel(self, ids: Sequence[str], grace_s: float) -> None:
        """Does nothing: no job is left."""

    def capacity(self) -> int:
        """Returns 1."""
        return 1
