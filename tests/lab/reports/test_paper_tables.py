"""The paper's numbers against its own arithmetic."""

from pathlib import Path

import pytest

from maskwise.lab.reports.paper_tables import CONSTANT, PRINTED_TASKS, ROWS, VALIDATION_SIZE, find_row, is_single_run
from maskwise.recipes import recipe_names

WRONG = {"marg": (64.17, 71.77), "alt": (62.79, 71.86), "mid": (62.23, 69.16), "max,cold": (61.37, 69.37)}
BY_NAME = {(row.backbone, row.arm): row for row in ROWS}


def test_there_are_sixteen_rows_of_seven_cells():
    assert len(BY_NAME) == len(ROWS) == 16
    assert all(tuple(row.cells) == PRINTED_TASKS for row in ROWS)
    assert {row.recipe for row in ROWS} <= set(recipe_names())


def test_twelve_totals_agree_and_four_do_not():
    wrong = {row.arm: (row.printed_total, round(row.total, 2)) for row in ROWS if not row.total_agrees}
    assert wrong == WRONG
    assert all(row.backbone == "bertlet" for row in ROWS if not row.total_agrees)
    assert sum(row.total_agrees for row in ROWS) == 12


def test_no_mean_of_six_tasks_explains_a_wrong_total():
    for row in ROWS:
        if not row.total_agrees:
            sixes = [row.mean_of(*(task for task in PRINTED_TASKS if task != left_out)) for left_out in PRINTED_TASKS]
            assert min(abs(six - row.printed_total) for six in sixes) > 1


def test_no_single_misprinted_cell_explains_a_wrong_total():
    """The cell would have to be some 50 points lower than printed: below any classifier of its task."""
    for row in ROWS:
        if not row.total_agrees:
            missing = 7 * (row.total - row.printed_total)
            assert all(row.cells[task] - missing < CONSTANT[task] for task in PRINTED_TASKS)


@pytest.mark.parametrize(
    ("name", "at", "at_or_below"),
    [
        (("bert", "baseline"), "", "rte"),
        (("bertlet", "baseline"), "", ""),
        (("bert", "max"), "rte", "cola mrpc rte"),
        (("bertlet", "max"), "", "cola mrpc"),
        (("bert", "min"), "", "mrpc"),
        (("bertlet", "min"), "", "cola mrpc rte"),
        (("bert", "marg"), "", "mrpc"),
        (("bertlet", "marg"), "", "cola mrpc"),
        (("bert", "alt"), "", "cola mrpc"),
        (("bertlet", "alt"), "", "cola"),
        (("bert", "mid"), " ".join(PRINTED_TASKS), " ".join(PRINTED_TASKS)),
        (("bertlet", "mid"), "cola mrpc rte", "cola mrpc rte"),
        (("bert", "max,cold"), "cola mrpc qqp rte sst2 mnli", " ".join(PRINTED_TASKS)),
        (("bertlet", "max,cold"), "cola", "cola mrpc"),
        (("bert", "max,init"), "mrpc", "mrpc rte"),
        (("bertlet", "max,init"), "", "cola mrpc"),
    ],
)
def test_cells_at_the_constant_classifier_are_marked(name, at, at_or_below):
    row = BY_NAME[name]
    assert [task for task in PRINTED_TASKS if row.mark(task) == "at"] == at.split()
    assert [task for task in PRINTED_TASKS if row.mark(task)] == at_or_below.split()


def test_the_cold_bert_gave_the_other_class_on_qnli():
    assert BY_NAME["bert", "max,cold"].mark("qnli") == "other"


def test_how_many_cells_carry_no_signal():
    silent = {task: sum(bool(row.mark(task)) for row in ROWS) for task in PRINTED_TASKS}
    assert (silent["cola"], silent["mrpc"], silent["rte"]) == (11, 13, 7)


def test_means_of_the_four_tasks_that_carry_signal():
    four = ("qnli", "qqp", "sst2", "mnli")
    means = {name: round(row.mean_of(*four), 2) for name, row in BY_NAME.items()}
    assert means["bert", "baseline"] == 77.33 and means["bert", "alt"] == 82.55
    assert means["bertlet", "baseline"] == 73.08 and means["bertlet", "max,init"] == 80.22


def test_the_gains_that_the_abstract_rounds_to_five_percent():
    absolute, relative = [], []
    for backbone in ("bert", "bertlet"):
        base, best = (BY_NAME[backbone, arm].total for arm in ("baseline", "max,init"))
        absolute.append(round(best - base, 2))
        relative.append(round(100 * (best / base - 1), 1))
    assert (absolute, relative) == ([3.2, 4.23], [4.4, 6.0])


def test_no_cell_is_a_mean_of_two_different_runs():
    """Half of all means of two runs would fall between whole numbers of examples; of 48 cells none does."""
    found = [is_single_run(row.cells[task], task) for row in ROWS for task in ("cola", "rte", "sst2")]
    assert len(found) == 48 and all(found)
    on_qnli = [is_single_run(row.cells["qnli"], "qnli") for row in ROWS]
    assert (on_qnli.count(True), on_qnli.count(None), on_qnli.count(False)) == (13, 3, 0)


def test_a_mean_of_two_runs_would_be_seen():
    size = VALIDATION_SIZE["rte"]
    assert is_single_run(round(100 * 150 / size, 2), "rte") is True
    assert is_single_run(round(100 * 150.5 / size, 2), "rte") is False


def test_the_page_has_the_cells_and_marks_computed_here():
    page = (Path(__file__).parents[3] / "docs" / "published-tables.md").read_text(encoding="utf-8")
    style = {"": "{:.2f}", "at": "**{:.2f}**", "other": "**{:.2f}**", "below": "*{:.2f}*"}
    for row in ROWS:
        name = f"{'BERT' if row.backbone == 'bert' else 'BERTlet'} {row.arm.replace(',', ', ')}"
        cells = [style[row.mark(task)].format(row.cells[task]) for task in PRINTED_TASKS]
        assert f"| {' | '.join([name, *cells, f'{row.total:.2f}'])} |" in page


def test_rows_are_found_by_either_name():
    assert find_row("bert", "max") is find_row("bert", "entropy-high") is BY_NAME["bert", "max"]
    assert find_row("bert", "typhoon") is None
