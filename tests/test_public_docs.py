"""Every public name explains itself: what it takes, returns and refuses, with an example that runs or fits."""

import ast
import inspect
import re
import textwrap

import pytest

import maskwise
import maskwise.lab

FRONTS = {name: front for front in (maskwise, maskwise.lab) for name in front.__all__}
PUBLIC = {name: getattr(front, name) for name, front in FRONTS.items()}


def parameters(public):
    """The names of what a caller gives."""
    is_error = isinstance(public, type) and issubclass(public, Exception)
    return [] if is_error else [name for name in inspect.signature(public).parameters if name != "kwargs"]


def documented(public, section):
    """The names that a section of a docstring describes."""
    found = re.search(rf"^{section}:\n((?:    .*\n|\n)+)", f"{inspect.getdoc(public)}\n", flags=re.MULTILINE)
    return re.findall(r"^    \*{0,2}(\w+):", found[1], flags=re.MULTILINE) if found else []


def sources(public):
    """The code of a function, or of what makes an object of a class."""
    if not isinstance(public, type):
        return [inspect.getsource(public)]
    made_by = vars(public).get("__init__")
    is_written = inspect.isfunction(made_by) and made_by.__code__.co_filename.endswith(".py")
    return [inspect.getsource(made_by)] if is_written else []


def raises_itself(public):
    trees = [ast.parse(textwrap.dedent(source)) for source in sources(public)]
    return any(
        isinstance(node, ast.Raise) and "InputError" in ast.dump(node) for tree in trees for node in ast.walk(tree)
    )


def returns_something(public):
    return not isinstance(public, type) and inspect.signature(public).return_annotation not in (None, "None")


def blocks(public):
    """The examples in fences, which are too long to run as doctests."""
    text = inspect.getdoc(public) or ""
    return [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)]


def test_there_is_something_to_look_at():
    assert len(PUBLIC) > 45
    assert sum(map(raises_itself, PUBLIC.values())) > 10
    assert sum(bool(blocks(public)) for public in PUBLIC.values()) > 5


def test_every_parameter_is_described():
    """Fields of a dataclass may be described as attributes."""
    lacking = []
    for name, public in PUBLIC.items():
        told = [*documented(public, "Args"), *documented(public, "Attributes")]
        lacking += [f"{name}: {parameter}" for parameter in parameters(public) if parameter not in told]
    assert not lacking


def test_no_parameter_is_described_that_is_not_there():
    strange = []
    for name, public in PUBLIC.items():
        there = [*parameters(public), "kwargs"]
        strange += [f"{name}: {told}" for told in documented(public, "Args") if told not in there]
    assert not strange


def test_what_is_returned_is_described():
    assert not [
        name
        for name, public in PUBLIC.items()
        if returns_something(public) and "\nReturns:\n    " not in (inspect.getdoc(public) or "")
    ]


def test_what_is_refused_is_described():
    assert not [
        name
        for name, public in PUBLIC.items()
        if (raises_itself(public) or re.search(r"[Rr]aises InputError", inspect.getdoc(public) or ""))
        and documented(public, "Raises") != ["InputError"]
    ]


def test_every_name_has_an_example():
    assert not [name for name, public in PUBLIC.items() if ">>> " not in inspect.getdoc(public) and not blocks(public)]


@pytest.mark.parametrize("name", sorted(name for name, public in PUBLIC.items() if blocks(public)))
def test_an_example_that_is_not_run_fits_the_functions_it_calls(name):
    """A renamed function or argument would leave it behind."""
    for block in blocks(PUBLIC[name]):
        tree = ast.parse(block)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        public = [call for call in calls if call.func.id in PUBLIC]
        assert name in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for call in public:
            keywords = {keyword.arg: None for keyword in call.keywords if keyword.arg}
            inspect.signature(PUBLIC[call.func.id]).bind(*call.args, **keywords)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in ("maskwise", "maskwise.lab"):
                assert all(hasattr(FRONTS[alias.name], alias.name) for alias in node.names)
                assert all(FRONTS[alias.name].__name__ == node.module for alias in node.names)
