"""Names of checkpoints: what is a folder, what is a model of the hub, and what is refused without asking anybody."""

import pytest

from maskwise.errors import InputError
from maskwise.files.checkpoint_names import (
    checkpoint_on_purpose,
    checkpoint_source,
    folder_unless_hub,
    with_hub_named,
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "teacher").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("name", ["bert-base-uncased", "answerdotai/ModernBERT-base"])
def test_a_bare_name_goes_to_the_hub_in_python(name):
    assert checkpoint_source(name) == checkpoint_source(f"hub:{name}") == name
    assert with_hub_named(name) == with_hub_named(f"hub:{name}") == f"hub:{name}"


def test_a_folder_that_is_there_is_taken(folder):
    for name in ("runs/teacher", str(folder / "runs" / "teacher"), "./runs/teacher", "runs"):
        for read in (checkpoint_source, checkpoint_on_purpose, folder_unless_hub, with_hub_named):
            assert read(name) == name
    assert checkpoint_source(folder / "runs" / "teacher") == str(folder / "runs" / "teacher")


@pytest.mark.parametrize(
    "name", ["./run", "../run", "~/run", "/tmp/no-such-run", "a/b/c", "run/", "runs/techer", "my run", "C:\\run", ""]
)
def test_what_looks_like_a_path_and_is_not_there_is_refused_without_asking(name):
    """A mistyped folder asked the hub for a minute, and ended in a message about its servers."""
    for read in (checkpoint_source, checkpoint_on_purpose, with_hub_named):
        with pytest.raises(InputError, match=r"There is no checkpoint .*no such folder"):
            read(name)


@pytest.mark.parametrize("name", ["no-such-run", "no/such-run"])
def test_a_command_line_asks_the_hub_by_its_prefix_alone(name):
    with pytest.raises(InputError, match=f"no such folder. A model of the hub is hub:{name} here"):
        checkpoint_on_purpose(name)
    assert checkpoint_on_purpose(f"hub:{name}") == f"hub:{name}"
    assert folder_unless_hub(name) == f"./{name}"


@pytest.mark.parametrize("name", ["hub:", "hub:a/b/c", "hub:./run", "hub:hub:a"])
def test_a_prefix_without_a_name_is_refused(name):
    with pytest.raises(InputError, match="names no model of the hub"):
        checkpoint_source(name)
