"""A value of a table as the text or the label that it stands for, or the finding that it is missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from maskwise.errors import InputError
from maskwise.lab.text.clean import clean

Where = str | Callable[[], str]


def is_missing(value: Any) -> bool:
    """Returns True for null and nan, which tables have in place of a value.

    >>> is_missing(None), is_missing(float("nan")), is_missing(0)
    (True, True, False)
    """
    return value is None or (isinstance(value, float) and math.isnan(value))


def text_of(value: Any, where: Where) -> str:
    """Returns a text cleaned, a number as it is written, and an empty text for a missing value.

    Args:
        value: A value of a table.
        where: The value's place for the message, or what returns it.

    Raises:
        InputError: If the value is anything else, such as a list; names the place.

    >>> text_of("two ", "row 1"), text_of(0, "row 2"), text_of(None, "row 3")
    ('two', '0', '')
    """
    if isinstance(value, str):
        return clean(value)
    if is_missing(value):
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise InputError(f"{_place(where)}: {value!r:.60} is not a text but a {type(value).__name__}.")


def label_of(value: Any, where: Where) -> str | None:
    """Returns the text of a label, a number or truth value as it is written, and None for a missing or empty one.

    Args:
        value: A value of a table.
        where: The value's place for the message, or what returns it.

    Raises:
        InputError: If the value is anything else, such as a list of labels; names the place.

    >>> label_of("good ", "row 1"), label_of(1, "row 2"), label_of("", "row 3")
    ('good', '1', None)
    """
    if isinstance(value, str):
        return clean(value) or None
    if is_missing(value):
        return None
    if isinstance(value, int | float):
        return str(value)
    raise InputError(
        f"{_place(where)}: the label is {value!r:.60}, a {type(value).__name__}.\nGive each example one text or number."
    )


def _place(where: Where) -> str:
    return where if isinstance(where, str) else where()
