"""Source files as byte streams: decompressed, hashed while they are read, truncation noticed."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard

from maskwise.errors import InputError

COMPRESSIONS = (".gz", ".xz", ".bz2", ".zst")
READ_BYTES = 1 << 20


class HashingReader(io.RawIOBase):
    """The bytes of a file as stored; `size` and `hexdigest()` tell what has passed so far."""

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


class ZstdReader(io.RawIOBase):
    """Decompresses concatenated zstd frames; EOFError if the last is unfinished (`stream_reader` is silent)."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._between_frames = True
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._ready:
            stored = self._frame.unused_data or self._raw.read(READ_BYTES // 8)
            if not stored:
                if self._between_frames:
                    return 0
                raise EOFError("the last zstd frame is not complete")
            self._decompress(stored)
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _decompress(self, stored: bytes) -> None:
        if self._frame.eof:
            self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._ready = self._frame.decompress(stored)
        self._between_frames = self._frame.eof


@contextmanager
def open_source(path: Path) -> Iterator[tuple[BinaryIO, HashingReader]]:
    """Returns the decompressed stream of a file and the raw reader that hashes it.

    Raises InputError, naming the file, where it cannot be opened, is cut off, or is not what its extension says.
    """
    try:
        with HashingReader(path) as raw, _decompressed(path.suffix, io.BufferedReader(raw, READ_BYTES)) as stream:
            yield stream, raw
    except EOFError as error:
        raise InputError(
            f"{path} is cut off: the compressed data ends before its end mark.\nFetch or compress the file again."
        ) from error
    except (lzma.LZMAError, gzip.BadGzipFile, zstandard.ZstdError, zlib.error) as error:
        raise InputError(
            f"{path} does not decompress as {path.suffix}: {error}.\nIs it damaged, or misnamed?"
        ) from error
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise InputError(f"cannot read {path}: {error.strerror}.") from error


def _decompressed(compression: str, raw: io.BufferedReader) -> BinaryIO:
    if compression == ".gz":
        return gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[return-value]
    if compression == ".xz":
        return lzma.LZMAFile(raw)  # type: ignore[return-value]
    if compression == ".bz2":
        return bz2.BZ2File(raw)  # type: ignore[return-value]
    if compression == ".zst":
        return io.BufferedReader(ZstdReader(raw), READ_BYTES)
    return raw
