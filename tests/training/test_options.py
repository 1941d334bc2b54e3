"""Every argument of the Trainer is honoured, left to transformers for a reason, or refused: none is ignored."""

from __future__ import annotations

import ast
import copy
import inspect
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.utils import ParallelismConfig
from transformers import Trainer, TrainingArguments
from transformers.trainer_pt_utils import AcceleratorConfig

from maskwise.errors import InputError
from maskwise.training.options import HARMLESS, REFUSED, REFUSED_ACCELERATOR, check_options, own_arguments
from training.conftest import logged

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Honoured:
    """A test shows that the argument does what it says."""

    test: str
    file: str = "training/test_options.py"


@dataclass(frozen=True)
class Own:
    """Transformers does it without us, and why nothing of ours can stand in its way."""

    reason: str


@dataclass(frozen=True)
class Refused:
    """A value that is refused, with words of the reason; other values may be honoured by `test`."""

    value: Any
    reason: str
    test: Honoured | None = None


STREAMED = Honoured(
    "test_the_loss_and_its_gradients_are_those_of_the_dense_reference", "training/test_label_smoothing.py"
)
BEST = Honoured("test_the_best_checkpoint_is_kept_and_its_model_returned", "training/test_resumable.py")
RESUMED = Honoured("test_a_resumed_script_ends_as_the_unbroken_one", "training/test_resumable.py")
COMPILED = Honoured("test_a_compiled_model_is_compiled_for_its_scores_and_exams_too", "training/test_trainer.py")
MASKS = Honoured("test_a_model_is_evaluated_before_it_is_trained", "training/test_evaluating.py")
WORKERS = Honoured("test_loader_workers_do_not_change_the_losses", "lab/pretraining/test_pretrain.py")
OPTIMIZER = Honoured("test_the_optimizer_and_its_schedule_are_as_asked_for")
LENGTH = Honoured("test_a_run_is_as_long_as_asked_for")
ORDER = Honoured("test_rows_come_in_the_order_asked_for")
RECOMPUTED = Honoured("test_recomputed_activations_change_no_loss")
WRITES = "it decides when and where figures are written, after they are made"
HUB = "it uploads what was saved, and saving is the Trainer's; the network is not asked otherwise"
LOADER = "it is about processes that fetch rows; rows are padded by one function and masked in the main process"
SHARED = "it is torch's DistributedDataParallel's, which the Trainer wraps around the model"
SHARDED = "it is refused if accelerate does not shard (`RunHooks`), and sharded weights take the model's own forward"
SCRIPTS = "transformers reads it in no place: it is for scripts; `maskwise pretrain` refuses it"

ARGUMENTS: dict[str, Honoured | Own | Refused] = {
    "output_dir": RESUMED,
    "per_device_train_batch_size": LENGTH,
    "num_train_epochs": LENGTH,
    "max_steps": LENGTH,
    "learning_rate": OPTIMIZER,
    "lr_scheduler_type": OPTIMIZER,
    "lr_scheduler_kwargs": OPTIMIZER,
    "warmup_steps": OPTIMIZER,
    "optim": OPTIMIZER,
    "optim_args": Own("it is a text that the Trainer hands to optimizers of other packages"),
    "weight_decay": OPTIMIZER,
    "adam_beta1": OPTIMIZER,
    "adam_beta2": OPTIMIZER,
    "adam_epsilon": OPTIMIZER,
    "optim_target_modules": Own("it picks parameters for optimizers of other packages, by the names in the model"),
    "gradient_accumulation_steps": Honoured(
        "test_accumulation_of_four_gives_the_gradient_of_one_large_batch", "training/test_trainer.py"
    ),
    "average_tokens_across_devices": Refused(False, "one sum over the labelled tokens of all processes"),
    "max_grad_norm": Honoured("test_gradients_are_clipped"),
    "label_smoothing_factor": Refused(1.0, "a share of the loss", STREAMED),
    "bf16": Honoured("test_scores_losses_and_teachers_run_in_the_precision_asked_for", "training/test_trainer.py"),
    "fp16": Own("the loss is scaled after it is made; scores that want gradients get them divided by the scale"),
    "bf16_full_eval": Refused(True, "precision of training"),
    "fp16_full_eval": Refused(True, "precision of training"),
    "tf32": Own("it is a switch of torch's for all products, on GPUs"),
    "activation_checkpointing": RECOMPUTED,
    "activation_checkpointing_kwargs": RECOMPUTED,
    "gradient_checkpointing": RECOMPUTED,
    "gradient_checkpointing_kwargs": RECOMPUTED,
    "torch_compile": COMPILED,
    "torch_compile_backend": COMPILED,
    "torch_compile_mode": Own("it is handed to torch.compile with the backend"),
    "use_liger_kernel": Refused(True, "replace the head"),
    "liger_kernel_config": Own("it says which kernels `use_liger_kernel` takes, which is refused"),
    "use_cache": Own("it is written into the model's configuration, and is for models that generate text"),
    "neftune_noise_alpha": Honoured("test_noise_in_the_embeddings_is_there_in_training_alone"),
    "torch_empty_cache_steps": Own("it frees memory between steps, and no tensor of a step is kept past it"),
    "auto_find_batch_size": Refused(True, "start the run over in the middle"),
    "logging_strategy": RESUMED,
    "logging_steps": RESUMED,
    "logging_first_step": Own(WRITES),
    "log_on_each_node": Own(WRITES),
    "logging_nan_inf_filter": Honoured(
        "test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint",
        "lab/pretraining/test_pretrain.py",
    ),
    "include_num_input_tokens_seen": Honoured("test_tokens_are_counted_as_they_are_seen"),
    "log_level": Own(WRITES),
    "log_level_replica": Own(WRITES),
    "disable_tqdm": Own(WRITES),
    "report_to": Own(WRITES),
    "run_name": Own(WRITES),
    "project": Own(WRITES),
    "trackio_space_id": Own(WRITES),
    "trackio_bucket_id": Own(WRITES),
    "trackio_static_space_id": Own(WRITES),
    "eval_strategy": MASKS,
    "eval_steps": MASKS,
    "eval_delay": Own("it decides when `evaluate` is called, which looks at no step"),
    "per_device_eval_batch_size": Honoured(
        "test_metrics_of_ones_own_get_the_labelled_tokens_of_the_whole_evaluation", "training/test_evaluating.py"
    ),
    "prediction_loss_only": Honoured(
        "test_metrics_are_left_out_if_only_the_loss_is_wanted", "training/test_evaluating.py"
    ),
    "eval_on_start": MASKS,
    "eval_do_concat_batches": Honoured(
        "test_batches_are_left_apart_if_that_is_asked_for", "training/test_evaluating.py"
    ),
    "eval_use_gather_object": Own("predictions that are kept are always gathered as objects"),
    "eval_accumulation_steps": Own(
        "predictions that are kept go to the CPU batch by batch, which is its strictest value"
    ),
    "include_for_metrics": Refused(["inputs"], "labelled rows, which have no inputs"),
    "batch_eval_metrics": Refused(True, "labelled rows of the whole evaluation"),
    "save_only_model": Honoured(
        "test_a_checkpoint_without_an_optimizer_is_not_resumed_from", "training/test_resumable.py"
    ),
    "save_strategy": RESUMED,
    "save_steps": RESUMED,
    "save_on_each_node": Own("`should_save` follows it, and everything of ours is written where that is true"),
    "save_total_limit": BEST,
    "enable_jit_checkpoint": Refused(True, "count that batch twice"),
    "push_to_hub": Own(HUB),
    "hub_token": Own(HUB),
    "hub_private_repo": Own(HUB),
    "hub_model_id": Own(HUB),
    "hub_strategy": Own(HUB),
    "hub_always_push": Own(HUB),
    "hub_revision": Own(HUB),
    "load_best_model_at_end": BEST,
    "metric_for_best_model": BEST,
    "greater_is_better": BEST,
    "ignore_data_skip": Refused(True, "rows that were trained on already"),
    "restore_callback_states_from_checkpoint": Own("it is for callbacks that export their state; ours keep none there"),
    "full_determinism": Honoured("test_a_run_works_with_deterministic_algorithms_alone"),
    "seed": Refused(2**32, "from 0 to 4294967295", Honoured("test_seeds_decide_what_they_say")),
    "data_seed": Refused(-1, "from 0 to 4294967295", Honoured("test_seeds_decide_what_they_say")),
    "use_cpu": Own("it decides `args.device`, which everything of ours is moved to"),
    "accelerator_config": Refused({"split_batches": True}, "batch of one process"),
    "parallelism_config": Refused(ParallelismConfig(), "whole sequences"),
    "dataloader_drop_last": Honoured("test_a_last_batch_that_is_not_full_is_left_out_or_refused"),
    "dataloader_num_workers": WORKERS,
    "dataloader_pin_memory": Own(LOADER),
    "dataloader_persistent_workers": Own(LOADER),
    "dataloader_prefetch_factor": Own(LOADER),
    "dataloader_multiprocessing_context": Own(LOADER),
    "dataloader_in_order": Refused(False, "which worker is faster"),
    "remove_unused_columns": Honoured(
        "test_scores_and_units_read_their_columns_and_the_model_gets_its_own", "training/test_columns.py"
    ),
    "label_names": Refused(["start_positions"], "the masker makes the labels"),
    "train_sampling_strategy": Refused("no_such_way", "batches of a varying number of rows", ORDER),
    "length_column_name": ORDER,
    "ddp_find_unused_parameters": Own(SHARED),
    "ddp_bucket_cap_mb": Own(SHARED),
    "ddp_broadcast_buffers": Own(SHARED),
    "ddp_static_graph": Own(SHARED),
    "ddp_backend": Own(SHARED),
    "ddp_timeout": Own(SHARED),
    "fsdp": Own(SHARDED),
    "fsdp_config": Own(SHARDED),
    "deepspeed": Own(SHARDED),
    "debug": Own("it looks at the outputs of modules, and no module is left out that the model runs"),
    "skip_memory_metrics": Own(WRITES),
    "do_train": Own(SCRIPTS),
    "do_eval": Own(SCRIPTS),
    "do_predict": Own(SCRIPTS),
    "resume_from_checkpoint": Own(SCRIPTS),
    "local_rank": Own(SCRIPTS),
}

NAMES = Honoured(
    "test_a_model_can_be_given_by_its_folder_and_the_masker_by_its_score", "training/test_what_is_trained.py"
)
PARAMETERS: dict[str, Honoured | Own | Refused] = {
    "model": NAMES,
    "args": Honoured("test_arguments_may_be_left_out", "training/test_what_is_trained.py"),
    "data_collator": Refused(list, "leave out data_collator"),
    "train_dataset": NAMES,
    "eval_dataset": Honoured("test_several_evaluations_have_their_names", "training/test_evaluating.py"),
    "processing_class": Honoured(
        "test_the_tokenizer_is_saved_with_the_model_and_with_every_checkpoint", "training/test_what_is_trained.py"
    ),
    "model_init": Honoured(
        "test_model_init_makes_a_new_model_and_new_scores_for_every_train", "training/test_what_is_trained.py"
    ),
    "compute_loss_func": Refused(max, "leave out compute_loss_func"),
    "compute_metrics": Honoured(
        "test_metrics_of_ones_own_get_the_labelled_tokens_of_the_whole_evaluation", "training/test_evaluating.py"
    ),
    "callbacks": Honoured(
        "test_weights_that_are_not_finite_are_never_the_last_good_ones", "training/test_resumable.py"
    ),
    "optimizers": Honoured("test_an_optimizer_of_ones_own_takes_the_steps"),
    "optimizer_cls_and_kwargs": Honoured("test_an_optimizer_of_ones_own_takes_the_steps"),
    "preprocess_logits_for_metrics": Honoured(
        "test_logits_can_be_cut_down_before_they_are_kept", "training/test_evaluating.py"
    ),
}

ACCELERATOR: dict[str, Own | Refused] = {
    "split_batches": Refused(True, "batch of one process"),
    "dispatch_batches": Refused(True, "another order"),
    "even_batches": Refused(False, "leave them waiting"),
    "use_seedable_sampler": Refused(False, "always follows data_seed"),
    "non_blocking": Own("batches are copied to the device by accelerate, before they are masked there"),
    "gradient_accumulation_kwargs": Own("it is about when processes exchange gradients, which are sums"),
    "use_configured_state": Own("it takes up the state of accelerate that the caller has made"),
}
DECIDE = (
    "{names} of this transformers {one} not in the table {table}. Decide for each: honoured (name the test that shows "
    "it), transformers' own (say why nothing of ours stands in its way), or refused (add it to "
    "maskwise.training.options.REFUSED); and whether it changes a run's losses (if not, add it to HARMLESS)."
)


def undecided(found: set[str], table: dict[str, Any], name: str) -> str:
    missing = sorted(found - table.keys())
    return DECIDE.format(names=", ".join(missing), one="is" if len(missing) == 1 else "are", table=name)


def test_every_argument_is_decided():
    """A newer transformers may bring one that changes the loss, which a trainer with its own loss would ignore."""
    found = {field.name for field in fields(TrainingArguments)}
    assert found <= ARGUMENTS.keys(), undecided(found, ARGUMENTS, "ARGUMENTS")
    found = set(inspect.signature(Trainer.__init__).parameters) - {"self"}
    assert found <= PARAMETERS.keys(), undecided(found, PARAMETERS, "PARAMETERS")
    found = {field.name for field in fields(AcceleratorConfig)}
    assert found <= ACCELERATOR.keys(), undecided(found, ACCELERATOR, "ACCELERATOR")


def test_an_argument_that_nobody_has_decided_on_is_named_with_what_to_decide():
    text = undecided({"max_steps", "brand_new"}, ARGUMENTS, "ARGUMENTS")
    assert text.startswith("brand_new of this transformers is not in the table ARGUMENTS. Decide")


@cache
def functions_of(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", sorted({**ARGUMENTS, **PARAMETERS}))
def test_what_is_honoured_has_a_test_that_shows_it(name):
    decided = {**ARGUMENTS, **PARAMETERS}[name]
    shown = decided.test if isinstance(decided, Refused) else decided
    if isinstance(shown, Honoured):
        assert shown.test in functions_of(shown.file)
    elif isinstance(shown, Own):
        assert len(shown.reason) > 20


def test_the_tables_of_refusals_are_the_codes():
    refused = {name for name, decided in ARGUMENTS.items() if isinstance(decided, Refused)}
    assert refused == REFUSED.keys() | {"accelerator_config"}
    assert {name for name, decided in ACCELERATOR.items() if isinstance(decided, Refused)} == REFUSED_ACCELERATOR.keys()
    assert ARGUMENTS.keys() >= HARMLESS


@pytest.mark.parametrize("name", [name for name, decided in ARGUMENTS.items() if isinstance(decided, Refused)])
def test_what_cannot_be_honoured_is_refused_with_the_reason(name, make_trainer, out):
    refused = ARGUMENTS[name]
    args = TrainingArguments(str(out), use_cpu=True, report_to=[])
    check_options(args)
    value = AcceleratorConfig(**refused.value) if name == "accelerator_config" else refused.value
    setattr(args, name, value)
    with pytest.raises(InputError, match=rf"does not take {name}(.|\n)*{refused.reason}"):
        check_options(args)


@pytest.mark.parametrize("name", [name for name, decided in ACCELERATOR.items() if isinstance(decided, Refused)])
def test_accelerates_options_that_cannot_be_honoured_are_refused(name, out):
    args = TrainingArguments(str(out), use_cpu=True, report_to=[], accelerator_config={name: ACCELERATOR[name].value})
    with pytest.raises(InputError, match=rf"accelerator_config.{name}(.|\n)*{ACCELERATOR[name].reason}"):
        check_options(args)


@pytest.mark.parametrize("name", [name for name, decided in PARAMETERS.items() if isinstance(decided, Refused)])
def test_parameters_that_cannot_be_honoured_are_refused(name, make_trainer):
    with pytest.raises(InputError, match=PARAMETERS[name].reason):
        make_trainer({name: PARAMETERS[name].value})


def test_the_trainer_itself_refuses_an_option(make_trainer):
    with pytest.raises(InputError, match="ignore_data_skip"):
        make_trainer(ignore_data_skip=True)


def test_the_arguments_that_were_given_stay_as_they_are(make_trainer):
    """What the trainer sets itself would otherwise reach the script's other trainers."""
    args = TrainingArguments("out", use_cpu=True, report_to=[], save_total_limit=2)
    before = copy.deepcopy(args.to_dict())
    own = own_arguments(args)
    assert args.to_dict() == before
    assert own.save_total_limit is None and not own.remove_unused_columns and not own.logging_nan_inf_filter
    assert make_trainer().args.remove_unused_columns is False


def test_a_run_is_as_long_as_asked_for(make_trainer):
    assert make_trainer(max_steps=3).train().global_step == 3
    options = {"max_steps": -1, "num_train_epochs": 2, "per_device_train_batch_size": 16}
    assert make_trainer(**options).train().global_step == 4


def test_the_optimizer_and_its_schedule_are_as_asked_for(make_trainer):
    trainer = make_trainer(
        optim="adamw_torch", learning_rate=0.5, weight_decay=0.25, adam_beta1=0.5, adam_beta2=0.75, adam_epsilon=0.125,
        lr_scheduler_type="polynomial", lr_scheduler_kwargs={"lr_end": 0.25}, warmup_steps=2, max_steps=6,
    )  # fmt: skip
    rates = []
    trainer.create_optimizer_and_scheduler(6)
    group = trainer.optimizer.param_groups[0]
    for _ in range(6):
        rates.append(group["lr"])
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    assert group["weight_decay"] == 0.25 and group["betas"] == (0.5, 0.75) and group["eps"] == 0.125
    assert type(trainer.optimizer).__name__ == "AdamW"
    assert rates == pytest.approx([0, 0.25, 0.5, 0.4375, 0.375, 0.3125])


def test_gradients_are_clipped(make_trainer):
    trainer = make_trainer(
        max_grad_norm=0.01, optim="sgd", learning_rate=1.0, lr_scheduler_type="constant", max_steps=1
    )
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    trainer.train()
    moved = [now.detach() - old for now, old in zip(trainer.model.parameters(), before, strict=True)]
    assert torch.cat([part.flatten() for part in moved]).norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("name", ["gradient_checkpointing", "activation_checkpointing"])
def test_recomputed_activations_change_no_loss(name, make_trainer):
    """The forward pass runs twice, and the labelled rows of the head are chosen inside it."""
    runs = [make_trainer(), make_trainer(**{name: True, f"{name}_kwargs": {"use_reentrant": False}})]
    for trainer in runs:
        trainer.train()
    assert logged(runs[1]) == pytest.approx(logged(runs[0]), abs=1e-6)
    assert runs[1].model.is_activation_checkpointing and not runs[0].model.is_activation_checkpointing


def test_noise_in_the_embeddings_is_there_in_training_alone(make_trainer, sentences):
    plain = make_trainer({"eval_dataset": sentences}, learning_rate=0.0)
    noisy = make_trainer({"eval_dataset": sentences}, learning_rate=0.0, neftune_noise_alpha=50.0)
    for trainer in (plain, noisy):
        trainer.train()
    assert max(abs(a - b) for a, b in zip(logged(plain), logged(noisy), strict=True)) > 1e-3
    assert noisy.evaluate()["eval_loss"] == plain.evaluate()["eval_loss"]


@pytest.mark.parametrize("which", ["all", "non_padding"])
def test_tokens_are_counted_as_they_are_seen(which, make_trainer, sentences):
    trainer = make_trainer(include_num_input_tokens_seen=which, per_device_train_batch_size=32, max_steps=1)
    trainer.train()
    lengths = [len(row["input_ids"]) for row in sentences]
    expected = 32 * max(lengths) if which == "all" else sum(lengths)
    assert trainer.state.num_input_tokens_seen == expected


def batches_of(trainer):
    """The example ids of each batch of the first epoch."""
    return [batch["example_id"].tolist() for batch in trainer.get_train_dataloader()]


class Table(list):
    """Rows with a column of their lengths, as `datasets` has them; here it is the wrong way round, to be told apart."""

    column_names = ("input_ids", "size")

    def __getitem__(self, index):
        return [100 - len(row["input_ids"]) for row in self] if index == "size" else super().__getitem__(index)


def test_rows_come_in_the_order_asked_for(make_trainer, sentences):
    plain = [number for batch in batches_of(make_trainer(train_sampling_strategy="sequential")) for number in batch]
    assert plain == list(range(32))
    for rows, is_longest_first in ((sentences, True), (Table(sentences), False)):
        options = {"train_sampling_strategy": "group_by_length", "length_column_name": "size"}
        batches = batches_of(make_trainer({"train_dataset": rows}, **options))
        assert sorted(number for batch in batches for number in batch) == list(range(32))
        for batch in batches:  # each is sorted, but for the longest row of all, which comes first
            lengths = [len(sentences[number]["input_ids"]) for number in batch[1:]]
            assert lengths == sorted(lengths, reverse=is_longest_first)


def test_seeds_decide_what_they_say(make_trainer):
    """`data_seed` the order of the rows, or `seed` if there is none; dropout and new weights follow `seed`."""
    first, again = batches_of(make_trainer(seed=3)), batches_of(make_trainer(seed=3))
    assert first == again != batches_of(make_trainer(seed=4))
    assert batches_of(make_trainer(seed=4, data_seed=3)) == first
    assert batches_of(make_trainer(seed=2**32 - 1)) != first


def test_a_last_batch_that_is_not_full_is_left_out_or_refused(make_trainer):
    trainer = make_trainer(per_device_train_batch_size=10, dataloader_drop_last=True, max_steps=-1, num_train_epochs=1)
    assert trainer.train().global_step == 3
    trainer = make_trainer(per_device_train_batch_size=33, dataloader_drop_last=True)
    with pytest.raises(InputError, match="No batch of 33 rows is full: there are 32 rows"):
        trainer.train()


def test_a_run_works_with_deterministic_algorithms_alone(make_trainer, monkeypatch):
    losses = []
    try:
        for _ in range(2):
            trainer = make_trainer(full_determinism=True)
            trainer.train()
            losses.append(logged(trainer))
    finally:
        torch.use_deterministic_algorithms(False)
    assert losses[0] == losses[1] and len(losses[0]) == 4


@pytest.mark.parametrize("way", ["optimizers", "optimizer_cls_and_kwargs"])
def test_an_optimizer_of_ones_own_takes_the_steps(way, make_trainer, tiny_model):
    model = copy.deepcopy(tiny_model)
    own = torch.optim.SGD(model.parameters(), lr=0.5)
    given = {"optimizers": (own, None)} if way == "optimizers" else {way: (torch.optim.SGD, {"lr": 0.5})}
    trainer = make_trainer({"model": model, **given}, max_grad_norm=0, max_steps=1, lr_scheduler_type="constant")
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    gradients, step = {}, trainer.create_optimizer().step

    def catch(*args, **kwargs):
        gradients.update({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        return step(*args, **kwargs)

    trainer.optimizer.step = catch
    trainer.train()
    assert len(gradients) > 10
    for name, gradient in gradients.items():
        torch.testing.assert_close(dict(model.named_parameters())[name].detach(), before[name] - 0.5 * gradient)
