"""What is done, running and left while a study runs: a live table on a terminal, a line per job elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, Self

from maskwise.lab.jobs.job import Job
from maskwise.progress import format_seconds

JobProgress = Literal["left", "running", "done", "failed", "blocked"]
STATES: tuple[JobProgress, ...] = ("done", "running", "left", "failed", "blocked")


class ProgressTable:
    """Shows the states of jobs of these sizes, and the time left; `show=False` prints nothing. A context manager."""

    def __init__(self, jobs: Mapping[str, Job], sizes: Mapping[str, float], *, show: bool = True) -> None:
        self.show, self.sizes = show, sizes
        self.states: dict[str, JobProgress] = {name: "done" if job.is_done else "left" for name, job in jobs.items()}
        self.started_at: dict[str, float] = {}
        self._begun_at, self._finished = time.monotonic(), 0.0
        self._live: Any = None

    def __enter__(self) -> Self:
        if self.show and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(get_renderable=self.table, console=Console(stderr=True), refresh_per_second=1)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def set(self, name: str, state: JobProgress, note: str = "") -> None:
        """Notes a job's new state, and prints it if there is no table to see it in."""
        self.states[name] = state
        if state == "running":
            self.started_at[name] = time.monotonic()
        elif state in ("done", "failed"):
            self._finished += self.sizes[name]
        if self.show and self._live is None and state != "running":
            print(self._line(name, state, note), file=sys.stderr, flush=True)

    @property
    def counts(self) -> Counter[JobProgress]:
        """How many jobs are in each state."""
        return Counter(self.states.values())

    @property
    def seconds_left(self) -> float | None:
        """A guess from how long the jobs took that ended so far; None before the first. A running one is half done."""
        shares = {"left": 1.0, "running": 0.5}
        left = sum(shares.get(state, 0.0) * self.sizes[name] for name, state in self.states.items())
        begun = self._finished + sum(self.sizes[name] / 2 for name, state in self.states.items() if state == "running")
        return (time.monotonic() - self._begun_at) / begun * left if self._finished else None

    def table(self) -> Any:
        """Returns the live table: a row per arm, and the jobs that are running."""
        from rich.table import Table

        table = Table("arm", *STATES, title=self._title(), title_justify="left")
        by_arm: dict[str, Counter[JobProgress]] = {}
        for name, state in self.states.items():
            by_arm.setdefault(name.partition("/")[0], Counter())[state] += 1
        for arm, counts in by_arm.items():
            table.add_row(arm, *(str(counts[state] or "") for state in STATES))
        now = time.monotonic()
        running = [name for name, state in self.states.items() if state == "running"]
        table.caption = "\n".join(f"{name}, {format_seconds(now - self.started_at[name])}" for name in running)
        return table

    def _title(self) -> str:
        left = self.seconds_left
        return f"{self.counts['done']} of {len(self.states)} jobs" + (
            f", about {format_seconds(left)} left" if left is not None else ""
        )

    def _line(self, name: str, state: JobProgress, note: str) -> str:
        took = f" in {format_seconds(time.monotonic() - self.started_at[name])}" if name in self.started_at else ""
        return f"[{self._title()}] {name}: {state}{took}{'. ' + note if note else ''}"
