"""Whether what was given as data is rows of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskwise.errors import InputError

TOKENISE = "rows = [dict(tokenizer(text, truncation=True)) for text in texts]"


def check_rows(rows: Any, name: str) -> None:
    """Raises InputError if something is not rows of `input_ids`, and shows the line that makes them.

    Only the first row is looked at, and none of a stream.

    Args:
        rows: What was given.
        name: The argument it was given as.
    """
    if isinstance(rows, str | Path | bytes):
        raise InputError(
            f"{name} is rows of tokens, and {rows!r} is a text. Load it first: "
            "datasets.load_from_disk(...), or maskwise.lab.open_data(...).train."
        )
    if isinstance(rows, type):
        raise InputError(f"{name} is rows of tokens, and {rows.__name__} is a class: make one, {rows.__name__}(...).")
    if isinstance(rows, Mapping):
        raise InputError(_of_columns(rows, name))
    if not (hasattr(rows, "__getitem__") and hasattr(rows, "__len__")):
        if hasattr(rows, "__iter__"):
            return
        raise InputError(f"{name} is rows of tokens; found {type(rows).__name__}. Tokenize the text: {TOKENISE}.")
    if len(rows) == 0:
        raise InputError(f"{name} has no row.")
    first = rows[0]
    if not isinstance(first, Mapping):
        what = f"the text {first[:40]!r}" if isinstance(first, str) else type(first).__name__
        raise InputError(
            f"A row of {name} has `input_ids`, and the first one is {what}. Tokenize the text: {TOKENISE}."
        )
    if "input_ids" not in first:
        raise InputError(
            f"A row of {name} has `input_ids`, and the first one has {', '.join(map(str, first)) or 'nothing'}. "
            f"Tokenize the text: {TOKENISE}."
        )


def _of_columns(rows: Mapping[str, Any], name: str) -> str:
    if "input_ids" in rows:
        return (
            f"{name} is rows, and this is a table of columns ({', '.join(rows)}), such as a tokenizer returns for many "
            "texts. Make rows of it: datasets.Dataset.from_dict(dict(encoded))."
        )
    return (
        f"{name} is rows of tokens, and this is a dictionary of {', '.join(map(repr, rows)) or 'nothing'}. Give one of "
        f"its data sets: {name}=data[{next(iter(rows), 'train')!r}]."
    )
