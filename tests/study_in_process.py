"""Runs a study whose cells are jobs of one process: starting Python and torch for each would take most of the time.

As a script, `python study_in_process.py STUDY.toml OUT`, it can be killed as a whole.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from unittest import mock

from maskwise.errors import InputError
from maskwise.lab.study import runner as job
from maskwise.lab.study.jobs_of_a_study import Cell
from maskwise.lab.study.study_file import load_study


class Finished:
    """A process that ended before it was looked at."""

    stdin = None

    def __init__(self, returncode: int) -> None:
        self.returncode = returncode

    def poll(self) -> int:
        return self.returncode


def run_cell(cell: Cell, jobs: int, lock: object) -> Finished:
    from maskwise.lab.cli import make_app

    cell.folder.parent.mkdir(parents=True, exist_ok=True)
    if cell.prepare is not None:
        cell.prepare()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            make_app()(list(cell.arguments), standalone_mode=False)
            code = 0
        except InputError as error:
            print(f"Error: {error}")
            code = 2
    cell.log.write_text(said.getvalue(), encoding="utf-8")
    return Finished(code)


def run_in_process(path: Path, out: Path, **changes: object) -> job.StudyResult:
    with mock.patch.object(job, "_start", run_cell):
        return job.run_study(load_study(str(path), changes=changes), out, show=False)


if __name__ == "__main__":
    run_in_process(Path(sys.argv[1]), Path(sys.argv[2]))
