"""The lines of a file in bounded memory, whatever is in it.

A reader that asks for a line gets all of it before it can look at its length: 17 MB of gzip can be one line of 4 GB.
Here whole lines come in chunks of about a mebibyte, a longer line is refused, and runs of empty lines cost nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from maskwise.errors import InputError
from maskwise.lab.text.compressed import READ_BYTES
from maskwise.lab.text.encodings import BYTE_ORDER_MARK, check_start, decode

MAX_LINE_BYTES = 64 << 20
_NOT_EMPTY = re.compile(rb"[^\r\n][^\n]*")


class Chunk(NamedTuple):
    """Whole lines as bytes, and where in the decompressed file they begin."""

    offset: int
    data: bytes


class TextLine(NamedTuple):
    """A line that is not blank, without its end: its number, counted from 1, and where in the file it begins."""

    number: int
    offset: int
    data: bytes

    def text(self, path: Path) -> str:
        """Returns the line as text; raises InputError if it is not UTF-8."""
        return decode(self.data, path, self.offset)


def chunks(stream: BinaryIO, path: Path) -> Iterator[Chunk]:
    """Yields a file as whole lines, about a mebibyte at a time, without a byte order mark.

    Raises:
        InputError: If the file begins as UTF-16, UTF-32 or binary data does, or a line is longer than 64 MiB.
    """
    offset = 0
    while block := stream.read(READ_BYTES):
        rest = b"" if block.endswith(b"\n") else stream.readline(MAX_LINE_BYTES + 1)
        if len(rest) > MAX_LINE_BYTES:
            raise InputError(
                f"{path} has a line of more than {MAX_LINE_BYTES >> 20} MiB, which goes on at byte "
                f"{offset + len(block):,}.\nIs it text, with line ends? Split it into shorter lines."
            )
        data, size = block + rest, len(block) + len(rest)
        if offset == 0:
            check_start(data, path)
            mark = len(BYTE_ORDER_MARK) if data.startswith(BYTE_ORDER_MARK) else 0
            yield Chunk(mark, data[mark:])
        else:
            yield Chunk(offset, data)
        offset += size


def lines(stream: BinaryIO, path: Path) -> Iterator[TextLine]:
    """Yields the lines that are not blank; raises InputError as `chunks` does."""
    number = 1
    for offset, data in chunks(stream, path):
        at = 0
        for found in _NOT_EMPTY.finditer(data):
            begin = found.start()
            number += data.count(b"\n", at, begin)
            at = begin
            if (line := found[0].rstrip(b"\r")) and not line.isspace():
                yield TextLine(number, offset + begin, line)
        number += data.count(b"\n", at)
