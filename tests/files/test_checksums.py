"""Sizes and checksums of a folder's files."""

import hashlib
import json

import pytest

from maskwise.errors import InputError
from maskwise.files import checksums
from maskwise.files.checksums import checksum, damage, record_digest, record_files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "small.json").write_text("{}")
    (tmp_path / "large.bin").write_bytes(bytes(1000))
    return tmp_path


def test_the_checksum_is_that_of_the_package(folder):
    xxhash = pytest.importorskip("xxhash")
    data = (folder / "large.bin").read_bytes()
    assert checksum(folder / "large.bin") == f"xxh3_128:{xxhash.xxh3_128(data).hexdigest()}"
    expected = hashlib.blake2b(data, digest_size=16).hexdigest()
    assert checksum(folder / "large.bin", "blake2b") == f"blake2b:{expected}"


def test_without_the_package_another_kind_is_written_and_the_first_is_refused(folder, monkeypatch):
    record = {"large.bin": {"bytes": 1000, "checksum": "xxh3_128:0"}}
    monkeypatch.setattr(checksums, "find_spec", lambda name: None)
    assert checksum(folder / "large.bin").startswith("blake2b:")
    with pytest.raises(InputError, match="pip install xxhash"):
        damage(folder, record, read_all=True)


def test_what_is_recorded_survives_json_and_moves(folder):
    record = json.loads(json.dumps(record_files(folder)))
    assert set(record) == {"inner/small.json", "large.bin"} and record["large.bin"]["bytes"] == 1000
    assert damage(folder, record, read_all=True) == []
    assert record_files(folder, ["inner"]).keys() == {"inner/small.json"}
    moved = folder.rename(folder.with_name("moved"))
    assert damage(moved, record, read_all=True) == []


def test_large_files_are_read_only_if_that_is_asked_for_and_small_ones_always(folder, monkeypatch):
    monkeypatch.setattr(checksums, "_SMALL", 100)
    record = record_files(folder)
    (folder / "large.bin").write_bytes(b"\x01" + bytes(999))
    assert damage(folder, record, read_all=False) == []
    assert damage(folder, record, read_all=True) == ["large.bin is not what was written (another checksum)"]
    (folder / "inner" / "small.json").write_text("[]")
    assert damage(folder, record, read_all=False) == ["inner/small.json is not what was written (another checksum)"]


@pytest.mark.parametrize("record", [None, [], {"a": 1}, {"a": {"bytes": "1", "checksum": "x:y"}}, {"a": {"bytes": 1}}])
def test_a_record_that_does_not_parse_is_damage(record, folder):
    assert damage(folder, record, read_all=False) == ["the record of its files does not parse"]


def test_the_digest_depends_on_content_alone(folder):
    before = record_digest(record_files(folder))
    assert record_digest(dict(reversed(record_files(folder).items()))) == before
    (folder / "large.bin").write_bytes(bytes(999) + b"\x01")
    assert record_digest(record_files(folder)) != before
