import pytest

from maskwise.errors import InputError
from maskwise.files.path_names import checked_path_name, path_text


@pytest.mark.parametrize("name", ["sst2", "a", "7", "SST-2", "entropy_high.v2", "x" * 100])
def test_a_plain_name_is_returned(name):
    assert checked_path_name(name, "task") == name


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x", "a/b", "/etc", "a\\b", "-x", ".hidden", "a b", "a\n", "a\0", "C:x", "~", "x" * 101,
        "café", "\ud83d",
    ],
)  # fmt: skip
def test_a_name_that_could_lead_elsewhere_is_refused(name):
    with pytest.raises(InputError, match="cannot be the name of a folder"):
        checked_path_name(name, "task")


def test_a_name_too_long_for_a_file_system_is_refused_before_it_is_asked():
    """It would raise OSError wherever somebody asks whether the file is there."""
    assert path_text("runs/" + "a" * 255, "checkpoint").endswith("a")
    for name in ("é" * 128, f"runs/{'a' * 256}/checkpoint"):
        with pytest.raises(InputError, match="The checkpoint has a name of more than 255 bytes"):
            path_text(name, "checkpoint")
