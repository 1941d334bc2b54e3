"""MaskingTrainer: transformers' Trainer with the masking, the loss and the evaluation of masked language models.

Shapes: B sequences, T positions, R labelled rows, V vocabulary.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import Sampler
from transformers import TrainingArguments
from transformers.trainer_utils import has_length

from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.linear_loss import linear_mlm_loss, noted_linear_mlm_loss
from maskwise.masking.losses import mlm_loss
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.row_notes import RowNotes, dense_notes, labelled_rows
from maskwise.masking.rows import Rows
from maskwise.masking.score import Score, ScoreTree
from maskwise.masking.score_context import ScoreContext, TrainState
from maskwise.models.embedding import EmbeddingTap
from maskwise.models.forward_inputs import named_inputs, without_refused
from maskwise.models.sparse import DecoderInputs, SparseHead
from maskwise.models.weights_sample import weights_sample
from maskwise.training.distill import Distillation
from maskwise.training.evaluating import EvaluatingTrainer, as_held_out
from maskwise.training.indexed_rows import IndexedRows
from maskwise.training.options import check_best_metric, check_options, own_arguments
from maskwise.training.rate_meter import RateMeter
from maskwise.training.row_order import row_order
from maskwise.training.rows_given import check_rows
from maskwise.training.run_hooks import RunHooks
from maskwise.training.run_identity import masker_identity, model_identity, options_identity, rows_identity
from maskwise.training.streams import StreamPosition
from maskwise.training.what_is_trained import check_arguments_given, check_not_given, check_runs_eager, resolve_trained


class MaskingTrainer(EvaluatingTrainer):
    """A `Trainer` that masks on the device, runs the head on labelled rows only, and evaluates on fixed masks.

    Everything else is the `Trainer`'s; an argument that cannot be honoured is refused. It differs in this:

    - All micro-batches of a step are masked before its first forward pass, so the loss is one sum over labelled
      tokens divided by one count, whatever the accumulation and the number of processes.
    - `evaluate` runs the held-out evaluation made of `eval_dataset` (or the `HeldOutEval` given as such).
    - A loss that is not finite stops the run, with the step; it is looked for when logging and before every save, and
      so are weights that are not finite before every save.
    - Checkpoints carry the score's state, the rate meter and the losses that were not logged yet, and end with a
      completion marker that holds checksums. `train(resume_from_checkpoint=True)` resumes exactly or is refused.
    - The tokenizer is saved with the model.
    - With `torch_compile` the model is compiled for its scores and evaluations too, not for its steps alone.
    - A score that `wants_gradients` gets the gradient at the embedding's output in every step, and runs eager.

    Args:
        model: A masked language model, or the folder or name of a checkpoint. None with `model_init`.
        args: The training arguments.
        masker: A `Masker`, or a score or a recipe's name, which is made one with the tokenizer.
        processing_class: The tokenizer; by default the masker's, or that of the model's name.
        distillation: Mixes a teacher's predictions into the loss.
        train_dataset: Rows of `input_ids`, `word_ids` for word and span units, the columns that the masker declares,
            and what the model's forward has parameters for, such as `token_type_ids`.
        eval_dataset: Rows, a `HeldOutEval`, or several by name.
        kwargs: Other arguments of the `Trainer`. `compute_metrics` and `preprocess_logits_for_metrics` get labelled
            tokens (see `evaluate`).

    Raises:
        InputError: For arguments of another kind, those that cannot be honoured, a `data_collator` or
            `compute_loss_func`, since masking and loss are made here, and for `torch_compile`, FSDP or DeepSpeed with a
            score that wants gradients.

    Example:
        ```python
        from maskwise import MaskingTrainer

        trainer = MaskingTrainer("answerdotai/ModernBERT-base", masker="entropy-self-cold", train_dataset=rows)
        trainer.train()
        ```
    """

    # The Trainer declares them for every task: optional, and without evaluations.
    model: Any
    train_dataset: Any

    def __init__(
        self,
        model: Any = None,
        args: TrainingArguments | None = None,
        *,
        masker: Masker | Score | str | None = None,
        processing_class: Any = None,
        distillation: Distillation | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        **kwargs: Any,
    ) -> None:
        check_not_given(kwargs)
        check_arguments_given(args, distillation, Distillation)
        args = args if args is not None else TrainingArguments("trainer_output")
        has_model_init = kwargs.get("model_init") is not None
        model, masker, processing_class = resolve_trained(
            model, masker, processing_class, has_model_init=has_model_init
        )
        check_options(args)
        check_best_metric(args, own_metrics=kwargs.get("compute_metrics") is not None)
        check_runs_eager(masker, args)
        if train_dataset is not None:
            check_rows(train_dataset, "train_dataset")
        super().__init__(
            model,
            own_arguments(args),
            train_dataset=train_dataset if train_dataset is None else IndexedRows.wrap(train_dataset),
            eval_dataset=cast(Any, as_held_out(eval_dataset, masker)),
            processing_class=processing_class,
            data_collator=partial(pad_batch, pad_token_id=masker.vocabulary.pad_token_id, columns=masker.columns),
            compute_loss_func=self._loss,
            **kwargs,
        )
        self.masker, self.distillation, self.rate_meter = masker, distillation, RateMeter()
        inputs = named_inputs(self.model) if masker.model_inputs is None else masker.model_inputs
        self.data_collator = partial(self.data_collator, inputs=inputs)
        self.stream = None if train_dataset is None or has_length(train_dataset) else StreamPosition()
        self._step: _Step
        self._feedback, self._notes = masker.feedback, RowNotes()
        self._learning = [score for score in masker.scores_inside if score.feedback]
        self._unmasked: deque[dict[str, Any]] = deque()  # the micro-batches of a step, for scores that learn from them
        self._wanting_gradients = [score for score in masker.scores_inside if score.wants_gradients]
        self._masker_identity = masker_identity(masker)  # as the run starts: scores may count what they see
        scores = ScoreTree(masker.score)
        self._first_scores = copy.deepcopy(scores.state_dict()) if has_model_init else None
        states = {"score": scores, "rate_meter": self.rate_meter}
        self.keep_states(states | ({"stream": self.stream} if self.stream else {}), args.save_total_limit)
        self.take_model()
        self.callback_handler.callbacks.insert(0, RunHooks(self))  # before what looks at the epoch

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Trains as the `Trainer` does, from the start or resumed; see `ResumableTrainer.train`."""
        if self.train_dataset is None:
            raise InputError("There is nothing to train on: give MaskingTrainer a train_dataset.")
        self._unmasked.clear()
        if self._first_scores is not None:  # a new model, so scores without anything of the one before
            ScoreTree(self.masker.score).load_state_dict(copy.deepcopy(self._first_scores))
        return super().train(*args, **kwargs)

    def run_identity(self) -> dict[str, str]:
        """Returns what the losses depend on: arguments, masker, data, the model's shape, and teachers."""
        identity = options_identity(self.args) | self._masker_identity | {"model": model_identity(self.model)}
        identity["training rows"] = rows_identity(getattr(self.train_dataset, "rows", self.train_dataset))
        if (distillation := self.distillation) is not None:
            identity["distillation"] = f"{distillation!r} of {weights_sample(distillation.teacher.model)}"
        return identity

    def take_up(self, checkpoint: Path) -> None:
        """Loads the states of a checkpoint; sums over the processes are the first one's alone."""
        super().take_up(checkpoint)
        if self.args.process_index > 0:
            for score in self.masker.scores_inside:
                score.drop_sums()

    def gather_states(self) -> None:
        """Brings the sums that processes keep for the score to the first one."""
        context = self.score_context()
        for score in self.masker.scores_inside:
            score.reduce_states(context)

    def get_train_dataloader(self) -> Any:
        """Returns the `Trainer`'s loader; raises InputError if it would not give a single batch."""
        loader = super().get_train_dataloader()
        if has_length(loader) and len(loader) == 0:
            raise InputError(
                f"No batch of {self._train_batch_size:,} rows is full: there are {len(self.train_dataset):,} rows, and "
                "dataloader_drop_last leaves out what is not. Lower per_device_train_batch_size."
            )
        return loader

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device):
        """Masks the micro-batches of one step; the Trainer then counts their labels."""
        if self.stream is not None:
            if self.stream.skip(epoch_iterator):
                self._load_rng_state(self.resumed_from)  # reading took random numbers
            group = self.stream.group(map(self._mask, epoch_iterator), num_batches)
            return super().get_batch_samples(iter(group), num_batches, device)
        return super().get_batch_samples(map(self._mask, epoch_iterator), num_batches, device)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Runs one micro-batch forward and backward; scores get what they ask for of it."""
        loss = self._step_with_gradients(model, inputs, num_items_in_batch)
        if self._learning:
            self._learn(inputs["input_ids"])
        return loss

    def _step_with_gradients(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any) -> Tensor:
        """Runs one micro-batch; scores that want it get the gradient, free of scales."""
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
        """Runs the model's head on the labelled rows only, and if it ends in a plain decoder, without logits."""
        inputs = dict(without_refused(inputs, self.head.named_inputs))
        masked = {key: value for key, value in inputs.items() if key != "labels"}
        own = model.training  # other labels than the masker's are counted
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

    def train_state(self) -> TrainState:
        """Returns where in the run the next batch is masked."""
        step, epoch = self.state.global_step, int(self.state.epoch or 0)
        return TrainState(self.stream.number if self.stream else epoch, step, step / max(self.state.max_steps, 1))

    def score_context(self, is_resume: bool = False) -> ScoreContext:
        """Returns the run as the hooks of a score see it now."""
        state = self.train_state()
        return ScoreContext(
            device=self.args.device,
            rank=self.args.process_index,
            world_size=self.args.world_size,
            seed=self.args.seed,
            state=state,
            epoch=float(state.epoch) if self.stream else self.state.epoch or 0.0,
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

    def take_model(self) -> None:
        """Hands the model to its scores and to the evaluation as it trains: the compiled one, if it is compiled.

        The Trainer replaces the model late (`model_init`, torch_compile) and keeps the compiled one to itself. Not so
        if processes share gradients: their wrapper is inside, and scoring would go through it.
        """
        compiled = cast(Any, self.model_wrapped)
        model = compiled if getattr(compiled, "_orig_mod", None) is self.model else self.model
        self.head = SparseHead(model)
        self._embedding_tap = self._tap_embedding() if self._wanting_gradients else None
        for score in self.masker.scores_inside:
            score.bind(model, self.masker.tokenizer)
        if self.distillation is not None:
            self.distillation.bind(model, self.masker.tokenizer)

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        """The Trainer would pass over as many batches of one pass of a stream as the whole run has had."""
        epochs, batches = super()._init_training_state(*args, **kwargs)
        return (self.stream.number, 0) if self.stream and self.resumed_from else (epochs, batches)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        return row_order(self.args, self.train_dataset) or super()._get_train_sampler(train_dataset)

    def _training_batch(self, numbers: Sequence[int]) -> dict[str, Any]:
        rows = self.train_dataset.__getitems__(list(numbers))
        return self.masker.prepare(self._prepare_inputs(self.data_collator(rows)), self.train_state())

    def _mask(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        batch = self._prepare_inputs(batch)
        state = self.train_state()
        with self.precision():
            masked = self.masker(batch, state)
        self.rate_meter.add(self.masker.eligible(batch), masked["labels"] != IGNORE)
        if self._learning:
            self._unmasked.append(self.masker.prepare(batch, state))
        return masked

    @torch.no_grad()
    def _learn(self, corrupted_ids_BT: Tensor) -> None:
        batch, mask_token_id = self._unmasked.popleft(), self.masker.vocabulary.mask_token_id
        labelled = labelled_rows(batch, corrupted_ids_BT, self._step.rows, self._notes, mask_token_id)
        for score in self._learning:
            score.learn(batch, labelled)

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
        targets_R, smoothing = self._step.rows.take(labels_BT, IGNORE), self.args.label_smoothing_factor
        is_noting = bool(self._learning) and self.model.training
        if self._step.decoder_inputs is not None:
            decoder = self._step.decoder_inputs()
            if is_noting:
                loss, self._notes = noted_linear_mlm_loss(
                    *decoder, targets_R, num_items_in_batch, feedback=self._feedback, label_smoothing=smoothing
                )
            else:
                loss = linear_mlm_loss(*decoder, targets_R, num_items_in_batch, label_smoothing=smoothing)
        else:
            logits = outputs["logits"] if isinstance(outputs, dict) else outputs[0]
            logits_RV = logits.reshape(-1, logits.shape[-1])
            loss = self._dense_loss(logits_RV, targets_R, num_items_in_batch)
            if is_noting:
                self._notes = dense_notes(logits_RV, targets_R, self._feedback)
        self.note_loss(loss)
        return loss

    def _dense_loss(self, logits_RV: Tensor, targets_R: Tensor, num_labelled: Tensor | int | None) -> Tensor:
        smoothing = self.args.label_smoothing_factor
        if self.distillation is None or self._step.teacher_RV is None:
            return mlm_loss(logits_RV, targets_R, num_labelled, smoothing)
        return self.distillation.loss(logits_RV, self._step.teacher_RV, targets_R, num_labelled, smoothing)

    def _teacher_logits(self, masked: dict[str, Any], rows: Rows) -> Tensor | None:
        if self.distillation is None or not self.distillation.is_on(self.train_state()):
            return None
        with self.precision():
            return self.distillation.teacher_logits(masked, rows)


class _Step(NamedTuple):
    """What the loss of a micro-batch needs besides the model's output."""

    rows: Rows
    teacher_RV: Tensor | None
    decoder_inputs: Callable[[], DecoderInputs] | None
