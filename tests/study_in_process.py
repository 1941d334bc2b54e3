"""Runs a study whose jobs are done in one process: starting Python and torch for each would take most of the time.

As a script, `python study_in_process.py STUDY.toml OUT`, it can be killed as a whole.
"""

from __future__ import annotations

import sys
from pathlib import Path

from maskwise.lab.jobs.in_process import InProcessExecutor
from maskwise.lab.study.runner import StudyResult, run_study
from maskwise.lab.study.study_file import load_study


def run_in_process(path: Path, out: Path, **changes: object) -> StudyResult:
    return run_study(load_study(str(path), changes=changes), out, executor=InProcessExecutor(), show=False)


if __name__ == "__main__":
    run_in_process(Path(sys.argv[1]), Path(sys.argv[2]))
