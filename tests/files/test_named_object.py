import json
import sys

import pytest

from maskwise.errors import InputError
from maskwise.files.named_object import import_object


def find(name):
    return import_object(name, "collator")


def test_objects_are_found_by_module_and_by_file(tmp_path, monkeypatch):
    assert find("json:dumps") is json.dumps
    assert find("json:JSONEncoder.encode") is json.JSONEncoder.encode
    (tmp_path / "in_this_folder.py").write_text("def f(rows): return rows\n", encoding="utf-8")
    assert find(f"{tmp_path / 'in_this_folder.py'}:f")(1) == 1
    monkeypatch.chdir(tmp_path)
    assert find("in_this_folder:f")(1) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("json.dumps", "does not name a collator. Write package.module:name"),
        ("no_such_module:f", "cannot be imported: No module named 'no_such_module'"),
        ("no/such/file.py:f", "there is no file"),
        ("fails_at_import.py:f", "ZeroDivisionError"),
        ("json:dmups", "Did you mean 'dumps'"),
    ],
)
def test_what_is_not_there_is_a_message_that_names_it(name, message, tmp_path, monkeypatch):
    (tmp_path / "fails_at_import.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        find(name)


def test_a_file_with_the_name_of_a_module_hides_it_from_nobody(tmp_path):
    """In processes that are spawned later too, which take over the search path."""
    before = list(sys.path)
    (tmp_path / "json.py").write_text("def mine(rows): return rows\n", encoding="utf-8")
    assert find(f"{tmp_path / 'json.py'}:mine")(1) == 1
    assert find("json:dumps") is json.dumps
    assert sys.path == before
