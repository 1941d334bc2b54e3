"""Python objects by the name that the command line gives them."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwise.errors import InputError, first_line, nearest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_object(name: str) -> Any:
    """Returns what `package.module:name` or `path/to/file.py:name` stands for.

    Modules are also found in the working directory; the folder of a file is put in front of `sys.path`, so that
    processes that are spawned find it too.

    Raises:
        InputError: If the name has another form, the module cannot be imported, or has nothing of that name.
    """
    module_name, colon, attribute = name.rpartition(":")
    if not colon or not module_name or not attribute:
        raise InputError(
            f"{name!r} does not name a Python object. Write package.module:function, or path/to/file.py:function."
        )
    module = _load_file(Path(module_name)) if module_name.endswith(".py") else _import(module_name, Path.cwd())
    try:
        for part in attribute.split("."):
            module = getattr(module, part)
    except AttributeError:
        known = [key for key in vars(module) if not key.startswith("_")]
        raise InputError(f"{module_name} has no {attribute!r}.{nearest(attribute, known)}") from None
    return module


def load_collator(name: str, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Returns the collator called `name`: the object itself, or what it makes of the tokenizer.

    A class is called with the tokenizer, and so is a function whose first parameter is called `tokenizer`; everything
    else is taken for the collator, which is called with a list of rows.

    Raises:
        InputError: If there is no such object, or making a collator of it raises.
    """
    found = load_object(name)
    if not callable(found):
        raise InputError(f"{name} is a {type(found).__name__}, and a collator is called with a list of rows.")
    if not isinstance(found, type) and _first_parameter(found) != "tokenizer":
        return found
    try:
        return found(tokenizer)
    except Exception as error:
        raise InputError(
            f"{name} called with the tokenizer raised {type(error).__name__}: {first_line(error)}. Name a function "
            "of the rows, or one that makes the collator of the tokenizer alone."
        ) from error


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    module = _import(path.stem, path.resolve().parent)
    if Path(getattr(module, "__file__", None) or "").resolve() != path.resolve():
        raise InputError(f"{path} has the name of another module, {path.stem}. Give the file another name.")
    return module


def _import(name: str, folder: Path) -> Any:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise InputError(f"{name} cannot be imported: {type(error).__name__}: {first_line(error)}.") from error


def _first_parameter(function: Any) -> str | None:
    try:
        return next(iter(inspect.signature(function).parameters), None)
    except (TypeError, ValueError):
        return None
