"""The `[trainer]` table of a run as the Trainer's arguments, or an InputError that names the setting at fault."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import TrainerCallback, TrainingArguments
from transformers.integrations import unset_hf_deepspeed_config

from maskwise.errors import InputError, first_line, nearest
from maskwise.files.checkpoint_folders import complete_checkpoints
from maskwise.files.disk_full import is_disk_full
from maskwise.lab.pretraining.word_checkpoints import SETTING
from maskwise.training.options import check_best_metric, check_options

# -1 steps are the Trainer's word for "by epochs".
AT_LEAST = {"max_steps": 1, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1, "learning_rate": 0.0,
            "per_device_eval_batch_size": 1, "save_total_limit": 1, "eval_accumulation_steps": 1,
            "dataloader_num_workers": 0, "logging_steps": 0, "save_steps": 0, "eval_steps": 0, "weight_decay": 0.0,
            "max_grad_norm": 0.0, "eval_delay": 0, "adam_epsilon": 0.0}  # fmt: skip
# What a script reads for itself, and the Trainer never looks at.
OF_SCRIPTS = {
    "do_train": "maskwise pretrain always trains",
    "do_eval": "set trainer.eval_strategy",
    "do_predict": "maskwise evaluate grades a finished run",
    "resume_from_checkpoint": "use --resume",
    "local_rank": "start processes with torchrun",
}
# What libraries raise for settings they cannot work with, before a first step.
OF_SETTINGS = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, ImportError, OSError, AssertionError,
    ZeroDivisionError,
)  # fmt: skip


def check_trainer_table(trainer: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raises InputError for an option that the Trainer does not know, a value of another type, or one out of range.

    Args:
        trainer: The `[trainer]` table.
        own: The arguments that maskwise sets itself.
    """
    _check_names(trainer, own)
    _check_values(trainer)


def check_can_be_honoured(args: TrainingArguments, has_stopping: bool) -> None:
    """Raises InputError for arguments that `MaskingTrainer` refuses, and for two ways to choose the model to keep."""
    check_options(args)
    check_best_metric(args, own_metrics=False)
    if args.load_best_model_at_end and has_stopping:
        raise InputError(
            "trainer.load_best_model_at_end and [stopping] each choose a model to keep: leave one of them out. "
            "A general evaluation (--general-data) sets [stopping]."
        )


class Begun(TrainerCallback):
    """Notes how far a run has come: `trains` once the Trainer is set up, `has_stepped` after the first step."""

    trains = has_stepped = False

    def on_train_begin(self, args, state, control, **kwargs):
        """Notes that the Trainer is set up."""
        self.trains = True

    def on_step_end(self, args, state, control, **kwargs):
        """Notes a step."""
        self.has_stepped = True


@contextmanager
def settings_as_input_errors(begun: Begun | None = None) -> Iterator[None]:
    """Turns what libraries raise for settings they cannot work with into an InputError, until the run has begun."""
    try:
        yield
    except (InputError, torch.OutOfMemoryError):
        raise
    except OF_SETTINGS as error:
        unset_hf_deepspeed_config()  # transformers keeps half of one that fails, and later models would ask it
        if is_disk_full(error) or (begun is not None and begun.trains):
            raise
        raise InputError(f"The [trainer] settings do not work: {first_line(error)}") from error


@contextmanager
def nothing_left_behind(out: Path, begun: Begun) -> Iterator[None]:
    """Deletes what a run that fails before its first step wrote into a folder that was not there or was empty.

    Left there, it would stand in the way of the corrected command.
    """
    was_there = out.exists()
    is_fresh = not was_there or (out.is_dir() and not any(out.iterdir()))
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        yield
    except Exception:
        if is_fresh and not begun.has_stepped and out.is_dir() and not complete_checkpoints(out):
            shutil.rmtree(out)
            if was_there:
                out.mkdir()
            with suppress(OSError):
                for folder in made[1:]:
                    folder.rmdir()
        raise


def _check_names(trainer: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    for name in sorted(trainer):
        if name in own:
            raise InputError(f"The setting trainer.{name} is set by maskwise. Use --out and --seed.")
        if name in OF_SCRIPTS:
            raise InputError(f"The Trainer does not read trainer.{name}: {OF_SCRIPTS[name]}.")
        if name not in TrainingArguments.__dataclass_fields__:
            near = nearest(name, [*TrainingArguments.__dataclass_fields__, SETTING])
            raise InputError(f"TrainingArguments has no option {name!r}.{near}")


def _check_values(trainer: Mapping[str, Any]) -> None:
    """The Trainer takes what is not a number, or none it can use, and fails somewhere inside, or trains for no step."""
    for name, value in trainer.items():
        default = TrainingArguments.__dataclass_fields__[name].default
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if type(default) in (int, float) and not is_number:
            raise InputError(f"The setting trainer.{name} is a number, such as {default:g}; found {value!r}.")
        if is_number and not math.isfinite(value):
            raise InputError(f"The setting trainer.{name} is a finite number; found {value!r}.")
        try:
            _type_of(name).validate_python(value)
        except ValidationError as error:
            raise InputError(
                f"The setting trainer.{name}: {error.errors()[0]['msg'].lower()}; found {value!r}."
            ) from None
    for name, least in AT_LEAST.items():
        value = trainer.get(name)
        if value is not None and value < least and (name, value) != ("max_steps", -1):
            raise InputError(f"trainer.{name} is {value}; give at least {least:g}.")
    if trainer.get("num_train_epochs", 1) <= 0:
        raise InputError(f"trainer.num_train_epochs is {trainer['num_train_epochs']}; give more than 0.")


@cache
def _type_of(name: str) -> TypeAdapter[Any]:
    """Returns what checks a value against an argument's type; a string is not a truth value, as it is to Python."""
    hint = get_type_hints(TrainingArguments)[name]
    return TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
