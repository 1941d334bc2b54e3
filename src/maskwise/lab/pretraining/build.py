"""From settings to the objects a run is made of: arguments, model, masker, score.

Nothing here trains.
"""

from __future__ import annotations

import math
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.integrations import get_reporting_integration_callbacks

from maskwise.errors import InputError
from maskwise.lab.config import DistillationSettings, PretrainSettings, StoppingSettings, merge
from maskwise.lab.masking_settings import MODEL_SCORE_NAMES, MaskingSettings, TyphoonSettings
from maskwise.lab.pretraining.build_typhoon import build_typhoon
from maskwise.lab.pretraining.early_stopping import StoppingRule
from maskwise.lab.pretraining.stored_scores import open_stored
from maskwise.lab.pretraining.trainer_settings import (
    check_can_be_honoured,
    check_trainer_table,
    settings_as_input_errors,
)
from maskwise.lab.pretraining.word_checkpoints import SETTING
from maskwise.lab.tokens.blocks import TOKENIZER, DataFolder, open_data
from maskwise.lab.tokens.extend_tokenizer import extends, pieces_of_new_tokens
from maskwise.masking.masker import Masker
from maskwise.masking.recipe_arguments import masker_arguments
from maskwise.masking.score import Score
from maskwise.masking.vocabulary import num_token_ids, padding_id
from maskwise.models.device import on_one_device
from maskwise.models.initialization import start_at_unigram
from maskwise.models.loading import (
    check_positions,
    check_same_tokenizer,
    check_size,
    load_checkpoint,
    load_masked_lm,
    load_tokenizer,
)
from maskwise.models.new_tokens import grow_vocabulary
from maskwise.models.presets import build_model
from maskwise.scores.stored import Stored
from maskwise.training.distill import Distillation

PAPER_DEFAULTS = {"per_device_train_batch_size": 256, "learning_rate": 1e-4, "num_train_epochs": 25}
SMALL_DEFAULTS = {"per_device_train_batch_size": 64, "learning_rate": 1e-3, "num_train_epochs": 1}
# Batches are padded by other processes and copied while the step before runs; a CPU has no cores to spare for that.
GPU_LOADING = {"dataloader_num_workers": 2, "accelerator_config": {"non_blocking": True}}
ADAPTATION_PATIENCE, ADAPTATION_TOLERANCE = 3, 0.1  # 0.1 nats are a tenth more perplexity
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
    "per_device_eval_batch_size": 32,
    "report_to": ["tensorboard"],
}


def trainer_defaults(preset: str | None) -> dict[str, Any]:
    """Returns the training options where the settings say nothing: the paper's, or lighter ones for tiny and mini."""
    small = preset in ("tiny", "mini")
    sizes = SMALL_DEFAULTS if small else PAPER_DEFAULTS
    loading = GPU_LOADING if torch.cuda.is_available() else {}
    return COMMON_DEFAULTS | sizes | loading | {"bf16": bf16_is_fast()}


def with_defaults(settings: PretrainSettings) -> PretrainSettings:
    """Returns the settings with training options and stopping rules filled in where they say nothing."""
    trainer = merge(trainer_defaults(settings.model.preset), settings.trainer)
    stopping = settings.stopping
    if settings.data.general is not None:
        defaults = {"patience": ADAPTATION_PATIENCE, "tolerance": ADAPTATION_TOLERANCE}
        stopping = StoppingSettings(**(defaults | stopping.model_dump(exclude_none=True)))
    return settings.model_copy(update={"trainer": trainer, "stopping": stopping})


def build_rule(settings: StoppingSettings) -> StoppingRule | None:
    """Returns the rule that settings describe, or None if nothing but the last step ends a run."""
    return None if settings == StoppingSettings() else StoppingRule(**settings.model_dump())


def bf16_is_fast() -> bool:
    """Returns True where the processor multiplies bf16 matrices in hardware."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def training_arguments(settings: PretrainSettings, out: Path) -> TrainingArguments:
    """Returns the Trainer's arguments; raises InputError for an option that is not known, accepted or honoured.

    A process keeps to one GPU, as under torchrun: the Trainer alone would multiply the batch by their number.
    """
    own = {"output_dir": str(out), "seed": settings.seed, "data_seed": settings.seed, "disable_tqdm": True}
    given = {name: value for name, value in settings.trainer.items() if name != SETTING}
    check_trainer_table(given, own)
    values: dict[str, Any] = {"use_cpu": not torch.accelerator.is_available()} | given | own
    with settings_as_input_errors():
        args = on_one_device(TrainingArguments(**values))
        get_reporting_integration_callbacks(args.report_to)  # or the Trainer refuses a name later
    check_can_be_honoured(args, has_stopping=settings.stopping != StoppingSettings())
    return args


def load_model(settings: PretrainSettings, data: DataFolder) -> Any:
    """Returns the model to train: a preset or config.json from scratch, or a checkpoint.

    Where the data's tokenizer has all that the checkpoint's has, and more, each new token starts as the mean of its
    pieces.
    """
    name, tokenizer = settings.model.checkpoint, data.tokenizer
    if name is None:
        assert settings.model.preset is not None
        from_unigrams, preset = settings.model.initialization == "unigram", settings.model.preset
        model = build_model(
            preset, num_token_ids(tokenizer), settings.seed, padding_id(tokenizer), near_heads=from_unigrams
        )
        check_positions(preset, model, data.manifest["block"], data.path)
        if from_unigrams:
            start_at_unigram(model, torch.from_numpy(data.token_counts), tokenizer.all_special_ids)
        return model
    model = load_masked_lm(name)
    check_positions(name, model, data.manifest["block"], data.path)
    own = load_tokenizer(name)
    check_size(name, model, own)
    if extends(own, tokenizer):
        grow_vocabulary(model, pieces_of_new_tokens(own, tokenizer))
    else:
        check_same_tokenizer(name, tokenizer, data.path)
    return model


def load_general(settings: PretrainSettings, data: DataFolder) -> DataFolder | None:
    """Returns the folder of general text, or None if the settings name none.

    Raises InputError if its tokenizer is not the one of `data`: the losses of two tokenizers are no one scale.
    """
    if settings.data.general is None:
        return None
    general = open_data(settings.data.general)
    if general.manifest["tokenizer_sha256"] != data.manifest["tokenizer_sha256"]:
        counts = f"{general.manifest['vocabulary']:,} and {data.manifest['vocabulary']:,} tokens"
        raise InputError(
            f"{general.path} and {data.path} were prepared with different tokenizers ({counts}), and one model cannot "
            "sit both evaluations.\nPrepare the general text again with the domain's, extended or not: "
            f"maskwise prepare SOURCE... --tokenizer {data.path / TOKENIZER} --out DIR"
        )
    return general


def build_masker(
    settings: MaskingSettings, data: DataFolder, *, seed: int, teacher: Any = None, score: Score | None = None
) -> Masker:
    """Returns the masker that settings describe, for a data folder.

    Args:
        settings: Which tokens are masked, and by what they are replaced.
        data: The data folder.
        seed: Of the masks.
        teacher: A model, or its `Stored` scores.
        score: Your own score, instead of the one that the settings name.

    Raises:
        InputError: For a score or a unit that cannot be imported or made, and a column that the data do not have.
    """
    masking = settings.model_dump(exclude={"stored"}, exclude_none=True)
    if score is not None:
        masking |= {"score": score}
    elif settings.score == "typhoon":
        masking |= {"score": build_typhoon(settings.typhoon or TyphoonSettings(), data)}
        masking.pop("typhoon", None)
    supplied = {"tokenizer": data.tokenizer, "teacher": teacher, "token_counts": data.token_counts}
    arguments = masker_arguments(masking, signature(Masker).parameters, **supplied)
    masker = Masker(tokenizer=data.tokenizer, seed=seed, **arguments)
    if masker.columns:
        _check_has_columns(masker, data)
    return masker


def _check_has_columns(masker: Masker, data: DataFolder) -> None:
    found = data.train.column_names
    if missing := [name for name in masker.columns if name not in found]:
        raise InputError(
            f"The masking reads the column {missing[0]!r}, and the data folder {data.path} has {', '.join(found)}.\n"
            f"Add it from a script: maskwise.lab.add_column({str(data.path)!r}, {missing[0]!r}, function, out=...)."
        )


def load_teacher(settings: PretrainSettings, data: DataFolder) -> Any:
    """Returns the frozen teacher, or None if the settings need none.

    Raises InputError if it does not load, has no masked-LM head, or has another vocabulary than the data.
    """
    masking = settings.masking
    scores_live = masking.score in MODEL_SCORE_NAMES and masking.source != "self" and not masking.stored
    if settings.teacher is None or not (scores_live or settings.distillation.weight > 0):
        return None
    teacher = load_checkpoint(settings.teacher, data.tokenizer)
    check_same_tokenizer(settings.teacher, data.tokenizer, data.path)
    check_positions(settings.teacher, teacher, data.manifest["block"], data.path)
    return teacher


def load_stored(settings: PretrainSettings, data: DataFolder) -> Stored | None:
    """Returns the teacher's stored scores where the settings ask for them, else None.

    Raises InputError with the command that stores them where there are none.
    """
    if not settings.masking.stored:
        return None
    assert settings.teacher is not None
    return open_stored(data, settings.teacher, settings.masking.score)


def planned_run(args: TrainingArguments, num_rows: int) -> tuple[int, float]:
    """Returns how many optimizer steps and epochs a run over `num_rows` examples will have, as the Trainer counts."""
    an_epoch = steps_an_epoch(args, num_rows)
    if args.max_steps > 0:
        return args.max_steps, args.max_steps / an_epoch
    return math.ceil(args.num_train_epochs * an_epoch), args.num_train_epochs


def steps_an_epoch(args: TrainingArguments, num_rows: int) -> int:
    """Returns how many optimizer steps a pass over `num_rows` examples takes, as the Trainer counts."""
    batches = num_rows / (args.train_batch_size * args.world_size)
    batches = math.floor(batches) if args.dataloader_drop_last else math.ceil(batches)
    return max(math.ceil(batches / args.gradient_accumulation_steps), 1)


def rows_a_step(args: TrainingArguments, num_rows: int) -> float:
    """Returns how many of `num_rows` examples an optimizer step sees in the mean over an epoch.

    That is the batch asked for, but for an epoch's last step, which has the rest, and data smaller than a batch.
    """
    asked = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    return min(asked, num_rows / steps_an_epoch(args, num_rows))


def build_distillation(settings: DistillationSettings, teacher: Any) -> Distillation | None:
    """Returns the distillation that settings describe, or None if its weight is 0."""
    if settings.weight == 0:
        return None
    return Distillation(
        teacher,
        weight=settings.weight,
        temperature=settings.temperature,
        start_epochs=settings.start_epochs,
        start_share=settings.start_share,
    )
