"""The lines of benchmark files: JSON objects, or text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.lab.text.compressed import COMPRESSIONS, open_source


def kind_of(path: Path) -> str:
    """Returns the ending that says what a file holds, without that of its compression.

    >>> kind_of(Path("blimp.jsonl.xz"))
    '.jsonl'
    """
    return next((suffix for suffix in reversed(path.suffixes) if suffix not in COMPRESSIONS), "")


def text_lines(path: Path) -> list[str]:
    """Returns the lines of a text file, decompressed; raises InputError if it cannot be read or is not UTF-8."""
    with open_source(path) as (stream, _):
        data = stream.read()
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: byte {error.start:,} is {data[error.start]:#04x}.") from None
    return [line.rstrip("\r") for line in (lines if lines[-1] else lines[:-1])]


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the number and the object of each line that is not blank; raises InputError that names the line."""
    with open_source(path) as (stream, _):
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield number, _object(line, f"{path}, line {number:,}")


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(f"{where} is not UTF-8.") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise InputError(f"{where} is not a JSON object: {line[:60]!r}.")
    return value
