"""Settings of the masking: a recipe's `[masking]` table, typed and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from maskwise.errors import InputError, nearest
from maskwise.masking.columns import declared_columns
from maskwise.masking.rates import RateSchedule, read_rate
from maskwise.recipes import Tree
from maskwise.recipes.masking_keys import MODEL_SCORE_NAMES, UNITS, check_keys_of_score, score_text, short_score


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """What pydantic names the setting of."""
    try:
        yield
    except InputError as error:
        raise ValueError(str(error)) from None


class Section(BaseModel):
    """A table of settings: every key is known, and nothing is changed after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")  # inf would be null in records


class RateSettings(Section):
    """A masking rate that changes over the run; `maskwise.masking.rates` describes the kinds."""

    schedule: Literal["linear", "cosine"] | None = Field(default=None, description="from start to end,")
    start: float | None = None
    end: float | None = None
    steps: list[tuple[float, float]] | None = Field(default=None, description="or [progress, rate] of phases,")
    points: list[tuple[float, float]] | None = Field(default=None, description="or of points, linear between,")
    periods: float | None = Field(default=None, description="so many times")

    @model_validator(mode="after")
    def _is_a_schedule(self) -> RateSettings:
        with _as_value_errors():
            self.rates()
        return self

    def rates(self) -> RateSchedule:
        """Returns the rate as a function of the progress."""
        return read_rate(self.model_dump(exclude_none=True))

    @property
    def extremes(self) -> list[float]:
        """The rates that it names; all others lie between them."""
        named = [self.start, self.end, *(rate for _, rate in (self.steps or []) + (self.points or []))]
        return [rate for rate in named if rate is not None]


class SpanSettings(Section):
    """Spans of other lengths or atoms than `unit = "span"` has; see `maskwise.masking.units.Spans`."""

    lengths: Literal["geometric", "uniform"] | None = None
    p: float | None = Field(default=None, gt=0, lt=1, description="geometric: a span ends after each atom with p")
    longest: int | None = Field(default=None, ge=1, description="atoms of the longest span")
    atom: Literal["word", "token"] | None = None
    fate: Literal["span", "atom"] | None = Field(default=None, description="what [MASK] or random is drawn for")


class TyphoonSettings(Section):
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


class MaskingSettings(Section):
    """Which tokens are masked, and by what they are replaced."""

    score: str = Field(
        default="uniform",
        description="uniform, entropy, surprisal, typhoon, by-column, rare-first, rarity-rank, complementary, "
        "package.module:function, or path/to/file.py:function",
    )
    score_arguments: Tree | None = Field(default=None, description="keyword arguments of other scores than these four")
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
    unit: str | SpanSettings = Field(
        default="token",
        description="token, word, span, a table of spans, package.module:function, or path/to/file.py:function",
    )
    unit_arguments: Tree | None = Field(default=None, description="keyword arguments of your own unit")
    max_word_pieces: int | None = Field(default=None, ge=1, description="longer words fall back to their pieces; 16")
    columns: list[str] | None = Field(default=None, description="columns of the data that your own score or unit reads")
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

    @field_validator("unit", mode="wrap")
    @classmethod
    def _unit_is_named(cls, unit: Any, check: Any) -> Any:
        if isinstance(unit, Mapping):
            return SpanSettings.model_validate(unit)
        if callable(unit):
            return score_text(unit)
        if isinstance(unit, SpanSettings) or unit in UNITS or (isinstance(unit, str) and ":" in unit.strip(":")):
            return unit
        raise ValueError(
            f"a unit is {', '.join(UNITS)}, a table of spans, package.module:function, or path/to/file.py:function"
            f"{nearest(str(unit), UNITS)}"
        )

    @model_validator(mode="after")
    def _unit_takes_its_keys(self) -> MaskingSettings:
        is_own = isinstance(self.unit, str) and self.unit not in UNITS
        if self.unit_arguments and not is_own:
            raise ValueError(f"the setting masking.unit_arguments is for units of your own; the unit is {self.unit!r}")
        in_tokens = self.unit == "token" or (isinstance(self.unit, SpanSettings) and self.unit.atom == "token")
        if self.max_word_pieces is not None and (is_own or in_tokens):
            raise ValueError(
                f"the setting masking.max_word_pieces is for words and spans of words; the unit is {self.unit!r}"
            )
        return self

    @field_validator("columns")
    @classmethod
    def _columns_can_be_declared(cls, columns: list[str] | None) -> list[str] | None:
        with _as_value_errors():
            declared_columns(columns or (), ())
        return columns

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
        rates = self.rate.extremes if isinstance(self.rate, RateSettings) else [self.rate]
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
