"""The study job: every job once, several at a time, resumable; a failed one does not stop the others."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.files.writable import check_writable
from maskwise.lab.jobs.claims import locked
from maskwise.lab.jobs.executor import Executor
from maskwise.lab.jobs.job import Job
from maskwise.lab.jobs.local import LocalExecutor
from maskwise.lab.pretraining.own_score import check_importable
from maskwise.lab.printed import Printed
from maskwise.lab.records.attempts import read_attempts
from maskwise.lab.records.record import hash_of
from maskwise.lab.study.estimate import flops_per_second, seconds_for
from maskwise.lab.study.layout import LOCK, Layout
from maskwise.lab.study.own_scores import check_scores
from maskwise.lab.study.plan import Plan, make_plan, own_functions
from maskwise.lab.study.progress_table import ProgressTable
from maskwise.lab.study.results import collect, read_study, write_results
from maskwise.lab.study.study_file import Study
from maskwise.progress import printer, silent_if_not_shown

POLL_SECONDS = 0.05
LOCK_PATIENCE_SECONDS = 3.0  # how long the jobs of a killed study may take to end


@dataclass(frozen=True)
class StudyResult(Printed):
    """The folder, and why each failed job failed: the last thing it said."""

    plan: Plan
    failed: Mapping[str, str]

    def __repr__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """Returns what became of the jobs, in a few lines."""
        num_done = sum(job.is_done for job in self.plan.jobs)
        results = Layout(self.plan.out).results
        lines = [f"{num_done} of {len(self.plan.jobs)} jobs are done. Results: {results}"]
        for name, reason in self.failed.items():
            log = next(job.log for job in self.plan.jobs if job.name == name)
            lines.append(f"Failed: {name}: {reason}\n  All it said is in {log}; the same command tries it again.")
        if num_not_run := len(self.plan.jobs) - num_done - len(self.failed):
            lines.append(f"{num_not_run} jobs were not run: they need one that failed.")
        return "\n".join(lines)


@silent_if_not_shown
def run_study(
    study: Study, out: str | Path, *, jobs: int = 1, executor: Executor | None = None, show: bool = True
) -> StudyResult:
    """Runs every unfinished job of a study; `out/results.parquet` is written last.

    Killed at any moment, it resumes when called again.

    Args:
        study: What is compared; see `load_study`.
        out: The study's folder.
        jobs: How many run at a time, as processes of this machine. The processor's threads are split among them,
            unless OMP_NUM_THREADS says otherwise; the same bytes need the same number of them.
        executor: What runs the jobs instead, such as `InProcessExecutor()`.
        show: Whether to show what runs.

    Returns:
        The plan, and which jobs failed.

    Raises:
        InputError: The folder belongs to another study or one is running in it, a score has changed since runs were
            made, or something cannot run, before anything does.

    Example:
        ```python
        from maskwise.lab import load_study, run_study

        run_study(load_study("entropy-table1", scale="tiny"), "out", jobs=2)
        ```
    """
    if not isinstance(study, Study):
        raise InputError(
            f"run_study takes a Study; found {type(study).__name__}. Write run_study(load_study('study.toml'), out)."
        )
    if executor is not None and not hasattr(executor, "in_this_process"):
        raise InputError(
            f"executor is an object; found {executor!r:.60}. Write executor=LocalExecutor(jobs=2), or "
            "executor=InProcessExecutor()."
        )
    layout = Layout(Path(out))
    if executor is not None and not executor.in_this_process:
        _check_importable(study)
    elif executor is None and jobs < 1:
        raise InputError(f"--jobs is {jobs}; give at least 1.")
    elif executor is None:
        _check_importable(study)
    _check_folder(layout, study)
    check_writable(layout.out)
    plan = make_plan(study, layout.out)
    busy = f"A study is running in {out} already. Wait until it has ended, or choose another --out."
    with locked(layout.lock, busy, patience_seconds=LOCK_PATIENCE_SECONDS) as lock:
        _check_folder(layout, study)
        atomic_write(layout.study_file, _to_toml(study.resolved()))
        say = printer(show)
        for note in check_scores(study, layout):
            say(note)
        say(plan.describe(jobs))
        runner = _Runner(plan, executor or LocalExecutor(jobs, inherit=(lock.fileno(),)), jobs)
        try:
            runner.run(show=show)
        finally:
            write_results(layout.results, collect(layout.out))
    return StudyResult(plan, runner.failed)


@dataclass
class _Runner:
    """Submits jobs when what they need is done, and settles those that have ended."""

    plan: Plan
    executor: Executor
    jobs: int
    failed: dict[str, str] = field(default_factory=dict)

    def run(self, *, show: bool) -> None:
        """Runs until nothing is left that could start."""
        jobs = {job.name: job for job in self.plan.jobs}
        running: dict[str, str] = {}
        speed = flops_per_second()
        sizes = {job.name: seconds_for(job.flops, 1, self.jobs, speed) for job in self.plan.jobs}
        for job in self.plan.jobs:
            if job.is_done:  # a kill may have come before this
                _delete_what_nobody_needs(job, self.plan.study)
        with ProgressTable(jobs, sizes, show=show) as table:
            try:
                while True:
                    states = self.executor.states(list(running.values()))
                    for name in [name for name, number in running.items() if states[number] == "gone"]:
                        del running[name]
                        self._settle(jobs[name], table)
                    for job in _ready(jobs, table)[: self.executor.capacity() - len(running)]:
                        table.set(job.name, "running")
                        self._submit(job, running, table)
                    if not running and not _ready(jobs, table):
                        return
                    time.sleep(POLL_SECONDS)
            finally:
                self.executor.cancel(list(running.values()), grace_s=0.0)

    def _submit(self, job: Job, running: dict[str, str], table: ProgressTable) -> None:
        study = hash_of([str(self.plan.out.resolve()), self.plan.study.model_dump(mode="json")])
        try:
            spec = job.resolve(study, self._objects())
            running[job.name] = self.executor.submit(spec, len(read_attempts(job.attempts)) + 1)
        except (InputError, OSError) as error:
            self.failed[job.name] = str(error)
            table.set(job.name, "failed", self.failed[job.name])

    def _objects(self) -> dict[str, Any]:
        return own_functions(self.plan.study) if self.executor.in_this_process else {}

    def _settle(self, job: Job, table: ProgressTable) -> None:
        """Notes how a job ended, by the files that it left: its done-file, or else the end of its last attempt."""
        if job.is_done:
            _delete_what_nobody_needs(job, self.plan.study)
            table.set(job.name, "done")
            return
        self.failed[job.name] = how_it_ended(job)
        table.set(job.name, "failed", self.failed[job.name])


def how_it_ended(job: Job) -> str:
    """Returns why a job that is not done has ended, as far as its files tell."""
    attempts = read_attempts(job.attempts)
    last = attempts[-1] if attempts else None
    if last is not None and last.status is not None:
        return f"{last.message or 'it said nothing'} (exit code {last.exit_code})"
    said = _last_line(job.log)
    return f"killed, or ended before it began; its log ends with: {said}" if said else "killed; it said nothing"


def _last_line(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _ready(jobs: Mapping[str, Job], table: ProgressTable) -> list[Job]:
    """Returns the jobs that could start now; those that need a failed one are blocked on the way."""
    ready = []
    for name, job in jobs.items():
        if table.states[name] != "left":
            continue
        needed = [table.states[other] for other in job.needs]
        if any(state in ("failed", "blocked") for state in needed):
            table.set(name, "blocked")
        elif all(state == "done" for state in needed):
            ready.append(job)
    return ready


def _delete_what_nobody_needs(job: Job, study: Study) -> None:
    """Checkpoints of a finished run are as large as five models; tuned and timed models have said all they know."""
    for checkpoint in job.folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    if job.kind == "time" or (not study.keep_models and job.kind == "tune"):
        for weights in job.folder.rglob("model.safetensors"):
            weights.unlink()


def _check_importable(study: Study) -> None:
    for arm in study.arms:
        if callable(arm.score):
            check_importable(arm.name, arm.score)


def _check_folder(layout: Layout, study: Study) -> None:
    out = layout.out
    if not layout.study_file.exists():
        if out.exists() and not out.is_dir():
            raise InputError(f"{out} is a file; --out names the study's folder.")
        if out.exists() and any(path.name != LOCK for path in out.iterdir()):
            raise InputError(f"{out} is not empty, and not a study's folder. Choose another --out.")
        return
    before, now = (one.model_dump(mode="json", exclude_none=True) for one in (read_study(out), study.resolved()))
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if changed:
        raise InputError(
            f"The study in {out} was declared with other settings ({', '.join(changed)}). What is compared is settled "
            "before the first result: resume it with those, or choose another --out."
        )


def _to_toml(study: Study) -> str:
    return tomli_w.dumps(study.model_dump(mode="json", exclude_none=True))
