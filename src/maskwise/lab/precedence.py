"""Which of the settings given for a run wins: one order for the command line and for Python."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.files.checkpoint_names import checkpoint_on_purpose, with_hub_named
from maskwise.files.path_names import path_text
from maskwise.lab.config import PretrainSettings, check_settings, recipe_layer, resolve
from maskwise.recipes import Tree, load_recipe, read_toml
from maskwise.recipes.masking_keys import short_score


def run_settings(
    settings: PretrainSettings | Mapping[str, Any] | str | Path | None,
    *,
    recipe: str | Path | None = None,
    data: str | PathLike[str] | None = None,
    general_data: str | PathLike[str] | None = None,
    model: str | PathLike[str] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    teacher: str | PathLike[str] | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> PretrainSettings:
    """Returns the settings of a run: what was declared, then a recipe, then changes, then what has a name of its own.

    Args:
        settings: What was declared: tables, or the path of a TOML file. None: nothing.
        recipe: What to mask, in place of the recipe that `settings` names and of what that recipe brought.
        data: The data folder.
        general_data: The folder of general text.
        model: A preset or config.json, in place of what `settings` starts from.
        checkpoint: A checkpoint to continue from, likewise.
        teacher: The teacher.
        epochs: Passes over the data.
        steps: Optimizer steps.
        seed: The seed.
        changes: Tables of settings, such as `{"masking": {"rate": 0.3}}`.

    Raises:
        InputError: For anything that is wrong; it names the key at fault.

    >>> run_settings({"recipe": "span", "seed": 3}, recipe="bert", data="d", model="tiny").masking.unit
    'token'
    """
    declared, changes = tables_of(settings), dict(changes or {})
    told = changes.pop("recipe", None) if recipe is None else str(recipe)
    changes.pop("recipe", None)
    if (model is not None or checkpoint is not None) and isinstance(declared.get("model"), Mapping):
        start = ("preset", "checkpoint")
        declared["model"] = {key: value for key, value in declared["model"].items() if key not in start}
    if isinstance(settings, str | Path):
        is_replaced = teacher is not None or "teacher" in changes
        check_named_on_purpose({key: value for key, value in declared.items() if key != "teacher" or not is_replaced})
    named = {
        "seed": seed,
        "teacher": _text(teacher, "teacher"),
        "data": _given({"path": _text(data, "data folder"), "general": _text(general_data, "general data")}),
        "model": _given({"preset": _text(model, "model"), "checkpoint": _text(checkpoint, "checkpoint")}),
        "trainer": _given({"num_train_epochs": epochs, "max_steps": steps}),
    }
    if isinstance(settings, PretrainSettings) and told is None and not changes and not _given(named):
        return settings  # complete and checked: a recipe would fill in again what was taken out of it
    if told is None:
        return resolve(declared, changes, _given(named))
    return check_settings(_without_recipe(declared), recipe_layer(told), changes, _given(named))


def named_by_hub(settings: PretrainSettings) -> PretrainSettings:
    """Returns settings whose checkpoint and teacher are folders or `hub:NAME`, as a file of settings has them.

    Raises:
        InputError: For one that looks like a path and is not there. The hub is not asked.
    """
    update: dict[str, Any] = {}
    if (checkpoint := settings.model.checkpoint) is not None:
        update["model"] = settings.model.model_copy(update={"checkpoint": with_hub_named(checkpoint)})
    if settings.teacher is not None and settings.needs_teacher:
        update["teacher"] = with_hub_named(settings.teacher)
    return settings.model_copy(update=update) if update else settings


def check_named_on_purpose(tree: Mapping[str, Any]) -> None:
    """Raises InputError for a checkpoint or teacher in tables of settings that is neither a folder nor `hub:NAME`."""
    model = tree.get("model")
    for name in (model.get("checkpoint") if isinstance(model, Mapping) else None, tree.get("teacher")):
        if isinstance(name, str):
            checkpoint_on_purpose(name)


def tables_of(settings: PretrainSettings | Mapping[str, Any] | str | Path | None) -> Tree:
    """Returns settings as tables; raises InputError for a file that cannot be read, and what is not settings."""
    if isinstance(settings, PretrainSettings):
        return settings.model_dump(exclude_none=True)
    if isinstance(settings, str | Path):
        return read_toml(Path(settings))
    if settings is not None and not isinstance(settings, Mapping):
        raise InputError(
            f"Settings are a mapping, such as {{'data': {{'path': 'data'}}}}, or the path of a TOML file; found "
            f"{type(settings).__name__}."
        )
    return dict(settings or {})


def score_object(*layers: Any) -> Any:
    """Returns the score that the last of these layers gives as an object; None if it gives a text, or none gives any.

    >>> score_object({"masking": {"score": len}}, {"masking": {"rate": 0.3}})
    <built-in function len>
    >>> score_object({"masking": {"score": len}}, {"masking": {"score": "mine:rare"}})
    """
    for layer in reversed(layers):
        masking = layer.get("masking") if isinstance(layer, Mapping) else None
        if isinstance(masking, Mapping) and "score" in masking:
            return masking["score"] if callable(masking["score"]) else None
    return None


def _without_recipe(declared: Tree) -> Tree:
    """Returns tables without what their own recipe brought."""
    recipe = load_recipe(declared["recipe"]) if declared.get("recipe") is not None else {}
    left = {key: value for key, value in declared.items() if value != recipe.get(key)}
    for name in ("masking", "distillation"):
        if isinstance(left.get(name), Mapping):
            brought = {key: _plain(value) for key, value in recipe.get(name, {}).items()}
            kept = {key: value for key, value in left[name].items() if brought.get(key) != _plain(value)}
            left[name] = {key: value for key, value in kept.items() if key != "typhoon"}
    return left


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else short_score(value)


def _text(path: str | PathLike[str] | None, what: str) -> str | None:
    return None if path is None else path_text(path, what)


def _given(options: Mapping[str, Any]) -> Tree:
    return {key: value for key, value in options.items() if value is not None and value != {}}
