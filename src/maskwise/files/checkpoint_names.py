"""What the name of a checkpoint means: a folder, or a model of the hub. Nothing is asked to find out."""

from __future__ import annotations

import re
from os import PathLike, fspath
from pathlib import Path

from maskwise.errors import InputError

HUB = "hub:"
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def checkpoint_source(name: str | PathLike[str]) -> str:
    """Returns what transformers loads by a name: the folder of that name, or a name on the hub.

    A bare name that is no folder goes to the hub, as with `from_pretrained`, unless it looks like a path.

    Args:
        name: A folder, a name on the hub, or `hub:NAME`, which is never a folder.

    Raises:
        InputError: If there is no such folder and the name looks like a path, or `hub:` is followed by no name.

    >>> checkpoint_source("hub:answerdotai/ModernBERT-base")
    'answerdotai/ModernBERT-base'
    >>> checkpoint_source("./no-such-run")
    Traceback (most recent call last):
        ...
    maskwise.errors.InputError: There is no checkpoint './no-such-run': no such folder.
    """
    text = fspath(name)
    if text.startswith(HUB):
        found = text.removeprefix(HUB)
        if not _HUB_NAME.fullmatch(found):
            raise InputError(f"{text!r} names no model of the hub. Write hub:NAME, such as hub:bert-base-uncased.")
        return found
    if not _is_there(text) and _looks_like_path(text):
        raise InputError(f"There is no checkpoint {text!r}: no such folder.")
    return text


def checkpoint_on_purpose(name: str) -> str:
    """Returns a checkpoint's name from a command line or a file of settings, where the hub is named by `hub:` alone.

    Raises:
        InputError: If it is neither the name of a folder that is there, nor `hub:NAME`. The hub is not asked.
    """
    checkpoint_source(name)
    if not name.startswith(HUB) and not _is_there(name):
        raise InputError(f"There is no checkpoint {name!r}: no such folder. A model of the hub is hub:{name} here.")
    return name


def folder_unless_hub(name: str) -> str:
    """Returns a checkpoint's name as one that is never taken for a name on the hub, unless it is `hub:NAME`.

    For files whose folders need not be there yet.

    >>> folder_unless_hub("runs/no-such-teacher"), folder_unless_hub("hub:bert-base-uncased")
    ('./runs/no-such-teacher', 'hub:bert-base-uncased')
    """
    is_plain = name.startswith(HUB) or _is_there(name) or _looks_like_path(name)
    return name if is_plain else f"./{name}"


def with_hub_named(name: str) -> str:
    """Returns a checkpoint's name as a file of settings has it: `hub:NAME` if it is not the name of a folder.

    Raises:
        InputError: See `checkpoint_source`.
    """
    source = checkpoint_source(name)
    return name if name.startswith(HUB) or _is_there(name) else f"{HUB}{source}"


def _is_there(name: str) -> bool:
    return name != "" and Path(name).exists()


def _looks_like_path(text: str) -> bool:
    first = text.partition("/")[0]
    has_folder = first != text and Path(first).is_dir()  # runs/typo next to runs/teacher
    return text.startswith((".", "/", "~")) or not _HUB_NAME.fullmatch(text) or has_folder
