"""The names of folders and files: those that become one, and those that are given as one."""

from __future__ import annotations

import re
from os import fspath
from typing import Any

from maskwise.errors import InputError

MAX_NAME_LENGTH = 100
_MOST_BYTES = 255  # of a folder's or file's name, on the file systems there are
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def path_text(path: Any, what: str) -> str:
    """Returns the text of a path, or of something that stands for one.

    Args:
        path: A text, or an object with a path of its own.
        what: What it names, such as "checkpoint", for the message.

    Raises:
        InputError: If it is something else, with the line that works, and if it is too long for a file system.

    >>> path_text(7, "checkpoint")
    Traceback (most recent call last):
        ...
    maskwise.errors.InputError: The checkpoint is named by a text or a path; found int. Name it, such as 'run'.
    """
    try:
        return _checked_length(fspath(path), what)
    except TypeError:
        pass
    advice = "Name it, such as 'run'."
    if hasattr(path, "save_pretrained"):
        advice = "Save it, model.save_pretrained('run') and tokenizer.save_pretrained('run'), and name the folder."
    raise InputError(f"The {what} is named by a text or a path; found {type(path).__name__}. {advice}")


def _checked_length(text: str, what: str) -> str:
    """File systems refuse longer names wherever they are asked for one, even whether it is there."""
    longest = max(text.split("/"), key=len)
    if len(longest.encode("utf-8", "surrogatepass")) > _MOST_BYTES:
        raise InputError(
            f"The {what} has a name of more than {_MOST_BYTES} bytes, which file systems refuse: {longest[:40]!r}..."
        )
    return text


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
