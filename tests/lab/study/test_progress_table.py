import io

import pytest
from rich.console import Console

from maskwise.lab.study.jobs_of_a_study import Cell
from maskwise.lab.study.progress_table import View


@pytest.fixture
def cells(tmp_path):
    names = ["random/tiny/0/pretrain", "random/tiny/0/cola", "cold/tiny/0/pretrain", "cold/tiny/0/cola"]
    made = {name: Cell(name, tmp_path / name, [], tmp_path / name.replace("/", "-")) for name in names}
    made[names[0]].done.touch()
    return made


def test_what_is_done_counts_from_the_start(cells):
    view = View(cells, dict.fromkeys(cells, 1.0), show=False)
    assert view.counts == {"done": 1, "left": 3}
    assert view.seconds_left is None


def test_the_table_has_a_row_an_arm_and_names_what_runs(cells):
    view = View(cells, dict.fromkeys(cells, 1.0), show=False)
    view.set("random/tiny/0/cola", "running")
    view.set("cold/tiny/0/pretrain", "running")
    view.set("cold/tiny/0/pretrain", "failed", "no such teacher")
    view.set("cold/tiny/0/cola", "blocked")
    console = Console(file=io.StringIO(), width=100)
    console.print(view.table())
    shown = console.file.getvalue()
    assert "1 of 4 cells, about" in shown
    assert "random/tiny/0/cola, 0s" in shown
    (cold,) = (line for line in shown.splitlines() if "cold" in line and "│" in line)
    assert [part.strip() for part in cold.strip("│ ").split("│")] == ["cold", "", "", "", "1", "1"]


def test_without_a_terminal_each_cell_that_ends_is_a_line(cells, capsys):
    with View(cells, dict.fromkeys(cells, 1.0)) as view:
        view.set("random/tiny/0/cola", "running")
        view.set("random/tiny/0/cola", "done")
        view.set("cold/tiny/0/pretrain", "failed", "no such teacher")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("[2 of 4 cells, about") and lines[0].endswith("random/tiny/0/cola: done in 0s")
    assert lines[1].endswith("cold/tiny/0/pretrain: failed. no such teacher")


def test_the_time_left_weighs_cells_by_their_size(cells, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("maskwise.lab.study.progress_table.time.monotonic", lambda: now[0])
    sizes = dict(zip(cells, (9.0, 1.0, 9.0, 1.0), strict=True))
    view = View(cells, sizes, show=False)
    view.set("random/tiny/0/cola", "running")
    now[0] = 2.0
    view.set("random/tiny/0/cola", "done")
    assert view.seconds_left == pytest.approx(2.0 * (9 + 1))
