"""The study job: every cell once, several at a time, resumable; a failed one does not stop the others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import tomli_w

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.lab.jobs.claims import locked
from maskwise.lab.study.estimate import flops_per_second, seconds_for
from maskwise.lab.study.jobs_of_a_study import SPEED, Cell
from maskwise.lab.study.plan import Plan, make_plan
from maskwise.lab.study.progress_table import View
from maskwise.lab.study.results import RESULTS, collect, write_results
from maskwise.lab.study.study_file import Study, check_study
from maskwise.progress import printer
from maskwise.recipes import read_toml

STUDY_FILE = "study.toml"
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class StudyResult:
    """The folder, and why each failed cell failed: the last line it printed."""

    plan: Plan
    failed: Mapping[str, str]

    def summary(self) -> str:
        """Returns what became of the cells, in a few lines."""
        num_done = sum(cell.is_done for cell in self.plan.cells)
        lines = [f"{num_done} of {len(self.plan.cells)} cells are done. Results: {self.plan.out / RESULTS}"]
        for name, reason in self.failed.items():
            log = next(cell.log for cell in self.plan.cells if cell.name == name)
            lines.append(f"Failed: {name}: {reason}\n  All it said is in {log}; the same command tries it again.")
        if num_not_run := len(self.plan.cells) - num_done - len(self.failed):
            lines.append(f"{num_not_run} cells were not run: they need one that failed.")
        return "\n".join(lines)


def run_study(study: Study, out: str | Path, *, jobs: int = 1, show: bool = True) -> StudyResult:
    """Runs every unfinished cell of a study, `jobs` at a time, and returns what failed; `out/results.parquet` is last.

    Killed at any moment, it goes on when called again. The processor's threads are split among the jobs, unless
    OMP_NUM_THREADS says otherwise; the same bytes need the same number of them. Raises InputError where the folder
    belongs to another study or one is running in it, and for what cannot run, before anything does.
    """
    out = Path(out)
    if jobs < 1:
        raise InputError(f"--jobs is {jobs}; give at least 1.")
    _check_folder(out, study)
    plan = make_plan(study, out)
    with locked(out) as lock:
        _check_folder(out, study)
        atomic_write(out / STUDY_FILE, _to_toml(study))
        printer(show)(plan.describe(jobs))
        try:
            failed = _run_cells(plan, jobs, lock, show)
        finally:
            write_results(out / RESULTS, collect(study, out))
    return StudyResult(plan, failed)


def open_study(out: str | Path) -> Study:
    """Returns the study that a folder belongs to; raises InputError where there is none."""
    if not (Path(out) / STUDY_FILE).exists():
        raise InputError(f"{out} is not the folder of a study: there is no {STUDY_FILE}.")
    return check_study(read_toml(Path(out) / STUDY_FILE))


def _run_cells(plan: Plan, jobs: int, lock: IO[str], show: bool) -> dict[str, str]:
    cells = {cell.name: cell for cell in plan.cells}
    running: dict[str, subprocess.Popen[bytes]] = {}
    failed: dict[str, str] = {}
    speed = flops_per_second()
    sizes = {cell.name: seconds_for(cell.flops, 1, jobs, speed) for cell in plan.cells}
    for cell in plan.cells:
        if cell.is_done:  # a kill may have come before this
            _delete_what_nobody_needs(cell, plan.study)
    with View(cells, sizes, show=show) as view:
        try:
            while True:
                for name in [name for name, process in running.items() if process.poll() is not None]:
                    _settle(cells[name], running.pop(name), plan.study, view, failed)
                for cell in _ready(cells, view)[: jobs - len(running)]:
                    view.set(cell.name, "running")
                    try:
                        running[cell.name] = _start(cell, jobs, lock)
                    except (InputError, OSError) as error:
                        failed[cell.name] = str(error)
                        view.set(cell.name, "failed", failed[cell.name])
                if not running and not _ready(cells, view):
                    return failed
                time.sleep(POLL_SECONDS)
        finally:
            for process in running.values():
                process.kill()
                process.wait()


def _ready(cells: Mapping[str, Cell], view: View) -> list[Cell]:
    """Returns the cells that could start now; those that need a failed one are blocked on the way."""
    ready = []
    for name, cell in cells.items():
        if view.states[name] != "left":
            continue
        needed = [view.states[other] for other in cell.needs]
        if any(state in ("failed", "blocked") for state in needed):
            view.set(name, "blocked")
        elif all(state == "done" for state in needed):
            ready.append(cell)
    return ready


def _start(cell: Cell, jobs: int, lock: IO[str]) -> subprocess.Popen[bytes]:
    cell.folder.parent.mkdir(parents=True, exist_ok=True)
    if cell.prepare is not None:
        cell.prepare()
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // jobs))
    with cell.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "maskwise.lab.jobs.local", str(cell.cost), *cell.arguments],
            stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=(lock.fileno(),),
            env=os.environ | {"OMP_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"},
        )  # fmt: skip


def _settle(cell: Cell, process: subprocess.Popen[bytes], study: Study, view: View, failed: dict[str, str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode == 0 and cell.is_done:
        _delete_what_nobody_needs(cell, study)
        view.set(cell.name, "done")
        return
    said = [line for line in cell.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    failed[cell.name] = (said[-1] if said else "it said nothing") + f" (exit code {process.returncode})"
    view.set(cell.name, "failed", failed[cell.name])


def _delete_what_nobody_needs(cell: Cell, study: Study) -> None:
    """Checkpoints of a finished run are as large as five models; tuned and timed models have said all they know."""
    for checkpoint in cell.folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    if cell.name.startswith(f"{SPEED}/") or (not study.keep_models and cell.arguments[0] == "finetune"):
        for weights in cell.folder.rglob("model.safetensors"):
            weights.unlink()


def _check_folder(out: Path, study: Study) -> None:
    if not (out / STUDY_FILE).exists():
        if out.exists() and not out.is_dir():
            raise InputError(f"{out} is a file; --out names the study's folder.")
        if out.exists() and any(path.name != "study.lock" for path in out.iterdir()):
            raise InputError(f"{out} is not empty, and no study. Choose another --out.")
        return
    before, now = (one.model_dump(mode="json") for one in (open_study(out), study))
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if changed:
        raise InputError(
            f"The study in {out} was declared with other settings ({', '.join(changed)}). What is compared is settled "
            "before the first result: go on with those, or choose another --out."
        )


def _to_toml(study: Study) -> str:
    return tomli_w.dumps(study.model_dump(mode="json", exclude_none=True))
