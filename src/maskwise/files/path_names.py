"""The names that become folders and files: one check for all of them."""

from __future__ import annotations

import re

from maskwise.errors import InputError

MAX_NAME_LENGTH = 100
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def checked_path_name(name: str, what: str) -> str:
    """Returns a name that is safe as the name of one folder or file, wherever it is joined to a path.

    Args:
        name: The name, such as a task's or an arm's.
        what: What it names, such as "task", for the message.

    Raises:
        InputError: If the name is empty, longer than 100 characters, does not begin with a letter or a digit, or has a
            character other than ASCII letters, digits, dots, dashes and underscores: a path separator, for example.

    >>> checked_path_name("sst2", "task")
    'sst2'
    """
    if not _PLAIN.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise InputError(
            f"The {what} {name!r:.120} cannot be the name of a folder.\nSuch a name begins with a letter (a-z) or "
            f"a digit and has only letters, digits, '.', '_' and '-', {MAX_NAME_LENGTH} at most."
        )
    return name
