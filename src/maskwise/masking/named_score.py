"""A score named by text: `package.module:name` or `path/to/file.py:name`, imported, checked, and made with arguments.

Naming a score imports its module, and a run calls it: take recipes and studies only from people whose code you would
run. Nothing is called to find out whether it is a score.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from maskwise.errors import InputError
from maskwise.files.named_object import import_object
from maskwise.masking.score import Score, StatefulScore
from maskwise.recipes import SCORES
from maskwise.recipes.masking_keys import score_text

SUPPLIED = {
    "tokenizer": "tokenizer=tokenizer",
    "teacher": "teacher=model",
    "token_counts": "token_counts=count_tokens(rows, tokenizer)",
}


def import_score(text: str) -> Any:
    """Returns what a text names, imported and not called: a function, a class of scores, or a score.

    Args:
        text: `package.module:name`, `path/to/file.py:name`, or a short name such as "entropy". Modules of the working
            directory are found too, after those that are installed.

    Raises:
        InputError: If it is not written like that, cannot be imported, or is not a score.

    >>> import_score("entropy").__name__
    'Entropy'
    """
    if ":" not in SCORES.get(text, text).strip(":"):
        raise InputError(
            f"No score {text!r}. Known: {', '.join(SCORES)}; your own is written package.module:function, or "
            "path/to/file.py:function."
        )
    found = import_object(SCORES.get(text, text), "score")
    check_is_score(found, text)
    return found


def make_score(named: str | Score | type, arguments: Mapping[str, Any] | None = None, **supplied: Any) -> Score:
    """Returns a score with its arguments: a class is constructed with them, a function gets them in every call.

    Args:
        named: A text as `import_score` takes it, or what it names.
        arguments: Keyword arguments.
        supplied: What a run has at hand: `tokenizer`, `teacher` and `token_counts`. A score gets those that it has a
            parameter for, unless `arguments` names them. None: there is none.

    Raises:
        InputError: For something that is not a score, and arguments that it does not take or lacks.

    >>> def rare(batch, counts, power):
    ...     return counts[batch["input_ids"]] ** -power
    >>> make_score(rare, {"power": 0.5, "counts": [4, 2]}).keywords
    {'power': 0.5, 'counts': [4, 2]}
    """
    found = import_score(named) if isinstance(named, str) else named
    arguments = bound_arguments(found, score_text(named), arguments or {}, supplied)
    if isinstance(found, StatefulScore):
        return found
    if isinstance(found, type):
        return found(**arguments)
    return functools.partial(found, **arguments) if arguments else cast(Score, found)


def bound_arguments(found: Any, text: str, arguments: Mapping[str, Any], supplied: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments that a score gets; the parameters are those of `make_score`, and nothing is called.

    Raises:
        InputError: For something that is not a score, and arguments that it does not take or lacks.
    """
    check_is_score(found, text)
    if isinstance(found, StatefulScore):
        if arguments:
            raise InputError(f"{text} is a score already, so it takes no arguments; found {', '.join(arguments)}.")
        return {}
    signature, is_class = inspect.signature(found), isinstance(found, type)
    taken = {name: value for name, value in supplied.items() if value is not None and name in signature.parameters}
    bound = taken | dict(arguments)
    try:
        signature.bind(*([] if is_class else [None]), **bound)
    except TypeError as error:
        names = list(signature.parameters)[0 if is_class else 1 :]
        takes = f"It takes {', '.join(names)}" if names else "It takes no arguments"
        lacking = [hint for name, hint in SUPPLIED.items() if "missing" in str(error) and f"{name!r}" in str(error)]
        raise InputError(
            f"The score {text} cannot be made: {error}. {takes}; give {(lacking or ['them by score_arguments'])[0]}."
        ) from None
    return bound


def check_is_score(found: Any, text: str) -> None:
    """Raises InputError unless something is a callable of one argument, a score, or a class of either.

    Only its signature is looked at; it is not called.

    Args:
        found: What a text names.
        text: The text, for the message.
    """
    if isinstance(found, StatefulScore) or (isinstance(found, type) and issubclass(found, StatefulScore)):
        return
    call, num_places = found, 1
    if isinstance(found, type):
        call, num_places = next((vars(one)["__call__"] for one in found.__mro__ if "__call__" in vars(one)), None), 2
    if not callable(call):
        what = "a class whose objects cannot be called" if isinstance(found, type) else type(found).__name__
        raise InputError(f"{text} is {what}, not a score: a function score(batch) -> [B, T].")
    if not _takes(call, text, num_places):
        raise InputError(f"{text} takes no argument, and a score is called with a batch: score(batch) -> [B, T].")


def _takes(call: Callable[..., Any], text: str, num_places: int) -> bool:
    """Whether something can be called with so many arguments by their place, self included."""
    try:
        kinds = [one.kind for one in inspect.signature(call).parameters.values()]
    except (TypeError, ValueError):
        raise InputError(
            f"{text} does not tell which arguments it takes, so it cannot be checked. Wrap it: "
            "def score(batch): return ..."
        ) from None
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Parameter.VAR_POSITIONAL in kinds or sum(kind in by_place for kind in kinds) >= num_places
