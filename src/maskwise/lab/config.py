"""Typed, checked settings of a pretraining run: TOML in and out.

A run's settings are its preset's defaults, then the recipe that is named last, then the layers given, such as a config
file, `--set` and the flags of the command line, or the keyword arguments of `pretrain`; later ones win. The resolved
settings are written to the run folder and run the job again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import tomli_w
from pydantic import BaseModel, Field, ValidationError, model_validator

from maskwise.errors import InputError
from maskwise.lab.faults import explain_fault
from maskwise.lab.masking_settings import MaskingSettings, Section
from maskwise.recipes import MAX_DEPTH, Tree, load_recipe
from maskwise.recipes.masking_keys import MODEL_SCORE_NAMES, change_masking

ALTERNATIVES = ("start_epochs", "start_share")  # of [distillation]: one replaces the other


class DataSettings(Section):
    """What is read, and how much of the held-out part the evaluation takes."""

    path: str = Field(description="a data folder made by `maskwise prepare`")
    general: str | None = Field(
        default=None, description="another, whose evaluation tells what adaptation to `path` costs"
    )
    held_out_blocks: int = Field(default=1024, ge=1)


class ModelSettings(Section):
    """What is trained: a preset or a config.json from scratch, or a checkpoint continued."""

    preset: str | None = Field(default=None, description="tiny, mini, bertlet, bert, or the path of a config.json")
    checkpoint: str | None = Field(default=None, description="a folder or hub name to continue from")
    initialization: Literal["unigram", "default"] = Field(
        default="unigram",
        description="from scratch; unigram: at the unigram frequencies, a preset's heads attending to neighbours; "
        "default: as transformers draws the weights",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> ModelSettings:
        if (self.preset is None) == (self.checkpoint is None):
            raise ValueError(
                "give either a preset (--model) or a checkpoint to continue from (--from), not both or none"
            )
        return self


class DistillationSettings(Section):
    """How much of the loss comes from the teacher's predictions: (1 - weight) gold + weight T^2 KL."""

    weight: float = Field(default=0.0, ge=0, le=1)
    temperature: float = Field(default=1.0, gt=0)
    start_epochs: int | None = Field(default=None, ge=1, description="distil only after this many epochs,")
    start_share: float | None = Field(default=None, gt=0, lt=1, description="or after this share of the run")


class StoppingSettings(Section):
    """When a run ends before its last step, and keeps its best model; with `data.general`, after 3 and at 0.1."""

    by: Literal["held_out", "strategy_masks"] = Field(
        default="held_out",
        description="the loss that decides: on the evaluation's fixed random masks, or on the run's own",
    )

    patience: int | None = Field(default=None, ge=1, description="evaluations without a better evaluation")
    tolerance: float | None = Field(default=None, ge=0, description="nats the general evaluation may get worse")
    trained_only: bool = Field(default=False, description="never keep the model as it was before training")


class PretrainSettings(Section):
    """Everything a pretraining run depends on. `trainer` goes to `transformers.TrainingArguments` as it is."""

    description: str = ""
    recipe: str = "random"
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: DataSettings
    model: ModelSettings
    teacher: str | None = Field(default=None, description="a folder or hub name, for scores and distillation")
    masking: MaskingSettings = MaskingSettings()
    distillation: DistillationSettings = DistillationSettings()
    stopping: StoppingSettings = StoppingSettings()
    trainer: Tree = Field(default_factory=dict)

    @model_validator(mode="after")
    def _tolerance_has_a_held_out_loss(self) -> PretrainSettings:
        if self.stopping.tolerance is not None and self.data.general is None:
            raise ValueError("stopping.tolerance is held against the general evaluation: give --general-data DIR")
        return self

    @model_validator(mode="after")
    def _strategy_masks_can_be_drawn(self) -> PretrainSettings:
        if self.stopping.by == "strategy_masks" and (self.masking.stored or self.masking.refresh_epochs is not None):
            raise ValueError(
                "scores that are kept (masking.stored, masking.refresh_epochs) are of the training text alone, and "
                "stopping.by = 'strategy_masks' scores held-out text"
            )
        return self

    @property
    def needs_teacher(self) -> bool:
        """Whether the run takes scores or predictions from a teacher, stored or not."""
        scored = self.masking.score in MODEL_SCORE_NAMES and self.masking.source != "self"
        return scored or self.distillation.weight > 0

    @model_validator(mode="after")
    def _teacher_where_needed(self) -> PretrainSettings:
        if self.teacher is None and self.needs_teacher:
            raise ValueError(f"the recipe {self.recipe!r} needs a teacher: give --teacher CKPT")
        return self


def resolve(*layers: Mapping[str, Any]) -> PretrainSettings:
    """Returns checked settings from layers, later ones winning, over the recipe that the last of them names.

    Args:
        layers: Tables of settings.

    Raises:
        InputError: For an unknown recipe, and anything else that is wrong; it names the key at fault.

    >>> run = {"data": {"path": "d"}, "model": {"preset": "tiny"}}
    >>> resolve(run, {"recipe": "whole-word", "masking": {"rate": 0.3}}).masking.unit
    'word'
    """
    recipe = next((layer["recipe"] for layer in reversed(layers) if layer.get("recipe") is not None), None)
    return check_settings(*layers) if recipe is None else check_settings(recipe_layer(recipe), *layers)


def check_settings(*layers: Mapping[str, Any]) -> PretrainSettings:
    """Returns checked settings from layers, later ones winning; a recipe that they name is not read.

    Raises:
        InputError: For anything that is wrong; it names the key at fault.
    """
    tree: Tree = {}
    for layer in layers:
        tree = merge(tree, layer)
    try:
        return PretrainSettings.model_validate(tree)
    except ValidationError as error:
        lines = [explain_fault(fault, _fields_at) for fault in error.errors()]
        raise InputError("\n".join(dict.fromkeys(lines))) from None


def recipe_layer(recipe: str) -> Tree:
    """Returns the tables of a recipe with its name."""
    return load_recipe(recipe) | {"recipe": str(recipe)}


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Tree:
    """Returns `base` with `changes` laid over it, table by table; see `change_masking` for what replaces what.

    >>> merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
    {'a': {'x': 1, 'y': 3}}
    """
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if not isinstance(value, Mapping) or not isinstance(old, Mapping):
            merged[key] = value
        elif key == "masking":
            merged[key] = change_masking(old, value)
        else:
            replaced = ALTERNATIVES if key == "distillation" and value.keys() & set(ALTERNATIVES) else ()
            merged[key] = merge({name: kept for name, kept in old.items() if name not in replaced}, value)
    return merged


def to_toml(settings: BaseModel) -> str:
    """Returns settings as TOML; what is off (None) is left out."""
    return tomli_w.dumps(settings.model_dump(exclude_none=True))


def parse_assignments(assignments: Iterable[str]) -> Tree:
    """Returns the tables that `--set a.b=value` means; a value is TOML, and text where it is not.

    >>> parse_assignments(["trainer.learning_rate=1e-4", "masking.pick=high"])
    {'trainer': {'learning_rate': 0.0001}, 'masking': {'pick': 'high'}}
    """
    tree: Tree = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise InputError(f"--set takes KEY=VALUE, such as trainer.learning_rate=1e-4; found {assignment!r}.")
        change: Any = _toml_value(text)
        if key.count(".") >= MAX_DEPTH:
            raise InputError(f"--set {key[:40]}... names a setting more than {MAX_DEPTH} deep.")
        for part in reversed(key.strip().split(".")):
            change = {part: change}
        tree = merge(tree, change)
    return tree


def _toml_value(text: str) -> Any:
    try:
        tree = tomllib.loads(f"value = {text}")
    except RecursionError:
        raise InputError(f"--set: the value {text[:40]}... is nested too deeply.") from None
    except ValueError:  # not TOML, or a whole number of more than 4,300 digits
        return text
    return tree["value"] if len(tree) == 1 else text


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    section: Any = PretrainSettings
    for part in location:
        inner = section.model_fields[part].annotation
        kinds = [kind for kind in (inner, *get_args(inner)) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        section = kinds[0]
    return list(section.model_fields)
