"""Every public name explains itself: what it takes, returns and refuses, with an example that runs or fits."""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import maskwise
from examples_in_text import FRONTS, PUBLIC, blocks, what_does_not_fit

REPOSITORY = Path(maskwise.__file__).parents[2]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


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


def examples(public):
    """The examples in fences, which are too long to run as doctests."""
    return blocks(inspect.getdoc(public) or "")


def test_there_is_something_to_look_at():
    assert len(PUBLIC) > 45
    assert sum(map(raises_itself, PUBLIC.values())) > 10
    assert sum(bool(examples(public)) for public in PUBLIC.values()) > 5


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


def test_functions_of_the_laboratory_keep_the_libraries_bars_off_too_if_they_show_nothing():
    with_show = [public for public in PUBLIC.values() if "show" in parameters(public)]
    in_the_laboratory = [public for public in with_show if public.__module__.startswith("maskwise.lab")]
    assert len(in_the_laboratory) > 10
    assert not [public.__name__ for public in in_the_laboratory if not hasattr(public, "__wrapped__")]


def test_every_name_has_an_example():
    assert not [
        name for name, public in PUBLIC.items() if ">>> " not in inspect.getdoc(public) and not examples(public)
    ]


def test_an_example_that_is_not_run_fits_the_functions_it_calls():
    """A renamed function or argument would leave it behind."""
    faults = []
    for name, public in PUBLIC.items():
        for block in examples(public):
            faults += [f"{name}: {fault}" for fault in what_does_not_fit(block)]
            faults += [] if name in block else [f"{name} is not in its own example"]
    assert not faults


def test_an_example_that_does_not_fit_is_noticed():
    assert what_does_not_fit("from maskwise import entrpy") == ["maskwise has no entrpy"]
    assert what_does_not_fit("load_recipe(nme='random')")[0].startswith("load_recipe: ")
    assert what_does_not_fit("load_recipe(")[0].startswith("not Python")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_the_pages_fit_too(page):
    assert not [fault for block in blocks(page.read_text(encoding="utf-8")) for fault in what_does_not_fit(block)]


def test_the_page_of_the_api_has_every_name():
    page = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8").splitlines()
    missing = [f"::: {front._MODULES[name]}.{name}" for name, front in FRONTS.items()]
    assert not [line for line in missing if line not in page]


def test_command_lines_in_the_pages_have_options_that_there_are():
    """Of lines that begin with `maskwise`; a renamed option would leave them behind."""
    from typer.main import get_command

    from maskwise.lab.cli import make_app

    commands = get_command(make_app()).commands
    faults, seen = [], 0
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            if not line.startswith("    maskwise ") or line.split()[1] == "...":
                continue
            name, *words = line.split(" #")[0].split()[1:]
            known = {option for parameter in commands[name].params for option in parameter.opts}
            faults += [f"{page.name}: {name} {word}" for word in words if word.startswith("--") and word not in known]
            seen += 1
    assert seen > 20
    assert not faults
