"""What a user is meant to read when something cannot work."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the caller can put right: the text says what was wrong, what was found, and what to do.

    The command line prints it without a traceback and exits with code 2.

    >>> import maskwise
    >>> try:
    ...     maskwise.load_recipe("whole-wrod")
    ... except maskwise.InputError as error:
    ...     print(error)
    No recipe 'whole-wrod'. Did you mean 'whole-word'? `maskwise recipes` lists them all.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns ``" Did you mean 'x'?"`` for the known name closest to `name`, or an empty string.

    >>> nearest("entrpy", ["entropy", "random"])
    " Did you mean 'entropy'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def first_line(error: BaseException) -> str:
    r"""Returns the first line of what an error says, or its kind where it says nothing: libraries may say pages.

    >>> first_line(OSError("no such file\nin any of these places")), first_line(KeyError())
    ('no such file', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
