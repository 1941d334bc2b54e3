"""The named strategies as data, and how they are read."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from maskwise.errors import InputError, nearest

Tree = dict[str, Any]
MAX_DEPTH = 20  # settings have four levels; deeper ones exhaust the stack of whoever walks through them

SCORES = {  # the scores that have a short name, as text: importing them is up to who needs one
    "uniform": "maskwise.masking.score:uniform",
    "entropy": "maskwise.scores.model:Entropy",
    "surprisal": "maskwise.scores.model:Surprisal",
    "typhoon": "maskwise.scores.typhoon:Typhoon",
    "by-column": "maskwise.scores.by_column:ByColumn",
    "rare-first": "maskwise.scores.by_frequency:RareFirst",
    "rarity-rank": "maskwise.scores.by_frequency:RarityRank",
    "complementary": "maskwise.scores.complementary:Complementary",
    "token-accuracy": "maskwise.scores.token_feedback:TokenAccuracy",
    "token-loss": "maskwise.scores.token_feedback:TokenLoss",
    "token-entropy": "maskwise.scores.token_feedback:TokenEntropy",
    "position-memory": "maskwise.scores.place_memory:PositionMemory",
    "count-memory": "maskwise.scores.place_memory:CountMemory",
}


def load_recipe(name: str | Path) -> Tree:
    """Returns a recipe's settings: one of the package's by name, or your own .toml file by path.

    Args:
        name: A name that `maskwise recipes` lists, or the path of a file that ends in .toml.

    Returns:
        The file's tables: `description`, `masking` and, for recipes that distil, `distillation`. The score is a text
        `package.module:name`; nothing is imported.

    Raises:
        InputError: For an unknown name, with the nearest one, and a file that is missing or not TOML.

    >>> load_recipe("whole-word")["masking"]["unit"]
    'word'
    """
    if not isinstance(name, str | Path):
        raise InputError(f"A recipe is named by a text, such as load_recipe('whole-word'); found {name!r}.")
    name = str(name)
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
    """Returns the tables of a TOML file.

    Raises:
        InputError: If the file is missing, cannot be read, is not TOML, or is nested too deeply.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    try:
        return parse_toml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}.") from None


def parse_toml(text: str, where: str) -> Tree:
    """Returns the tables of a TOML text.

    Args:
        text: The text.
        where: What it is called in messages.

    Raises:
        InputError: If it is not TOML, or nested more than 20 deep.

    >>> parse_toml("a.b = 1", "settings.toml")
    {'a': {'b': 1}}
    """
    try:
        tree = tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{where} is nested more than {MAX_DEPTH} deep.") from None
    except ValueError as error:  # a whole number of more than 4,300 digits is not a TOMLDecodeError
        raise InputError(f"{where} is not valid TOML: {error}.") from None
    level: list[Any] = [tree]
    for _ in range(MAX_DEPTH):
        inner = (values for value in level for values in (value.values() if isinstance(value, dict) else value))
        level = [value for value in inner if isinstance(value, dict | list)]
    if level:
        raise InputError(f"{where} is nested more than {MAX_DEPTH} deep.")
    return tree


def _recipe_file(name: str) -> Any:
    return resources.files("maskwise.recipes") / f"{name}.toml"
