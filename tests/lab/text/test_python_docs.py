import argparse
import ast
import inspect
import json
import textwrap

import pytest

from maskwise.lab.text.python_docs import docstrings, prose, python_documents

MODULES = [argparse, ast, inspect, json, textwrap]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_docstrings_are_those_the_parser_finds(module):
    source = inspect.getsource(module)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    parsed = (ast.get_docstring(node) for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))
    expected = {text for text in parsed if text and "\n" in text}  # one line may stand in single quotes
    assert expected
    assert expected <= set(docstrings(source))


def test_only_english_prose_stays():
    text = """Return the mean of the values in a list, or None.

    >>> mean([1, 2])
    1.5

    :param values: the numbers that are to be averaged here.

    x = values[0] + values[1] * (a - b) / {c} of the [d] is it.

    Der Mittelwert wird aus allen Werten der Liste berechnet.

    The empty list has no mean, so that the result
    is None for it.
    """
    assert prose(inspect.cleandoc(text)).split("\n") == [
        "Return the mean of the values in a list, or None.",
        "The empty list has no mean, so that the result is None for it.",
    ]


def test_documents_carry_their_package_and_come_sorted_without_tests(tmp_path):
    body = '"""This is the documentation of the module {}."""\n'
    for name in ("zebra.py", "apple/core.py", "apple/tests/test_core.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body.format(name))
    assert list(python_documents([tmp_path])) == [
        ("This is the documentation of the module apple/core.py.", "apple"),
        ("This is the documentation of the module zebra.py.", "zebra"),
    ]


@pytest.mark.slow
def test_this_installation_gives_between_one_and_six_million_words():
    words, packages = 0, set()
    for text, package in python_documents():
        words += len(text.split())
        packages.add(package)
    assert 1e6 < words < 6e6
    assert {"python", "json", "torch", "numpy"} <= packages
