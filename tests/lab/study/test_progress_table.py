import io

import pytest
from rich.console import Console

from maskwise.lab.jobs.job import Job, Requirements
from maskwise.lab.study.progress_table import ProgressTable


@pytest.fixture
def jobs(tmp_path):
    names = ["random/tiny/0/pretrain", "random/tiny/0/cola", "cold/tiny/0/pretrain", "cold/tiny/0/cola"]
    made = {
        name: Job(name, "tune", tmp_path / name, (), tmp_path / name.replace("/", "-"), Requirements(), Requirements)
        for name in names
    }
    made[names[0]].done.touch()
    return made


def test_what_is_done_counts_from_the_start(jobs):
    table = ProgressTable(jobs, dict.fromkeys(jobs, 1.0), show=False)
    assert table.counts == {"done": 1, "left": 3}
    assert table.seconds_left is None


def test_the_table_has_a_row_an_arm_and_names_what_runs(jobs):
    table = ProgressTable(jobs, dict.fromkeys(jobs, 1.0), show=False)
    table.set("random/tiny/0/cola", "running")
    table.set("cold/tiny/0/pretrain", "running")
    table.set("cold/tiny/0/pretrain", "failed", "no such teacher")
    table.set("cold/tiny/0/cola", "blocked")
    console = Console(file=io.StringIO(), width=100)
    console.print(table.table())
    shown = console.file.getvalue()
    assert "1 of 4 jobs, about" in shown
    assert "random/tiny/0/cola, 0s" in shown
    (cold,) = (line for line in shown.splitlines() if "cold" in line and "│" in line)
    assert [part.strip() for part in cold.strip("│ ").split("│")] == ["cold", "", "", "", "1", "1"]


def test_without_a_terminal_each_job_that_ends_is_a_line(jobs, capsys):
    with ProgressTable(jobs, dict.fromkeys(jobs, 1.0)) as table:
        table.set("random/tiny/0/cola", "running")
        table.set("random/tiny/0/cola", "done")
        table.set("cold/tiny/0/pretrain", "failed", "no such teacher")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("[2 of 4 jobs, about") and lines[0].endswith("random/tiny/0/cola: done in 0s")
    assert lines[1].endswith("cold/tiny/0/pretrain: failed. no such teacher")


def test_the_time_left_weighs_jobs_by_their_size(jobs, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("maskwise.lab.study.progress_table.time.monotonic", lambda: now[0])
    sizes = dict(zip(jobs, (9.0, 1.0, 9.0, 1.0), strict=True))
    table = ProgressTable(jobs, sizes, show=False)
    table.set("random/tiny/0/cola", "running")
    now[0] = 2.0
    table.set("random/tiny/0/cola", "done")
    assert table.seconds_left == pytest.approx(2.0 * (9 + 1))
