"""JSON as the standard has it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """Returns a value as JSON that ends its line; numbers that are not finite, which JSON does not have, become null.

    Args:
        value: Plain nested values.
        indent: The spaces of a level; None: all on one line.

    >>> print(to_json({"loss": float("nan")}), end="")
    {
      "loss": null
    }
    """
    return json.dumps(finite_only(value), indent=indent, allow_nan=False) + "\n"


def finite_only(value: Any) -> Any:
    """Returns plain nested values with None for each number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): finite_only(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite_only(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
