"""What pydantic found wrong with settings, in lines for people."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from maskwise.errors import nearest

MAX_FOUND = 100


def explain_fault(fault: Any, known_at: Callable[[tuple[Any, ...]], Sequence[str]], prefix: str = "") -> str:
    """Returns a line for a fault; an unknown key, or a word that is not one of some, is answered with the nearest.

    Args:
        fault: One of `ValidationError.errors()`.
        known_at: The names of the fields of the section at a place.
        prefix: What stands in front of the key where the settings are written, such as "tune.".

    >>> explain_fault({"type": "extra_forbidden", "loc": ("rtae",)}, lambda place: ["rate", "seed"], "tune.")
    "Unknown setting 'tune.rtae'. Did you mean 'rate'? Known: rate, seed."
    """
    key = prefix + ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = known_at(fault["loc"][:-1])
        return f"Unknown setting {key!r}.{nearest(str(fault['loc'][-1]), known)} Known: {', '.join(known)}."
    if fault["type"] == "missing":
        return f"The setting {key!r} is missing."
    text, found = fault["msg"].removeprefix("Value error, ").removesuffix("."), fault["input"]
    if not fault["loc"] or isinstance(found, Mapping):
        return f"{text[0].upper()}{text[1:]}."
    words = re.findall(r"'([^']*)'", fault["ctx"]["expected"]) if fault["type"] == "literal_error" else []
    return f"Setting {key!r}: {text}; found {_shortened(found)}.{nearest(str(found)[:MAX_FOUND], words)}"


def _shortened(found: Any) -> str:
    return repr(found[:MAX_FOUND] if isinstance(found, str) else found)[: MAX_FOUND + 2]
