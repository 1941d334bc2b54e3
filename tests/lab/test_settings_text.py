"""Settings as text that nobody means: refused with the setting that is wrong, and not by a full stack."""

import pytest

from maskwise.errors import InputError
from maskwise.lab.config import parse_assignments
from maskwise.recipes import parse_toml, read_toml

DEEP = 100_000


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("a=" + "[" * DEEP, "the value .* is nested too deeply"),
        ("a=" + "[" * DEEP + "]" * DEEP, "the value .* is nested too deeply"),
        ("a=" + "{b=" * DEEP, "the value .* is nested too deeply"),
        ("a." * DEEP + "b=1", "names a setting more than 20 deep"),
        ("a", "--set takes KEY=VALUE"),
        ("=1", "--set takes KEY=VALUE"),
    ],
    ids=["open brackets", "brackets", "tables", "dots", "no value", "no key"],
)
def test_an_assignment_that_cannot_be_one_is_refused(assignment, said):
    with pytest.raises(InputError, match=said) as error:
        parse_assignments([assignment])
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("text", ["9" * 5000, "1\nb = 2", "1979-99-99", '"open', "{", "]"])
def test_a_value_that_is_not_toml_is_a_text(text):
    """Also what TOML would take for a second setting, or Python for too long a number."""
    assert parse_assignments([f"a.b={text}"]) == {"a": {"b": text}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * DEEP, "nested more than 20 deep"),
        ("a = " + "[" * 30 + "]" * 30, "nested more than 20 deep"),
        ("a." * 30 + "b = 1", "nested more than 20 deep"),
        ("[" + "a." * 30 + "b]", "nested more than 20 deep"),
        ("a = " + "9" * 5000, "is not valid TOML"),
        ("a = ", "is not valid TOML"),
    ],
)
def test_a_file_that_nobody_means_is_refused_by_its_name(text, said, tmp_path):
    with pytest.raises(InputError, match=rf"settings\.toml.* {said}"):
        parse_toml(text, "settings.toml")
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"settings\.toml.* {said}"):
        read_toml(path)


def test_a_file_that_is_not_text_and_a_folder_are_refused(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(InputError, match=r"a\.toml is not valid TOML"):
        read_toml(tmp_path / "a.toml")
    with pytest.raises(InputError, match="There is no file"):
        read_toml(tmp_path)
