"""A score named by text: `package.module:name` or `path/to/file.py:name`, imported, checked, and made with arguments.

Naming a score imports its module, and a run calls it: take recipes and studies only from people whose code you would
run. Nothing is called to find out whether it is a score.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, cast

from maskwise.errors import InputError
from maskwise.files.named_object import import_object
from maskwise.masking.batch_functions import SCORE, bound_arguments, check_takes_batch
from maskwise.masking.score import Score, StatefulScore
from maskwise.recipes import SCORES
from maskwise.recipes.masking_keys import score_text


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
    if not _is_stateful(found):
        check_takes_batch(found, text, SCORE)
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
    found, text = import_score(named) if isinstance(named, str) else named, score_text(named)
    if isinstance(found, StatefulScore):
        if arguments:
            raise InputError(f"{text} is a score already, so it takes no arguments; found {', '.join(arguments)}.")
        return found
    if not _is_stateful(found):
        check_takes_batch(found, text, SCORE)
    bound = bound_arguments(found, text, SCORE, arguments or {}, supplied)
    if isinstance(found, type):
        return found(**bound)
    return functools.partial(found, **bound) if bound else cast(Score, found)


def _is_stateful(found: Any) -> bool:
    """Whether something is a `StatefulScore`, or a class of them."""
    return isinstance(found, StatefulScore) or (isinstance(found, type) and issubclass(found, StatefulScore))
