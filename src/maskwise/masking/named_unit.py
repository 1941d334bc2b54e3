"""A unit named by text: `package.module:name` or `path/to/file.py:name`, imported, checked, and made with arguments.

Naming a unit imports its module, and a run calls it, as with scores.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

from maskwise.errors import InputError, nearest
from maskwise.files.named_object import import_object
from maskwise.masking.batch_functions import UNIT, bound_arguments, check_takes_batch
from maskwise.masking.unit_rule import UnitFunction
from maskwise.masking.units import Spans
from maskwise.recipes.masking_keys import UNITS, score_text


def import_unit(text: str) -> Any:
    """Returns what a text names, imported and not called: a function of a batch, an object like one, or a class.

    Args:
        text: `package.module:name` or `path/to/file.py:name`. Modules of the working directory are found too, after
            those that are installed.

    Raises:
        InputError: If it is not written like that, cannot be imported, or is not a unit.

    >>> import_unit("maskwise.masking.column_units:ColumnGroups").__name__
    'ColumnGroups'
    """
    if ":" not in text.strip(":"):
        raise InputError(
            f"No unit {text!r}; there are {', '.join(UNITS)}, a table of spans (lengths, p, longest, atom, fate), and "
            f"your own: package.module:function, or path/to/file.py:function.{nearest(text, UNITS)}"
        )
    found = import_object(text, "unit")
    check_takes_batch(found, text, UNIT)
    return found


def make_unit(named: Any, arguments: Mapping[str, Any] | None = None, **supplied: Any) -> str | Spans | UnitFunction:
    """Returns the `unit` of a `Masker` that a setting means.

    Args:
        named: `token`, `word` or `span`; a table of the fields of `Spans`; `Spans(...)`; or your own function, class,
            or a text that names one.
        arguments: Keyword arguments of your own unit: a class is constructed with them, a function gets them in every
            call.
        supplied: What a run has at hand, such as `tokenizer`; taken if there is a parameter for it.

    Raises:
        InputError: For something that is not a unit, and arguments that it does not take or lacks.

    >>> make_unit({"lengths": "uniform", "longest": 3, "atom": "token"}).longest
    3
    """
    is_built_in = isinstance(named, Mapping | Spans) or (isinstance(named, str) and named in UNITS)
    if arguments and is_built_in:
        raise InputError(f"unit_arguments is for units of your own; found unit = {named!r}.")
    if isinstance(named, Mapping):
        return _spans(named)
    if is_built_in:
        return cast("str | Spans", named)
    return _own(named, arguments or {}, supplied)


def _own(named: Any, arguments: Mapping[str, Any], supplied: Mapping[str, Any]) -> UnitFunction:
    found, text = import_unit(named) if isinstance(named, str) else named, score_text(named)
    check_takes_batch(found, text, UNIT)
    if not (isinstance(found, type) or _takes_keywords(found)):
        if arguments:
            raise InputError(f"{text} is a unit already, so it takes no arguments; found {', '.join(arguments)}.")
        return found
    bound = bound_arguments(found, text, UNIT, arguments, supplied)
    if isinstance(found, type):
        return cast(Callable[..., Any], found)(**bound)
    return functools.partial(found, **bound) if bound else found


def _takes_keywords(found: Any) -> bool:
    """Whether arguments go into each call: of functions, not of objects that were made with theirs."""
    return hasattr(found, "__qualname__") or isinstance(found, functools.partial)


def _spans(table: Mapping[str, Any]) -> Spans:
    try:
        return Spans(**{key: value for key, value in table.items() if value is not None})
    except TypeError:
        fields = list(Spans.__dataclass_fields__)
        unknown = next(key for key in table if key not in fields)
        raise InputError(
            f"Spans have no setting {unknown!r}.{nearest(str(unknown), fields)} They have {', '.join(fields)}."
        ) from None
