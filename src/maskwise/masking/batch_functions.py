"""Functions of a batch that settings name by text: what they must be, their arguments, and what records call them.

Nothing is called here.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from maskwise.errors import InputError


class Kind(NamedTuple):
    """What is looked for: its `name`, and the `call` that messages show."""

    name: str
    call: str


SCORE = Kind("score", "score(batch) -> [B, T]")
UNIT = Kind("unit", "unit(batch) -> group ids [B, T]")
LONGEST_TOLD = 200
SUPPLIED = {
    "tokenizer": "tokenizer=tokenizer",
    "teacher": "teacher=model",
    "token_counts": "token_counts=count_tokens(rows, tokenizer)",
}


def bound_arguments(
    found: Any, text: str, kind: Kind, arguments: Mapping[str, Any], supplied: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the arguments that a class is made with, or that a function gets in every call besides the batch.

    Args:
        found: A function of a batch, or a class of such.
        text: What it is called in messages.
        kind: What it is to be.
        arguments: Keyword arguments from settings.
        supplied: What a run has at hand, by name; taken if there is a parameter for it. None: there is none.

    Raises:
        InputError: For arguments that it does not take or lacks.
    """
    signature, is_class = inspect.signature(found), isinstance(found, type)
    taken = {name: value for name, value in supplied.items() if value is not None and name in signature.parameters}
    bound = taken | dict(arguments)
    try:
        signature.bind(*([] if is_class else [None]), **bound)
    except TypeError as error:
        names = list(signature.parameters)[0 if is_class else 1 :]
        takes = f"It takes {', '.join(names)}" if names else "It takes no arguments"
        lacking = [hint for name, hint in SUPPLIED.items() if "missing" in str(error) and f"{name!r}" in str(error)]
        give = (lacking or [f"them by {kind.name}_arguments"])[0]
        raise InputError(f"The {kind.name} {text} cannot be made: {error}. {takes}; give {give}.") from None
    return bound


def check_takes_batch(found: Any, text: str, kind: Kind) -> None:
    """Raises InputError unless something is a callable of one argument, or a class of such.

    Only its signature is looked at; it is not called.

    Args:
        found: What a text names.
        text: The text, for the message.
        kind: What it is to be.
    """
    call, num_places = found, 1
    if isinstance(found, type):
        call, num_places = next((vars(one)["__call__"] for one in found.__mro__ if "__call__" in vars(one)), None), 2
    if not callable(call):
        what = "a class whose objects cannot be called" if isinstance(found, type) else type(found).__name__
        raise InputError(f"{text} is {what}, not a {kind.name}: a function {kind.call}.")
    if not _takes(call, text, kind, num_places):
        raise InputError(f"{text} takes no argument, and a {kind.name} is called with a batch: {kind.call}.")


def plain_function(function: Any) -> Any:
    """Returns a function without the arguments that `functools.partial` gives it; anything else as it is."""
    return function.func if isinstance(function, functools.partial) else function


def fingerprint_of(function: Any) -> str:
    """Returns what a function of a batch is, for records: its module and name, and its arguments or settings.

    Of arguments and of an object's attributes those are told that are plain values.

    >>> fingerprint_of(functools.partial(plain_function, powers=[1, 2]))
    'maskwise.masking.batch_functions:plain_function(powers=[1, 2])'
    """
    plain = plain_function(function)
    if hasattr(plain, "__qualname__"):
        named, settings = plain, getattr(function, "keywords", {})
    else:
        named = type(plain)
        settings = getattr(plain, "__dict__", {})
    text = f"{getattr(named, '__module__', '?')}:{named.__qualname__}"
    return f"{text}({', '.join(settings_text(settings))})" if settings else text


def settings_text(settings: Mapping[str, Any]) -> list[str]:
    """Returns `key=value` for what of a function's or an object's settings is a plain value; long ones as a hash.

    >>> settings_text({"power": 2, "_cache": None, "values": {1: 0.5}, "table": object()})
    ['power=2', 'values={1: 0.5}']
    """
    told = {key: _text(value) for key, value in sorted(settings.items()) if key[:1] != "_" and _is_plain(value)}
    return [f"{key}={text if len(text) <= LONGEST_TOLD else _digest(text)}" for key, text in told.items()]


def _text(value: Any) -> str:
    """The `repr`, of sets in an order that is the same in every process."""
    return f"{{{', '.join(sorted(map(repr, value)))}}}" if isinstance(value, set | frozenset) else repr(value)


def _digest(text: str) -> str:
    return f"<{hashlib.sha256(text.encode()).hexdigest()[:16]}>"


def _is_plain(value: Any) -> bool:
    """Whether the `repr` of a value is the value: numbers, texts and None, and collections of these."""
    if isinstance(value, Mapping):
        return all(_is_plain(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, set | frozenset):
        return all(isinstance(part, bool | int | float | str) for part in value)
    return value is None or isinstance(value, bool | int | float | str)


def _takes(call: Callable[..., Any], text: str, kind: Kind, num_places: int) -> bool:
    """Whether something can be called with so many arguments by their place, self included."""
    try:
        kinds = [one.kind for one in inspect.signature(call).parameters.values()]
    except (TypeError, ValueError):
        raise InputError(
            f"{text} does not tell which arguments it takes, so it cannot be checked. Wrap it: "
            f"def {kind.name}(batch): return ..."
        ) from None
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Parameter.VAR_POSITIONAL in kinds or sum(kind in by_place for kind in kinds) >= num_places
