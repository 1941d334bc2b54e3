"""What writes files fails in its own way on a full disk; all of them are known for what they are."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from maskwise.errors import InputError
from maskwise.files.disk_full import disk_full_as_input_error, is_disk_full

WRITERS = {
    "open": lambda path: path.write_bytes(bytes(500_000)),
    "torch.save": lambda path: torch.save({"a": torch.zeros(100_000)}, path),
    "safetensors": lambda path: save_file({"a": torch.zeros(100_000)}, path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_known_whoever_writes(name, full_disk, tmp_path):
    """torch.save says "unexpected pos 640 vs 598", and a run would end in a traceback of its insides."""
    with (
        full_disk(100_000),
        pytest.raises(InputError, match="disk is full"),
        disk_full_as_input_error(tmp_path / "file"),
    ):
        WRITERS[name](tmp_path / "file")


def test_other_failures_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), disk_full_as_input_error(tmp_path):
        (tmp_path / "none").read_text()
    (tmp_path / "broken.pt").write_bytes(b"PK\x03\x04" + bytes(90))
    with pytest.raises(RuntimeError) as broken:
        torch.load(tmp_path / "broken.pt")
    assert not is_disk_full(broken.value)
    assert not is_disk_full(InputError("unexpected pos 1 vs 2"))
