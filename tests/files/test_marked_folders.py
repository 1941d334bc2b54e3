"""Folders whose marker records their files: what is compared, and what may be missing."""

import json

import pytest

from maskwise.errors import InputError
from maskwise.files import checksums
from maskwise.files.checksums import record_files
from maskwise.files.marked_folders import check_folder, damage_by_marker, markers_in


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "weights").write_bytes(b"w" * 3000)
    (tmp_path / "config").write_bytes(b"c" * 10)
    (tmp_path / "done.json").write_text(json.dumps({"files": record_files(tmp_path, ["weights", "config"])}))
    return tmp_path


def test_a_folder_as_it_was_written_passes_and_so_does_one_without_a_marker(folder, tmp_path_factory):
    check_folder(folder, "run")
    assert markers_in(folder) == [folder / "done.json"]
    other = tmp_path_factory.mktemp("other")
    (other / "weights").write_bytes(b"x")
    check_folder(other, "checkpoint")


def test_the_content_of_large_files_is_compared_if_all_is_read(folder, monkeypatch):
    monkeypatch.setattr(checksums, "_SMALL", 100)
    (folder / "weights").write_bytes(b"w" * 2999 + b"x")
    check_folder(folder, "run", read_all=False)
    with pytest.raises(InputError, match=r"The run .* is damaged: weights is not what was written"):
        check_folder(folder, "run")


def test_sizes_and_small_files_are_always_compared(folder, monkeypatch):
    monkeypatch.setattr(checksums, "_SMALL", 100)
    (folder / "weights").write_bytes(b"w" * 2999)
    (folder / "config").write_bytes(b"d" * 10)
    found = damage_by_marker(folder / "done.json", read_all=False)
    assert [phrase.partition(" ")[0] for phrase in found] == ["config", "weights"]


def test_files_that_may_have_been_deleted_are_compared_if_they_are_there(folder):
    (folder / "weights").unlink()
    assert damage_by_marker(folder / "done.json", read_all=True) == ["weights is missing"]
    assert not damage_by_marker(folder / "done.json", read_all=True, may_lack=["weights"])
    (folder / "weights").write_bytes(b"w")
    assert damage_by_marker(folder / "done.json", read_all=True, may_lack=["weights"])


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"files": 3}', '{"files": {"a": 1}}'])
def test_a_marker_without_a_record_is_damage(folder, text):
    (folder / "done.json").write_text(text)
    assert damage_by_marker(folder / "done.json", read_all=True)
