"""The named strategies as data, and how they are read."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from maskwise.errors import InputError, nearest

Tree = dict[str, Any]


def load_recipe(name: str) -> Tree:
    """Returns a recipe's settings: one of the package's by name, or a .toml file of yours by path.

    Raises InputError for an unknown name, with the nearest one.

    >>> load_recipe("whole-word")["masking"]["unit"]
    'word'
    """
    if name.endswith(".toml"):
        return read_toml(Path(name))
    known = recipe_names()
    if name not in known:
        raise InputError(f"No recipe {name!r}.{nearest(name, known)} `maskwise recipes` lists them all.")
    return tomllib.loads(_recipe_file(name).read_text(encoding="utf-8"))


def recipe_names() -> list[str]:
    """Returns the names of the recipes in the package."""
    files = resources.files("maskwise.recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def read_toml(path: Path) -> Tree:
    """Returns the tables of a TOML file; raises InputError where it is missing or not TOML."""
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.") from None


def _recipe_file(name: str) -> Any:
    return resources.files("maskwise.recipes") / f"{name}.toml"
