"""MaskingTrainer: transformers' Trainer with the masking, the loss and the evaluation of masked language models.

Shapes: B sequences, T positions, R labelled rows, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import RandomSampler, Sampler
from transformers import Trainer, TrainingArguments

from maskwise.errors import InputError
from maskwise.evaluation.held_out import HeldOutEval, HeldOutResult, evaluate_mlm, make_held_out_eval, sum_over_ranks
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.linear_loss import linear_mlm_loss
from maskwise.masking.losses import mlm_loss
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.rows import Rows
from maskwise.masking.score import ScoreTree
from maskwise.masking.score_context import ScoreContext, TrainState
from maskwise.models.embedding import EmbeddingTap
from maskwise.models.forward_inputs import named_inputs
from maskwise.models.sparse import DecoderInputs, SparseHead
from maskwise.training.checkpoints import Checkpoints
from maskwise.training.cpu_allocator import kept_buffers
from maskwise.training.distill import Distillation
from maskwise.training.indexed_rows import IndexedRows
from maskwise.training.rate_meter import RateMeter
from maskwise.training.run_hooks import RunHooks
from maskwise.training.shuffle import ShuffledRows


class MaskingTrainer(Trainer):
    """A `Trainer` that masks on the device, runs the head on labelled rows only, and grades by the held-out evaluation.

    Give it a `masker` in place of a masking collator; everything else is the `Trainer`'s. It differs in this:

    - All micro-batches of a step are masked before its first forward pass, so the loss is one sum over labelled
      tokens divided by one count, whatever the accumulation and the number of processes.
    - `evaluate` grades the held-out evaluation made of `eval_dataset` (or the `HeldOutEval` given as such).
    - A loss that is not finite stops the run, with the step; it is looked for when logging and before every save.
    - Checkpoints carry the score's state and end with a completion marker (`checkpoints`).
    - With `torch_compile` the model is compiled for its scores and evaluations too, not for its steps alone.
    - A score that `wants_gradients` gets the gradient at the embedding's output in every step, and runs eager.

    Rows are tokenised: `input_ids`, `word_ids` for word and span units, the columns that the masker declares, and what
    the model's forward has parameters for, such as `token_type_ids`. `distillation` mixes a teacher's
    predictions into the loss. Raises InputError for a `data_collator`, since a second masking would corrupt the first,
    and for `torch_compile`, FSDP or DeepSpeed with a score that wants gradients.
    """

    # The Trainer declares them for every task: optional, and without evaluations.
    model: Any
    train_dataset: Any
    eval_dataset: Any

    def __init__(
        self,
        model: Any = None,
        args: TrainingArguments | None = None,
        *,
        masker: Masker,
        distillation: Distillation | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("data_collator") is not None:
            raise InputError("MaskingTrainer pads and masks by itself; leave out data_collator and set up the masker.")
        args = copy.copy(args) if args is not None else TrainingArguments("trainer_output")
        args.remove_unused_columns = False
        args.logging_nan_inf_filter = False
        check_runs_eager(masker, args)
        self.checkpoints = Checkpoints({"score": ScoreTree(masker.score)}, args.save_total_limit)
        args.save_total_limit = None
        super().__init__(
            model,
            args,
            train_dataset=train_dataset if train_dataset is None else IndexedRows.wrap(train_dataset),
            eval_dataset=cast(Any, _as_held_out(eval_dataset, masker)),
            data_collator=partial(pad_batch, pad_token_id=masker.vocabulary.pad_token_id, columns=masker.columns),
            compute_loss_func=self._loss,
            **kwargs,
        )
        self.masker, self.distillation, self.rate_meter = masker, distillation, RateMeter()
        inputs = named_inputs(self.model) if masker.model_inputs is None else masker.model_inputs
        self.data_collator = partial(self.data_collator, inputs=inputs)
        self._step: _Step
        self.head = SparseHead(self.model)
        self._first_bad_step: Tensor | None = None
        self._wanting_gradients = [score for score in masker.scores_inside if score.wants_gradients]
        self._embedding_tap = self._tap_embedding() if self._wanting_gradients else None
        self.bind(self.model)
        self.add_callback(RunHooks(self))
        self.add_callback(self.checkpoints.for_trainer(self))

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Trains as the `Trainer` does; on a CPU the buffers of a step are kept for the next."""
        with kept_buffers(self.args.device):
            return super().train(*args, **kwargs)

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device):
        """Masks the micro-batches of one step; the Trainer then counts their labels."""
        return super().get_batch_samples(map(self._mask, epoch_iterator), num_batches, device)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Runs one micro-batch forward and backward; scores that want it get the gradient, free of scales."""
        if self._embedding_tap is None:
            return super().training_step(model, inputs, num_items_in_batch)
        batch = dict(inputs)
        with self._embedding_tap.open():
            loss = super().training_step(model, inputs, num_items_in_batch)
        gradients_BTD = self._embedding_tap.gradients(batch["input_ids"])
        for score in self._wanting_gradients:
            score.observe(batch, gradients_BTD / self._loss_scale(num_items_in_batch))
        return loss

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch=None):
        """Runs the model's head on the labelled rows only, and where it ends in a plain decoder, without logits."""
        masked = {key: value for key, value in inputs.items() if key != "labels"}
        own = model.training  # labels of somebody else's, as in `predict`, are counted
        labels_BT = inputs["labels"]
        rows = self.masker.rows(labels_BT, self.train_state()) if own else Rows.of(labels_BT != IGNORE)
        teacher_RV = self._teacher_logits(masked, rows)
        # Sharded weights (FSDP, DeepSpeed) are whole only inside the model's own forward: there it makes the logits.
        is_sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        streamed = teacher_RV is None and not is_sharded and self.head.is_linear(masked)
        around = self.head.before_decoder if streamed else self.head.only
        with self.precision(), around(rows) as decoder_inputs:
            self._step = _Step(rows, teacher_RV, decoder_inputs)
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def evaluate(self, eval_dataset: Any = None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Returns the evaluation's grades as `{prefix}_loss` (nats), `_top1`, `_top5` ..., logged like any metrics."""
        held_out = self.eval_dataset if eval_dataset is None else _as_held_out(eval_dataset, self.masker)
        if held_out is None:
            raise InputError("There is nothing to evaluate on: give MaskingTrainer an eval_dataset or an Evaluation.")
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.grade(held_out).as_dict().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def grade(self, held_out: HeldOutEval) -> HeldOutResult:
        """Returns the model's grades, each rank marking its share of the evaluation, in the precision of training."""
        share = (self.args.process_index, self.args.world_size)
        with self.precision():
            return sum_over_ranks(evaluate_mlm(self.model, held_out, head=self.head, share=share))

    def precision(self) -> AbstractContextManager:
        """Returns autocast as the training arguments ask for it.

        The Trainer has it inside the model's forward alone; here products are also taken outside, in scores and losses.
        """
        return self.accelerator.autocast()

    def raise_if_not_finite(self) -> None:
        """Raises InputError naming the first step whose loss was not finite; costs one look at the device."""
        if self._first_bad_step is not None and int(self._first_bad_step) >= 0:
            last = self.checkpoints.newest(self.args.output_dir)
            kept = f"The last good checkpoint is {last}." if last else "No checkpoint had been written."
            raise InputError(
                f"The loss was not finite at step {int(self._first_bad_step) + 1}, and the run was stopped. {kept} "
                "Try a lower learning rate, more warm-up, or trainer.bf16 = false."
            )

    def bind(self, model: Any) -> None:
        """Names the model in training to the scores and to the distillation."""
        for score in self.masker.scores_inside:
            score.bind(model, self.masker.tokenizer)
        if self.distillation is not None:
            self.distillation.bind(model, self.masker.tokenizer)

    def score_context(self, is_resume: bool = False) -> ScoreContext:
        """Returns the run as the hooks of a score see it now."""
        state = self.train_state()
        return ScoreContext(
            device=self.args.device,
            rank=self.args.process_index,
            world_size=self.args.world_size,
            seed=self.args.seed,
            state=state,
            epoch=self.state.epoch or 0.0,
            rate=self.masker.rate_at(state.progress),
            is_resume=is_resume,
            model=self.model,
            folder=Path(str(self.args.output_dir)),
            rows=self.train_dataset.rows if isinstance(self.train_dataset, IndexedRows) else None,
            make_batch=self._training_batch,
            choose=lambda batch, scores_BT: self.masker.choose(batch, scores_BT)[0],
            autocast=self.precision,
            write_log=self.log,
        )

    def _training_batch(self, numbers: Sequence[int]) -> dict[str, Any]:
        rows = self.train_dataset.__getitems__(list(numbers))
        return self.masker.prepare(self._prepare_inputs(self.data_collator(rows)), self.train_state())

    def take_model(self) -> None:
        """Hands the model to its scores and to the evaluation as it trains: the compiled one, if it is compiled.

        The Trainer replaces the model late (`model_init`, torch_compile) and keeps the compiled one to itself. Not so
        if processes share gradients: their wrapper is inside, and scoring would go through it.
        """
        compiled = cast(Any, self.model_wrapped)
        model = compiled if getattr(compiled, "_orig_mod", None) is self.model else self.model
        self.head = SparseHead(model)
        self.bind(model)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        sampler = super()._get_train_sampler(train_dataset)
        if not isinstance(sampler, RandomSampler):
            return sampler
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return ShuffledRows(len(sampler), seed)

    def _mask(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        batch = self._prepare_inputs(batch)
        with self.precision():
            masked = self.masker(batch, self.train_state())
        self.rate_meter.add(self.masker.eligible(batch), masked["labels"] != IGNORE)
        return masked

    def train_state(self) -> TrainState:
        """Returns where in the run the next batch is masked."""
        progress = self.state.global_step / max(self.state.max_steps, 1)
        return TrainState(int(self.state.epoch or 0), self.state.global_step, progress)

    def _tap_embedding(self) -> EmbeddingTap:
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise InputError(
                f"{self.masker.score.name} reads the embedding and the gradient at its output, which FSDP "
                "and DeepSpeed shard. Train with one process for each GPU (torchrun)."
            )
        return EmbeddingTap(self.model)

    def _loss_scale(self, num_items: Tensor | int | None) -> float:
        """What the Trainer multiplies the loss by: fp16's scale, and the processes whose gradients are averaged."""
        averaged = self.args.average_tokens_across_devices and num_items is not None
        scaler = self.accelerator.scaler
        return (self.accelerator.num_processes if averaged else 1) * (scaler.get_scale() if scaler else 1.0)

    def _loss(self, outputs: Any, labels_BT: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        targets_R = self._step.rows.take(labels_BT, IGNORE)
        if self._step.decoder_inputs is not None:
            loss = linear_mlm_loss(*self._step.decoder_inputs(), targets_R, num_items_in_batch)
        else:
            logits = outputs["logits"] if isinstance(outputs, dict) else outputs[0]
            loss = self._dense_loss(logits.reshape(-1, logits.shape[-1]), targets_R, num_items_in_batch)
        self._note_if_not_finite(loss.detach())
        return loss

    def _dense_loss(self, logits_RV: Tensor, targets_R: Tensor, num_labelled: Tensor | int | None) -> Tensor:
        if self.distillation is None or self._step.teacher_RV is None:
            return mlm_loss(logits_RV, targets_R, num_labelled)
        return self.distillation.loss(logits_RV, self._step.teacher_RV, targets_R, num_labelled)

    def _teacher_logits(self, masked: dict[str, Any], rows: Rows) -> Tensor | None:
        if self.distillation is None or not self.distillation.is_on(self.train_state()):
            return None
        with self.precision():
            return self.distillation.teacher_logits(masked, rows)

    def _note_if_not_finite(self, loss: Tensor) -> None:
        """Keeps the first bad step on the device: a look at every loss would stall a GPU."""
        if self._first_bad_step is None:
            self._first_bad_step = torch.full((), -1, dtype=torch.int64, device=loss.device)
        is_first = ~torch.isfinite(loss) & (self._first_bad_step < 0)
        self._first_bad_step = torch.where(is_first, self.state.global_step, self._first_bad_step)


def _as_held_out(dataset: Any, masker: Masker) -> HeldOutEval | None:
    if dataset is None or isinstance(dataset, HeldOutEval):
        return dataset
    return make_held_out_eval(dataset, masker.tokenizer)


class _Step(NamedTuple):
    """What the loss of a micro-batch needs besides the model's output."""

    rows: Rows
    teacher_RV: Tensor | None
    decoder_inputs: Callable[[], DecoderInputs] | None


def check_runs_eager(masker: Masker, args: TrainingArguments) -> None:
    """Raises InputError if a score that wants gradients is asked to run compiled."""
    for score in masker.scores_inside:
        if score.wants_gradients and args.torch_compile:
            raise InputError(
                f"{score.name} takes a gradient inside the model, which a compiled model does not "
                "give: it runs eager. Set torch_compile to false (--set trainer.torch_compile=false)."
            )
