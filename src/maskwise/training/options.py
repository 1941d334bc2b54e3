"""What `MaskingTrainer` does with each of the `TrainingArguments`: honours it, sets it itself, or refuses it.

Every argument that is not named here is the Trainer's and does what transformers says. A test names each one, and what
shows that it is honoured; an argument that a newer transformers adds fails that test until somebody decides.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from transformers import TrainingArguments

from maskwise.errors import InputError


@dataclass(frozen=True)
class Refusal:
    """Which values of an argument are accepted, and why others are not."""

    is_fine: Callable[[Any], bool]
    reason: str


LARGEST_SEED = 2**32 - 1  # numpy's


def _is_seed(value: Any) -> bool:
    return value is None or 0 <= value <= LARGEST_SEED


def _only(*values: Any) -> Callable[[Any], bool]:
    return lambda value: value in values


REFUSED: dict[str, Refusal] = {
    "auto_find_batch_size": Refusal(
        _only(False),
        "a smaller batch would start the run over in the middle, with the score's state and the rows of the first try; "
        "set per_device_train_batch_size, and gradient_accumulation_steps to keep the batch of a step",
    ),
    "average_tokens_across_devices": Refusal(
        _only(True),
        "a step's loss is one sum over the labelled tokens of all processes divided by their number, so that it does "
        "not depend on how many processes there are",
    ),
    "batch_eval_metrics": Refusal(
        _only(False),
        "compute_metrics gets the labelled rows of the whole evaluation; cut them down with "
        "preprocess_logits_for_metrics to save memory",
    ),
    "include_for_metrics": Refusal(
        lambda value: not value, "compute_metrics gets labelled rows, which have no inputs or losses of their own"
    ),
    "bf16_full_eval": Refusal(_only(False), "evaluations run in the precision of training (bf16)"),
    "fp16_full_eval": Refusal(_only(False), "evaluations run in the precision of training (fp16)"),
    "dataloader_in_order": Refusal(
        _only(True), "the order of the rows would depend on which worker is faster, and no run could be repeated"
    ),
    "enable_jit_checkpoint": Refusal(
        _only(False),
        "it saves between a backward pass and its optimizer step, and the resumed run would count that batch twice; "
        "set save_steps",
    ),
    "ignore_data_skip": Refusal(
        _only(False), "a resumed run would begin its epoch again, with rows that were trained on already"
    ),
    "label_names": Refusal(lambda value: value in (None, ["labels"]), "the masker makes the labels, as `labels`"),
    "label_smoothing_factor": Refusal(lambda value: 0 <= value < 1, "it is a share of the loss, from 0 to below 1"),
    "parallelism_config": Refusal(
        _only(None), "masks are drawn for whole sequences, which tensor, context and sequence parallelism split"
    ),
    "seed": Refusal(_is_seed, f"a seed is a whole number from 0 to {LARGEST_SEED}"),
    "data_seed": Refusal(_is_seed, f"a seed is a whole number from 0 to {LARGEST_SEED}"),
    "train_sampling_strategy": Refusal(
        _only("random", "sequential", "group_by_length"),
        "batches of a varying number of rows cannot be counted when a run is resumed; use 'random', 'sequential' or "
        "'group_by_length'",
    ),
    "use_liger_kernel": Refusal(
        _only(False), "its kernels replace the head, which runs on the labelled rows alone here and is faster already"
    ),
}

REFUSED_ACCELERATOR: dict[str, Refusal] = {
    "split_batches": Refusal(
        _only(False), "per_device_train_batch_size is the batch of one process here, whatever their number"
    ),
    "dispatch_batches": Refusal(_only(None, False), "a resumed epoch would have the rows of another in another order"),
    "even_batches": Refusal(_only(True), "processes with fewer batches than others would leave them waiting"),
    "use_seedable_sampler": Refusal(_only(True), "the order of the rows always follows data_seed"),
}

# What changes no loss: it may differ when a run is resumed. Arguments that are named nowhere count as changing it.
HARMLESS = frozenset({
    "output_dir", "do_train", "do_eval", "do_predict", "resume_from_checkpoint", "local_rank", "debug",
    "skip_memory_metrics", "log_level", "log_level_replica", "log_on_each_node", "logging_strategy",
    "logging_steps", "logging_first_step", "logging_nan_inf_filter", "disable_tqdm", "report_to", "run_name",
    "project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id", "include_num_input_tokens_seen",
    "eval_strategy", "eval_steps", "eval_delay", "eval_on_start", "per_device_eval_batch_size",
    "prediction_loss_only", "eval_do_concat_batches", "eval_use_gather_object", "eval_accumulation_steps",
    "include_for_metrics", "batch_eval_metrics", "save_only_model", "save_strategy", "save_steps",
    "save_on_each_node", "save_total_limit", "enable_jit_checkpoint", "push_to_hub", "hub_token",
    "hub_private_repo", "hub_model_id", "hub_strategy", "hub_always_push", "hub_revision", "load_best_model_at_end",
    "metric_for_best_model", "greater_is_better", "restore_callback_states_from_checkpoint", "ignore_data_skip",
    "remove_unused_columns", "label_names", "use_cache", "use_cpu", "torch_empty_cache_steps", "accelerator_config",
    "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers",
    "dataloader_prefetch_factor", "dataloader_multiprocessing_context", "activation_checkpointing",
    "activation_checkpointing_kwargs", "gradient_checkpointing", "gradient_checkpointing_kwargs",
    "ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph", "ddp_backend",
    "ddp_timeout",
})  # fmt: skip
# Schedulers that look at evaluations make these part of what losses depend on.
EVALUATED_SCHEDULERS = ("reduce_lr_on_plateau", "greedy")
EVALUATIONS = ("eval_strategy", "eval_steps", "eval_delay", "metric_for_best_model", "greater_is_better")

FIGURE = re.compile(r"(?:.*_)?(loss|perplexity|top1|top5)(?:_q[1-5])?")


def own_arguments(args: TrainingArguments) -> TrainingArguments:
    """Returns a copy of the arguments with what `MaskingTrainer` sets itself.

    Rows keep the columns that the masker reads, a loss that is not finite is not replaced by an average, and old
    checkpoints are deleted only after a new one is complete.
    """
    args = copy.copy(args)
    args.remove_unused_columns = False
    args.logging_nan_inf_filter = False
    args.save_total_limit = None
    return args


def check_options(args: TrainingArguments) -> None:
    """Raises InputError for an argument that `MaskingTrainer` cannot honour, with the reason."""
    for owner, table, prefix in (
        (args, REFUSED, ""),
        (getattr(args, "accelerator_config", None), REFUSED_ACCELERATOR, "accelerator_config."),
    ):
        for name, refusal in table.items():
            if hasattr(owner, name) and not refusal.is_fine(value := getattr(owner, name)):
                raise InputError(f"MaskingTrainer does not take {prefix}{name} = {value!r}: {refusal.reason}.")
    if args.n_gpu > 1:
        raise InputError(
            f"One process sees {args.n_gpu} GPUs, and the Trainer would split every batch among them (DataParallel), "
            "which masks and scores cannot follow. Start a process for each GPU (torchrun --nproc-per-node "
            f"{args.n_gpu} ...), or show one GPU to this process (CUDA_VISIBLE_DEVICES=0)."
        )


def check_best_metric(args: TrainingArguments, own_metrics: bool) -> None:
    """Raises InputError if the best model would be chosen by a figure that no evaluation has, or by the worst value.

    The Trainer takes any name that does not end in `loss` for something that is better if it is greater.
    """
    metric = args.metric_for_best_model
    if metric is None:
        return
    figure = FIGURE.fullmatch(metric)
    if figure is None:
        if not own_metrics:
            raise InputError(
                f"metric_for_best_model is {metric!r}, which no evaluation has. There are loss, perplexity, top1, top5 "
                "and their fifths (loss_q1 to loss_q5), and what compute_metrics returns."
            )
        return
    is_greater_better = figure[1] in ("top1", "top5")
    if args.greater_is_better is not None and args.greater_is_better != is_greater_better:
        raise InputError(
            f"metric_for_best_model is {metric!r}, of which the {'greater' if is_greater_better else 'smaller'} value "
            f"is the better one: set greater_is_better={is_greater_better}."
        )


def loss_options(args: TrainingArguments) -> dict[str, Any]:
    """Returns the arguments that the losses of a run depend on, by name."""
    by_evaluations = str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)) in EVALUATED_SCHEDULERS
    harmless = HARMLESS - set(EVALUATIONS) if by_evaluations else HARMLESS
    if args.max_steps > 0:
        harmless |= {"num_train_epochs"}
    return {field.name: getattr(args, field.name) for field in fields(args) if field.name not in harmless}
