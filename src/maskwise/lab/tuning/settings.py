"""Typed, checked settings of fine-tuning; every default is the paper's where the paper says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from maskwise.errors import InputError
from maskwise.lab.faults import explain_fault


class TuneSettings(BaseModel):
    """How a checkpoint is fine-tuned, whatever the task. The seed is not among them: a task is tuned with several.

    The paper gives the rate, the batch, the epochs and the patience, and selects on the data it reports on
    (`select_on="validation"`); here a share of the training set decides unless that is asked for.

    >>> TuneSettings(freeze=True).max_epochs
    1
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float = Field(default=5e-5, gt=0)
    batch_size: int = Field(default=256, ge=1, description="examples an optimizer step")
    max_epochs: int = Field(default=50, ge=1, description="1 where freeze is on and nothing else is said")
    patience: int = Field(default=5, ge=1, description="epochs without a better one, after which tuning stops")
    select_on: Literal["train-share", "validation"] = "train-share"
    select_share: float = Field(default=0.1, gt=0, lt=1, description="train-share: how much of the training set")
    freeze: bool = Field(default=False, description="train only what the checkpoint lacks: classifier and pooler")
    max_length: int = Field(default=128, ge=8, description="tokens, special ones included; longer texts are cut")
    warmup_share: float = Field(default=0.06, ge=0, lt=1, description="of max_epochs; then linear decay to 0")
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, ge=0, description="largest gradient norm; 0 does not clip")
    bf16: bool | None = Field(default=None, description="None: where the processor has it")
    micro_batch_tokens: int = Field(default=8192, ge=1, description="tokens, padding included, run at a time")
    checkpoint_seconds: float = Field(default=60, ge=0, description="least time between two checkpoints")

    @model_validator(mode="before")
    @classmethod
    def _one_epoch_where_frozen(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("freeze") and "max_epochs" not in values:
            return {**values, "max_epochs": 1}
        return values


def resolve_tuning(*layers: Mapping[str, Any]) -> TuneSettings:
    """Returns checked settings from flat layers, later ones winning; raises InputError that names the key at fault.

    >>> resolve_tuning({"learning_rate": 1e-4}, {"freeze": True}).learning_rate
    0.0001
    """
    try:
        return TuneSettings.model_validate({key: value for layer in layers for key, value in layer.items()})
    except ValidationError as error:
        known = list(TuneSettings.model_fields)
        lines = [explain_fault(fault, lambda place: known, "tune.") for fault in error.errors()[:3]]
        raise InputError("\n".join(lines)) from None


def tune_settings(settings: Any) -> TuneSettings:
    """Returns settings as they are, or checked ones from a mapping, or the defaults for None.

    Raises:
        InputError: For an unknown key, a value that cannot work, and anything that is not settings.

    >>> tune_settings({"freeze": True}).max_epochs
    1
    """
    if settings is None or isinstance(settings, TuneSettings):
        return settings or TuneSettings()
    if not isinstance(settings, Mapping):
        raise InputError(
            f"The settings of fine-tuning are a mapping, such as {{'learning_rate': 1e-4}}, or a TuneSettings; found "
            f"{type(settings).__name__}."
        )
    return resolve_tuning(settings)
