"""Compressed files: read whole, member after member, or refused; never by more than a bounded buffer."""

import bz2
import gzip
import lzma
import subprocess
import sys

import pytest
import zstandard

from maskwise.errors import InputError
from maskwise.lab.text import compressed
from maskwise.lab.text.compressed import open_source
from maskwise.lab.text.sources import documents

COMPRESS = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
ONE, TWO = b"the first part\n" * 50, b"and the second\n" * 50
kinds = pytest.mark.parametrize("kind", COMPRESS)


def read(path, data):
    path.write_bytes(data)
    with open_source(path) as (stream, _):
        return stream.read()


@kinds
def test_all_members_are_read_and_zero_padding_is_none(kind, tmp_path):
    compress = COMPRESS[kind]
    members = compress(ONE) + compress(b"") + compress(TWO)
    assert read(tmp_path / f"a.txt{kind}", members) == ONE + TWO
    assert read(tmp_path / f"b.txt{kind}", compress(ONE) + bytes(512) + compress(TWO) + bytes(1024)) == ONE + TWO
    assert read(tmp_path / f"c.txt{kind.upper()}", members) == ONE + TWO


@kinds
@pytest.mark.parametrize("missing", [1, 3, 9, -1])
def test_a_file_that_is_cut_off_is_refused_wherever_it_ends(kind, missing, tmp_path):
    """Nothing at all is cut off too: a download that never began."""
    data = COMPRESS[kind](ONE) + COMPRESS[kind](TWO)
    with pytest.raises(InputError, match=r"a\.txt.* is cut off"):
        read(tmp_path / f"a.txt{kind}", data[:-missing] if missing > 0 else b"")


@kinds
def test_rubbish_behind_a_member_is_refused_and_not_taken_for_the_end(kind, tmp_path):
    """A part of several that is damaged at its start: Python's readers for xz and bz2 leave out the rest."""
    damaged = b"\x01\x02" + COMPRESS[kind](TWO)[2:]
    with pytest.raises(InputError, match=rf"a\.txt{kind} does not decompress as {kind}"):
        read(tmp_path / f"a.txt{kind}", COMPRESS[kind](ONE) + damaged)


@kinds
def test_damage_in_the_middle_is_refused(kind, tmp_path):
    """Every byte of the text counts towards a checksum, but in a zstd frame that was made without one."""
    compress = COMPRESS[kind] if kind != ".zst" else zstandard.ZstdCompressor(write_checksum=True).compress
    data = bytearray(compress(bytes(range(256)) * 500))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(InputError, match=r"a\.txt"):
        read(tmp_path / f"a.txt{kind}", bytes(data))


@pytest.mark.parametrize("window", [27, 28, 31])
def test_a_long_window_of_zstd_is_read(window, tmp_path):
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window, enable_ldm=True)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    assert read(tmp_path / "a.txt.zst", frame.compress(ONE) + frame.flush()) == ONE


@kinds
def test_a_bomb_is_refused_at_the_limit_that_is_named(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(compressed, "EXPANSION_FROM_BYTES", 1 << 20)
    path = tmp_path / f"bomb.txt{kind}"
    path.write_bytes(COMPRESS[kind](bytes(8 << 20)))
    with pytest.raises(InputError, match="beyond the limit of 200 times"), open_source(path) as (stream, _):
        stream.read()


@kinds
def test_text_that_compresses_well_is_read(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(compressed, "EXPANSION_FROM_BYTES", 1 << 12)
    text = b"".join(b"line %d of a log that repeats itself\n" % i for i in range(30_000))
    assert read(tmp_path / f"a.log{kind}", COMPRESS[kind](text)) == text


READ_ALL = """
from maskwise.errors import InputError
from maskwise.lab.text.sources import documents
try:
    print(sum(len(document.text) for document in documents([{path!r}])))
except InputError as error:
    print(error)
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])  # kibibytes
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@kinds
def test_a_line_of_gigabytes_is_refused_within_a_few_hundred_megabytes(kind, tmp_path):
    """2 GB of one letter without a line end: 2 MB of gzip, and a few kilobytes of the others."""
    path = tmp_path / f"bomb.jsonl{kind}"
    path.write_bytes(COMPRESS[kind](b"a" * (1 << 24)) * 128)
    script = READ_ALL.format(path=str(path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    *message, peak = done.stdout.splitlines()
    assert "a line of more than 64 MiB" in message[0] or "beyond the limit of 200 times" in message[0]
    assert int(peak) < 400 << 10


@kinds
def test_a_gigabyte_of_line_ends_takes_no_minutes(kind, tmp_path):
    path = tmp_path / f"bomb.txt{kind}"
    path.write_bytes(COMPRESS[kind](b"\n" * (1 << 24)) * 8)
    with pytest.raises(InputError, match="beyond the limit of 200 times"):
        list(documents([str(path)]))


def test_errors_of_the_file_system_are_said_in_words(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none\.txt: No such file"), open_source(tmp_path / "none.txt"):
        pass
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"), open_source(tmp_path):
        pass
