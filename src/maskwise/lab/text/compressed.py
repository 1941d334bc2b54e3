"""Source files as byte streams: decompressed in bounded memory, hashed while they are read, damage noticed."""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from maskwise.errors import InputError, first_line
from maskwise.files.disk_full import is_disk_full

COMPRESSIONS = (".gz", ".xz", ".bz2", ".zst")
READ_BYTES = 1 << 20
# A block of text rarely expands 30 times; a decompression bomb, hundreds to ten thousands of times.
MAX_EXPANSION = 200
EXPANSION_FROM_BYTES = 64 << 20
ZSTD_MAX_WINDOW = 1 << 31  # `zstd --long=31`; only what a frame asks for is taken
XZ_MAX_MEMORY = 1 << 31


class HashingReader(io.RawIOBase):
    """The bytes of a file as stored; `size` and `hexdigest()` are of what has passed so far."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._hash = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        count = self._file.readinto(buffer)
        self._hash.update(memoryview(buffer)[:count])
        self.size += count
        return count

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def drain(self) -> None:
        """Reads on to the end of the file, so that the hash is the hash of the whole."""
        while self.read(READ_BYTES):
            pass

    def close(self) -> None:
        self._file.close()
        super().close()


class _Gzip:
    """One gzip member, with the interface of `lzma.LZMADecompressor`."""

    def __init__(self) -> None:
        self._core = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._core.decompress(self._core.unconsumed_tail + data, max_length)

    @property
    def needs_input(self) -> bool:
        return not self._core.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._core.eof

    @property
    def unused_data(self) -> bytes:
        return self._core.unused_data


class _Zstd:
    """One zstd frame, with the interface of `lzma.LZMADecompressor`, but that it cannot hold output back."""

    needs_input = True

    def __init__(self) -> None:
        self._core = zstandard.ZstdDecompressor(max_window_size=ZSTD_MAX_WINDOW).decompressobj()

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._core.decompress(data)

    @property
    def eof(self) -> bool:
        return self._core.eof

    @property
    def unused_data(self) -> bytes:
        return self._core.unused_data


# How a member is decompressed, and how many bytes are fed to it at a time. A zstd block of 4 bytes is 128 KiB of text.
_MEMBERS: dict[str, tuple[Callable[[], Any], int]] = {
    ".gz": (_Gzip, READ_BYTES // 8),
    ".xz": (lambda: lzma.LZMADecompressor(memlimit=XZ_MAX_MEMORY), READ_BYTES // 8),
    ".bz2": (bz2.BZ2Decompressor, READ_BYTES // 8),
    ".zst": (_Zstd, 1 << 10),
}


class DecompressingReader(io.RawIOBase):
    """The text behind concatenated members (gzip, xz, bz2) or frames (zstd), all of them.

    Zero padding behind a member is passed over; anything else that is not a member is an error, whereas Python's
    readers for xz and bz2 take it for the end. EOFError: the last member is not complete.
    """

    def __init__(self, raw: io.BufferedReader[Any], path: Path) -> None:
        self._raw, self._path = raw, path
        self._new_member, self._feed_bytes = _MEMBERS[path.suffix.lower()]
        self._member: Any = None
        self._waiting = memoryview(b"")  # what was read of the file, and no member has taken yet
        self._ready = memoryview(b"")
        self._num_members = self._num_stored = self._num_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._ready and self._advance(len(buffer)):
            pass
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _advance(self, most: int) -> bool:
        """Decompresses some more, about `most` bytes; returns False at the end of the file."""
        needs_input = self._member is None or self._member.needs_input
        stored = self._next_stored() if needs_input else b""
        if self._member is None:
            stored = stored.lstrip(b"\0")
            if not stored:
                return self._has_more()
            self._member = self._new_member()
            self._num_members += 1
        data = self._member.decompress(stored, most)
        if self._member.eof:
            self._waiting = memoryview(self._member.unused_data + self._waiting)
            self._member = None
        elif needs_input and not stored and not data:
            raise EOFError("the last member is not complete")
        self._ready = memoryview(data)
        self._num_read += len(data)
        self._require_plausible()
        return True

    def _next_stored(self) -> bytes:
        if not self._waiting:
            self._waiting = memoryview(self._raw.read(READ_BYTES // 8))
            self._num_stored += len(self._waiting)
        stored, self._waiting = self._waiting[: self._feed_bytes], self._waiting[self._feed_bytes :]
        return bytes(stored)

    def _has_more(self) -> bool:
        if not self._num_members and not self._num_stored:
            raise EOFError("there is no member at all")
        return bool(self._waiting) or bool(self._raw.peek(1))

    def _require_plausible(self) -> None:
        if self._num_read > max(EXPANSION_FROM_BYTES, MAX_EXPANSION * self._num_stored):
            raise InputError(
                f"{self._path}: its first {self._num_stored:,} bytes expand to more than {self._num_read:,}, beyond "
                f"the limit of {MAX_EXPANSION} times.\nText does not compress that well. If it is the file that you "
                "mean, decompress it first."
            )


@contextmanager
def open_source(path: Path) -> Iterator[tuple[BinaryIO, HashingReader]]:
    """Returns the decompressed stream of a file and the raw reader that hashes it.

    Raises:
        InputError: If the file cannot be read, is cut off, is not what its extension says, or expands more than 200
            times; the message names the file.
    """
    try:
        with HashingReader(path) as raw:
            stored = io.BufferedReader(raw, READ_BYTES)
            is_plain = path.suffix.lower() not in COMPRESSIONS
            yield (stored if is_plain else io.BufferedReader(DecompressingReader(stored, path), READ_BYTES)), raw
    except EOFError as error:
        raise InputError(
            f"{path} is cut off: the compressed data ends before its end mark.\nFetch or compress the file again."
        ) from error
    except (lzma.LZMAError, zstandard.ZstdError, zlib.error) as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if is_disk_full(error):  # of a reader that puts the file down on disk
            raise
        if error.errno is None:  # bz2 says so of data that is none of its own
            raise _damaged(path, error) from error
        raise InputError(f"cannot read {path}: {error.strerror}.") from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} does not decompress as {path.suffix}: {first_line(error)}.\nIs it damaged, or misnamed?")
