import json

import pytest

from maskwise.errors import InputError
from maskwise.files.json_text import parse_json, read_json, read_json_object


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "x, line 1 is not JSON: Expecting property name enclosed in double quotes at character 1"),
        ("", "x, line 1 is not JSON"),
        ("[" * 100_000 + "]" * 100_000, "x, line 1 is JSON nested too deeply"),
        ('{"a":' * 100_000, "x, line 1 is JSON nested too deeply"),
        ("9" * 5000, "x, line 1 is JSON that cannot be read"),
    ],
    ids=["an open brace", "nothing", "brackets", "braces", "a long number"],
)
def test_what_python_cannot_parse_is_refused_with_its_place(text, said):
    with pytest.raises(InputError) as error:
        parse_json(text, "x, line 1")
    assert said in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON"),
        (b"\x00\xff", "is not UTF-8"),
        (b"{'a': 1}", "is not JSON"),
        (b"[1]", "holds a list, not a JSON object"),
        (b"null", "holds a NoneType"),
        (b"[" * 50_000, "nested too deeply"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(content, said, tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        read_json_object(path, advice="Delete it.")
    assert str(error.value).startswith(str(path))
    assert str(error.value).endswith("Delete it.")


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_json(tmp_path / "none.json", advice="")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_json(tmp_path, advice="")


def test_a_byte_order_mark_is_no_part_of_the_value(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": 1}).encode())
    assert read_json_object(tmp_path / "a.json", advice="") == {"a": 1}
