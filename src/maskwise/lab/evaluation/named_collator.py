"""A collator by the name that the command line gives it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from maskwise.errors import InputError, first_line
from maskwise.files.named_object import import_object

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_collator(name: str, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Returns the collator called `name`: the object itself, or what it makes of the tokenizer.

    A class is called with the tokenizer, and so is a function whose first parameter is called `tokenizer`; everything
    else is taken for the collator, which is called with a list of rows.

    Raises:
        InputError: If there is no such object, or making a collator of it raises.
    """
    found = import_object(name, "collator")
    if not callable(found):
        raise InputError(f"{name} is a {type(found).__name__}, and a collator is called with a list of rows.")
    if not isinstance(found, type) and _first_parameter(found) != "tokenizer":
        return found
    try:
        return found(tokenizer)
    except Exception as error:
        raise InputError(
            f"{name} called with the tokenizer raised {type(error).__name__}: {first_line(error)}. Name a function "
            "of the rows, or one that makes the collator of the tokenizer alone."
        ) from error


def _first_parameter(function: Any) -> str | None:
    try:
        return next(iter(inspect.signature(function).parameters), None)
    except (TypeError, ValueError):
        return None
