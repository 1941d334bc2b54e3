"""JSON out of text and small files, or an InputError that names the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from maskwise.errors import InputError, first_line

MAX_JSON_FILE_BYTES = 64 << 20


def parse_json(text: str, where: str) -> Any:
    """Returns the value that a JSON text holds.

    Args:
        text: The JSON text.
        where: The place the text comes from, such as "train.jsonl, line 3", for the message.

    Raises:
        InputError: If the text is not JSON, or JSON that Python does not read: nested too deeply, or with a whole
            number of more than 4,300 digits.

    >>> parse_json('{"text": "one"}', "train.jsonl, line 1")
    {'text': 'one'}
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: {error.msg} at character {error.pos:,}.") from None
    except RecursionError:
        raise InputError(f"{where} is JSON nested too deeply to be read.") from None
    except ValueError as error:  # a whole number with too many digits
        raise InputError(f"{where} is JSON that cannot be read: {first_line(error)}.") from None


def read_json(path: Path, *, advice: str) -> Any:
    """Returns the value that a small JSON file holds.

    Args:
        path: The file.
        advice: What to do about a file that cannot be used; the last sentence of every message.

    Raises:
        InputError: If the file cannot be read, is not UTF-8, or is not JSON.
    """
    try:
        if path.stat().st_size > MAX_JSON_FILE_BYTES:
            raise InputError(f"{path} has more than {MAX_JSON_FILE_BYTES >> 20} MiB: it is not the file expected here.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. {advice}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error.reason} at byte {error.start:,}. {advice}") from None
    try:
        return parse_json(text, str(path))
    except InputError as error:
        raise InputError(f"{error} {advice}") from None


def read_json_object(path: Path, *, advice: str) -> dict[str, Any]:
    """Returns the object that a small JSON file holds.

    Args:
        path: The file.
        advice: What to do about a file that cannot be used.

    Raises:
        InputError: If the file cannot be read, or holds something other than an object.
    """
    value = read_json(path, advice=advice)
    if not isinstance(value, dict):
        raise InputError(f"{path} holds a {type(value).__name__}, not a JSON object. {advice}")
    return value
