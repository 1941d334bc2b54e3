"""The kept reports' values decided again: same figures as printed then, other verdicts, and the page that says so."""

import math
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def recompute():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import recompute_verdicts
    finally:
        sys.path.remove(str(BENCHMARKS))
    return recompute_verdicts


@pytest.mark.parametrize(("name", "number"), [("entropy-tiny", 168), ("typhoon-grid", 126)])
def test_every_figure_that_both_have_is_the_same(recompute, name, number):
    figures = list(recompute.figures_then_and_now(name))
    assert len(figures) == number
    for figure, then, now in figures:
        assert (math.isnan(then) and math.isnan(now)) or then == pytest.approx(now, abs=1e-12), figure


@pytest.mark.parametrize(
    ("name", "places", "verdicts"),
    [
        ("entropy-tiny", [("cola", "tiny")] * 5, {"inconclusive": 5, "no signal": 15}),
        ("typhoon-grid", [("cola", "english"), *[("mrpc", "ninth")] * 2], {"inconclusive": 2, "no signal": 10}),
    ],
)
def test_the_empty_equivalences_have_no_signal(recompute, name, places, verdicts):
    rows = recompute.verdict_rows(name)
    empty = [(row["task"], row["backbone"]) for row in rows if row["before"] == "equivalent"]
    assert sorted(empty) == places
    assert {row["verdict"] for row in rows if row["before"] == "equivalent"} == {"no signal"}
    assert {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in verdicts} == verdicts


def test_the_page_in_the_documentation_is_the_present_one(recompute):
    """Another rule would leave verdicts standing that it no longer gives."""
    page = (BENCHMARKS.parent / "docs" / "reports" / "recomputed.md").read_text(encoding="utf-8")
    assert page.strip() == recompute.whole_page().strip()
