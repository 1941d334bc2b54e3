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
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from maskwise.errors import InputError
from maskwise.lab.faults import explain_fault
from maskwise.recipes import MAX_DEPTH, Tree, load_recipe
from maskwise.recipes.masking_keys import (
    MODEL_SCORE_NAMES,
    change_masking,
    check_keys_of_score,
    score_text,
    short_score,
)

ALTERNATIVES = ("start_epochs", "start_share")  # of [distillation]: one replaces the other


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RateSettings(_Section):
    """A masking rate that changes over the run."""

    schedule: Literal["linear", "cosine"]
    start: float = Field(gt=0, lt=1)
    end: float = Field(gt=0, lt=1)


class TyphoonSettings(_Section):
    """How the saliency of token types becomes rates of masking; see `training.typhoon.SaliencyTable`."""

    loss: Literal["mlm", "task"] = Field(default="mlm", description="whose gradient: the training's, or a classifier's")
    task_data: str | None = Field(default=None, description="task: a data folder with labels; default: the run's own")
    task_learning_rate: float = Field(default=5e-5, gt=0, description="task: of the classifier's one epoch")
    task_batch_size: int = Field(default=32, ge=1, description="task: labelled texts of a batch")
    refresh_steps: int = Field(default=50, ge=1, description="task: optimizer steps from one look to the next")
    refresh_batches: int = Field(default=8, ge=1, description="task: labelled batches of a look")
    aggregate: Literal["abs", "signed-2023"] = "abs"
    ema: float = Field(default=0.1, gt=0, le=1, description="the weight of the newest step; 0.8 in 2023")
    ema_start: Literal["first-visit", "zero"] = "first-visit"
    unseen: Literal["mean", "max"] = "mean"
    calibration: Literal["water-filling", "affine-2023"] = "water-filling"
    cap: float = Field(default=0.5, gt=0, le=1, description="the highest rate of a type")
    temperature: float = Field(default=1.0, gt=0, description="water-filling: rates follow saliency^(1/temperature)")
    spread: float = Field(default=0.4, ge=0, lt=1, description="affine-2023: lowest / highest rate is 1 - spread")
    count_special_tokens: bool = Field(default=False, description="[CLS] and [SEP] take a share of the budget")

    @model_validator(mode="after")
    def _parts_fit(self) -> TyphoonSettings:
        if self.aggregate == "signed-2023" and self.calibration == "water-filling":
            raise ValueError("signed-2023 gives negative scores too: it needs calibration = 'affine-2023'")
        if self.loss != "task" and self.task_data is not None:
            raise ValueError("task_data (a data folder with labels) is for loss = 'task'")
        return self


class MaskingSettings(_Section):
    """Which tokens are masked, and by what they are replaced."""

    score: str = Field(
        default="uniform",
        description="uniform, entropy, surprisal, typhoon, package.module:function, or path/to/file.py:function",
    )
    score_arguments: Tree | None = Field(default=None, description="keyword arguments of your own score")
    source: Literal["self", "teacher", "teacher-then-self"] = Field(
        default="self", description="whose entropy or surprisal"
    )
    teacher_epochs: int | None = Field(
        default=None, ge=1, description="teacher-then-self: the teacher scores this long,"
    )
    teacher_steps: int | None = Field(default=None, ge=1, description="or this many optimizer steps,")
    teacher_share: float | None = Field(default=None, gt=0, lt=1, description="or this share of the run")
    stored: bool = Field(default=False, description="read the teacher's scores that `maskwise annotate` stored")
    refresh_epochs: int | None = Field(
        default=None, ge=1, description="score by the model as it was up to this many epochs ago"
    )
    folds: int | None = Field(default=None, ge=2, description="score tokens masked, in this many passes")
    unit: Literal["token", "word", "span"] = "token"
    pick: Literal["sample", "high", "low", "mid", "marginal", "alternating"] = "sample"
    rate: float | str | RateSettings = Field(default=0.15, description="a share, 'one', or a schedule table")
    budget: Literal["exact", "bernoulli", "from-scores"] = "exact"
    corruption: tuple[float, float, float] = Field(default=(1.0, 0.0, 0.0), description="[MASK] / random / unchanged")
    sharpness: float = Field(default=1.0, ge=0)
    mask_special_tokens: bool = Field(default=False, description="[CLS] and [SEP] too: Typhoon's baseline of 2023")
    typhoon: TyphoonSettings | None = Field(default=None, description="of score = 'typhoon'")

    @field_validator("score", mode="before")
    @classmethod
    def _score_is_text(cls, score: Any) -> Any:
        return score_text(score) if callable(score) else short_score(score)

    @field_validator("rate", mode="wrap")
    @classmethod
    def _rate_is_a_share(cls, rate: Any, check: Any) -> Any:
        if isinstance(rate, Mapping):
            return RateSettings.model_validate(rate)
        if rate == "one" or isinstance(rate, RateSettings) or (isinstance(rate, int | float) and 0 < rate < 1):
            return rate
        raise ValueError("a masking rate is a share between 0 and 1 (15% is 0.15), 'one', or a schedule")

    @field_validator("corruption")
    @classmethod
    def _shares_add_to_one(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"the three shares must be at least 0 and add to 1; they add to {sum(shares):g}")
        return shares

    @model_validator(mode="after")
    def _keys_are_of_the_score(self) -> MaskingSettings:
        check_keys_of_score(self.model_dump(exclude_none=True))
        return self

    @model_validator(mode="after")
    def _typhoon_can_spend_the_rate(self) -> MaskingSettings:
        if self.score != "typhoon":
            return self
        typhoon = self.typhoon or TyphoonSettings()
        room = typhoon.cap * (1 - typhoon.spread if typhoon.calibration == "affine-2023" else 1)
        rates = [self.rate.start, self.rate.end] if isinstance(self.rate, RateSettings) else [self.rate]
        if any(isinstance(rate, str) or rate > room + 1e-12 for rate in rates):
            raise ValueError(
                f"masking.rate is {self.rate}, and masking.typhoon leaves room for {room:g}: see cap, spread"
            )
        return self

    @model_validator(mode="after")
    def _kept_scores_have_a_source(self) -> MaskingSettings:
        by_model = self.score in MODEL_SCORE_NAMES
        if self.stored and (not by_model or self.source == "self" or self.folds is not None):
            raise ValueError(
                "stored = true reads a teacher's entropy or surprisal of one unmasked pass: "
                "set such a score and source = 'teacher' or 'teacher-then-self', and leave out folds"
            )
        if self.refresh_epochs is not None and (not by_model or self.source != "self"):
            raise ValueError("refresh_epochs needs the model's own score: entropy or surprisal, and source = 'self'")
        return self


class DataSettings(_Section):
    """What is read, and how much of the held-out part the evaluation takes."""

    path: str = Field(description="a data folder made by `maskwise prepare`")
    general: str | None = Field(
        default=None, description="another, whose evaluation tells what adaptation to `path` costs"
    )
    held_out_blocks: int = Field(default=1024, ge=1)


class ModelSettings(_Section):
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


class DistillationSettings(_Section):
    """How much of the loss comes from the teacher's predictions: (1 - weight) gold + weight T^2 KL."""

    weight: float = Field(default=0.0, ge=0, le=1)
    temperature: float = Field(default=1.0, gt=0)
    start_epochs: int | None = Field(default=None, ge=1, description="distil only after this many epochs,")
    start_share: float | None = Field(default=None, gt=0, lt=1, description="or after this share of the run")


class StoppingSettings(_Section):
    """When a run ends before its last step, and keeps its best model; with `data.general`, after 3 and at 0.1."""

    by: Literal["held_out", "strategy_masks"] = Field(
        default="held_out",
        description="the loss that decides: on the evaluation's fixed random masks, or on the run's own",
    )

    patience: int | None = Field(default=None, ge=1, description="evaluations without a better evaluation")
    tolerance: float | None = Field(default=None, ge=0, description="nats the general evaluation may get worse")
    trained_only: bool = Field(default=False, description="never keep the model as it was before training")


class PretrainSettings(_Section):
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
    return tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True))


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
