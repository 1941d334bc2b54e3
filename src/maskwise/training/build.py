"""From settings to the objects a run is made of: arguments, model, masker, score.

Nothing here trains.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import TrainingArguments

from maskwise.config import MaskingSettings, PretrainSettings, RateSettings
from maskwise.data.blocks import DataFolder
from maskwise.errors import InputError, nearest
from maskwise.masking import rates
from maskwise.models.presets import build_model
from maskwise.training import scores
from maskwise.training.masker import Masker, Score

PAPER_DEFAULTS = {"per_device_train_batch_size": 256, "learning_rate": 1e-4, "num_train_epochs": 25}
SMALL_DEFAULTS = {"per_device_train_batch_size": 64, "learning_rate": 1e-3, "num_train_epochs": 1}
COMMON_DEFAULTS = {
    "optim": "adamw_torch_fused",
    "adam_epsilon": 1e-6,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "warmup_steps": 0.06,
    "lr_scheduler_type": "linear",
    "logging_steps": 20,
    "eval_strategy": "steps",
    "eval_steps": 0.1,
    "save_strategy": "steps",
    "save_steps": 0.1,
    "save_total_limit": 2,
    "report_to": ["tensorboard"],
}


def trainer_defaults(preset: str | None) -> dict[str, Any]:
    """Returns the training options where the settings say nothing: the paper's, or lighter ones for tiny and mini."""
    small = preset in ("tiny", "mini")
    return COMMON_DEFAULTS | (SMALL_DEFAULTS if small else PAPER_DEFAULTS) | {"bf16": bf16_is_fast()}


def bf16_is_fast() -> bool:
    """Returns True where the processor multiplies bf16 matrices in hardware."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def training_arguments(settings: PretrainSettings, out: Path) -> TrainingArguments:
    """Returns the Trainer's arguments; raises InputError for an option it does not know or accept."""
    own = {"output_dir": str(out), "seed": settings.seed, "data_seed": settings.seed, "disable_tqdm": True}
    taken = sorted(own.keys() & settings.trainer.keys())
    if taken:
        raise InputError(f"The setting trainer.{taken[0]} is set by maskwise. Use --out and --seed.")
    known = TrainingArguments.__dataclass_fields__
    unknown = sorted(settings.trainer.keys() - known.keys())
    if unknown:
        raise InputError(f"TrainingArguments has no option {unknown[0]!r}.{nearest(unknown[0], known)}")
    try:
        args = TrainingArguments(**{"use_cpu": not torch.accelerator.is_available()} | settings.trainer | own)
    except (ValueError, TypeError) as error:
        raise InputError(f"The [trainer] settings do not work: {error}") from None
    if args.per_device_train_batch_size < 1:
        raise InputError(f"trainer.per_device_train_batch_size is {args.per_device_train_batch_size}; give at least 1.")
    return args


def load_model(settings: PretrainSettings, data: DataFolder) -> Any:
    """Returns the model to train: a preset or config.json from scratch, or a checkpoint."""
    tokenizer = data.tokenizer
    if settings.model.checkpoint is None:
        assert settings.model.preset is not None
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        return build_model(settings.model.preset, len(tokenizer), settings.seed, pad)
    return load_checkpoint(settings.model.checkpoint, tokenizer)


def load_checkpoint(name: str, tokenizer: Any) -> Any:
    """Returns a checkpoint's masked language model in fp32.

    Raises InputError where it does not load, has no masked-LM head, or has another vocabulary than `tokenizer`.
    """
    try:
        model, report = transformers.AutoModelForMaskedLM.from_pretrained(
            name, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"The checkpoint {name!r} does not load as a masked language model: {first_line}") from None
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise InputError(f"The checkpoint {name!r} has no masked-LM head: it lacks {missing}. Use one trained by masked language modelling.")
    size, needed = model.get_input_embeddings().num_embeddings, len(tokenizer)
    if size < needed:
        raise InputError(
            f"The checkpoint {name!r} has {size:,} embeddings, the data's tokenizer {needed:,} tokens. "
            "Prepare the data with the checkpoint's own tokenizer: maskwise prepare --tokenizer."
        )
    return model


def build_masker(settings: MaskingSettings, tokenizer: Any, *, seed: int) -> Masker:
    """Returns the masker that settings describe."""
    return Masker(
        build_score(settings),
        tokenizer,
        unit=settings.unit,
        pick=settings.pick,
        rate=build_rate(settings.rate),
        spend=settings.spend,
        corruption=settings.corruption,
        sharpness=settings.sharpness,
        seed=seed,
    )


def build_rate(rate: float | str | RateSettings) -> rates.RateSchedule:
    """Returns the schedule that a rate setting means."""
    if isinstance(rate, RateSettings):
        return {"linear": rates.linear, "cosine": rates.cosine}[rate.schedule](rate.start, rate.end)
    return rates.one_token() if rate == "one" else rates.constant(float(rate))


def build_score(settings: MaskingSettings) -> Score:
    """Returns a score by its name, or your own by `package.module:function`."""
    if settings.score == "uniform":
        return scores.uniform
    module_name, colon, function_name = settings.score.partition(":")
    if not colon:
        raise InputError(f"No score {settings.score!r}. Known: uniform; your own is written package.module:function.")
    try:
        return getattr(import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"The score {settings.score!r} cannot be imported: {error}.") from None
