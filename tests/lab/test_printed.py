"""What the laboratory returns prints itself, and is shown by a notebook."""

import importlib
import typing

import pytest

from maskwise.lab import _MODULES
from maskwise.lab import __all__ as names
from maskwise.lab.evaluation.side_by_side import SideBySide
from maskwise.lab.evaluation.zero_shot import ZeroShotResult
from maskwise.lab.printed import Printed
from maskwise.lab.reports.job import PrintedReport
from maskwise.lab.study.study_file import Study

PLAIN = ("collect", "holm", "annotate", "demo")  # a frame, numbers, a path, a text


def returned(name):
    """The class of what a public function of the laboratory returns."""
    function = getattr(importlib.import_module(_MODULES[name]), name)
    return typing.get_type_hints(function).get("return")


@pytest.mark.parametrize("name", [name for name in names if name[0].islower() and name not in PLAIN])
def test_what_a_function_returns_is_shown_by_a_notebook(name):
    kind = PrintedReport if name == "report" else returned(name)
    if kind is Study:
        pytest.skip("a declaration, which pydantic prints")
    assert "_repr_html_" in dir(kind)
    assert kind.__repr__ is not object.__repr__


def test_a_notebook_shows_what_is_printed_and_marks_nothing_up():
    shown = SideBySide({}, quintiles="<b>entropy</b>")
    assert "<b>entropy</b>" in repr(shown)
    assert shown._repr_html_() == f"<pre>{repr(shown).replace('<', '&lt;').replace('>', '&gt;')}</pre>"
    assert isinstance(shown, Printed)


def test_a_zero_shot_result_prints_its_metrics_next_to_the_floors():
    result = ZeroShotResult("pairs:blimp", "run", "accuracy", True, {"accuracy": 0.75}, {"unigram": 0.5}, None, "{}")
    assert repr(result).splitlines() == ["pairs:blimp of run", "  accuracy: 0.7500", "  accuracy of unigram: 0.5000"]
