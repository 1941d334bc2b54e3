"""Python objects named by text: `package.module:name` or `path/to/file.py:name`."""

from __future__ import annotations

import importlib
import importlib.util
import operator
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from maskwise.errors import InputError, first_line, nearest


def import_object(text: str, what: str) -> Any:
    """Returns what a text names, imported and not called.

    Args:
        text: `package.module:name` or `path/to/file.py:name`. Modules of the working directory are found too, after
            those that are installed. A file is loaded again if it has changed.
        what: What is looked for, such as "score", for the messages.

    Raises:
        InputError: If it is not written like that, its module or file cannot be imported, or has nothing of that name.

    >>> import_object("json:JSONEncoder.encode", "function").__name__
    'encode'
    """
    module, colon, name = text.rpartition(":")
    if not colon or not module or not name:
        raise InputError(f"{text!r} does not name a {what}. Write package.module:name, or path/to/file.py:name.")
    return _attribute(_import(text, what, module), text, what, name)


def _import(text: str, what: str, module: str) -> ModuleType:
    path = Path(module)
    is_file = path.suffix == ".py"
    if is_file and not path.is_file():
        raise InputError(f"The {what} {text!r} cannot be imported: there is no file {path}.")
    try:
        with _importable(path.resolve().parent if is_file else Path.cwd()):
            return _load_file(path.resolve()) if is_file else importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever the code of strangers raises
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        raise InputError(f"The {what} {text!r} cannot be imported: {kind}{first_line(error).rstrip('.')}.") from error


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Makes the modules of a folder importable: last, so that no file in it stands for a module of the libraries."""
    if str(folder) in sys.path:
        yield
        return
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _load_file(path: Path) -> ModuleType:
    """Returns the module of a file, loaded anew if the file has changed."""
    name = f"{path.stem}_{sha256(str(path).encode() + path.read_bytes()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _attribute(module: ModuleType, text: str, what: str, name: str) -> Any:
    try:
        return operator.attrgetter(name)(module)
    except AttributeError:
        known = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise InputError(
            f"The {what} {text!r} cannot be imported: {text.rpartition(':')[0]} has no {name!r}."
            f"{nearest(name, known)} It has {', '.join(known[:8]) or 'no functions'}."
        ) from None
