"""Bytes as text: UTF-8, or a refusal that recognizes other encodings and names the command that converts them."""

from __future__ import annotations

import codecs
from pathlib import Path

from maskwise.errors import InputError

BYTE_ORDER_MARK = codecs.BOM_UTF8
SAMPLE_BYTES = 4096
# UTF-32's mark for little-endian begins with UTF-16's.
_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# Where the zero bytes of ASCII letters are, by position modulo 4.
_ZERO_PATTERNS = (
    ((False, True, True, True), "UTF-32LE"),
    ((True, True, True, False), "UTF-32BE"),
    ((False, True, False, True), "UTF-16LE"),
    ((True, False, True, False), "UTF-16BE"),
)
ZERO_SHARE = 0.25  # of the first bytes: UTF-16 of English has 0.5, and a text has next to none


def check_start(start: bytes, path: Path | str) -> None:
    """Raises InputError if the first bytes of a file are UTF-16, UTF-32 or binary data; each may decode as UTF-8."""
    for mark, name in _OTHER_MARKS:
        if start.startswith(mark):
            raise InputError(
                f"{path} is not UTF-8 but {name}: it begins with the byte order mark {mark.hex(' ')}.\n"
                f"{_conversion(name.lower())}"
            )
    sample = start[:SAMPLE_BYTES]
    if sample.count(0) < ZERO_SHARE * max(len(sample), 1):
        return
    shares = [sample[i::4].count(0) / max(len(sample[i::4]), 1) for i in range(4)]
    for zeros, name in _ZERO_PATTERNS:
        if all((share > 0.5) == zero for share, zero in zip(shares, zeros, strict=True)):
            raise InputError(
                f"{path} is not UTF-8 but {name}, to judge by its zero bytes.\n{_conversion(name.lower())}"
            )
    raise InputError(f"{path} is not text: {sample.count(0):,} of its first {len(sample):,} bytes are zero.")


def decode(data: bytes, path: Path | str, offset: int) -> str:
    """Returns bytes of a file as text.

    Args:
        data: The bytes.
        path: The file, or what else holds the bytes, for the message.
        offset: Where in the decompressed file the bytes begin, for the message.

    Raises:
        InputError: If the bytes are not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start
        raise InputError(
            f"{path} is not UTF-8: byte {offset + at} is {data[at]:#04x} ({error.reason}).\n"
            f"{_conversion('windows-1252' if _is_windows_1252(data) else None)}"
        ) from None


def _is_windows_1252(data: bytes) -> bool:
    """Returns True unless a byte means nothing there, or is a control character as most bytes of binary data are."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return not any(character < " " and character not in "\t\n\r\f\v" for character in text)


def _conversion(encoding: str | None) -> str:
    if encoding is None:
        return "Convert it from the encoding that it is in: iconv -f ENCODING -t utf-8 OLD > NEW"
    guess = " if it is Western European text" if encoding == "windows-1252" else ""
    return f"Convert it{guess}: iconv -f {encoding} -t utf-8 OLD > NEW"
