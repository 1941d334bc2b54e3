"""The one training loop of fine-tuning: encoded examples in, the best epoch's weights out.

`transformers.Trainer` does the loop, bf16, and the checkpoints. An optimizer step takes `batch_size` examples drawn at
random, as everywhere; inside the step they are sorted by length and run in micro-batches with hardly any padding,
each weighted by its labels, which gives the gradient of the whole batch.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainingArguments

from maskwise.files.checkpoint_folders import complete_checkpoints, delete_incomplete, newest_undamaged
from maskwise.lab.pretraining.build import bf16_is_fast
from maskwise.lab.tuning.batches import Batch, Example, num_labels, padded_batches
from maskwise.lab.tuning.best_weights import BestWeights
from maskwise.lab.tuning.graded_trainer import GradedTrainer
from maskwise.lab.tuning.predict import predict
from maskwise.lab.tuning.settings import TuneSettings
from maskwise.models.device import on_one_device
from maskwise.models.flops import TRAINING, body_flops
from maskwise.progress import Progress, printer
from maskwise.training.checkpoints import Checkpoints
from maskwise.training.cpu_dropout import use_bit_dropout

GradeLogits = Callable[[list[np.ndarray]], float]


@dataclass(frozen=True)
class Fitted:
    """The outcome of `fit`: the model with its best weights, in evaluation mode, and what they cost.

    `history` has score, loss and seconds of every epoch; `epoch` is the one selected, from 1. `tokens` were trained on
    (padding not counted) in `steps` optimizer steps; `flops` are those of the body on these tokens, or None if they
    cannot be counted.
    """

    model: Any
    epoch: int
    history: list[dict[str, float]]
    seconds: float
    tokens: int
    flops: float | None
    steps: int = 0


def fit(
    model: Any,
    settings: TuneSettings,
    train: Sequence[Example],
    select: Sequence[Example],
    grade: GradeLogits,
    *,
    pad_id: int,
    seed: int,
    out: Path,
    title: str = "finetune",
    show: bool = True,
) -> Fitted:
    """Trains `model` on `train`, and returns it as it was after the epoch that is best on `select`.

    `grade` turns the logits of `select`, one array an example, into a score, the higher the better. Checkpoints go to
    `out`; a run that finds one there resumes from it, to the same weights (CPU, same number of threads), and
    `delete_checkpoints` removes them when all is stored. Raises InputError if the loss is no longer finite.
    """
    args = on_one_device(TrainingArguments(**training_options(settings, seed, out)))
    if args.device.type == "cpu":
        use_bit_dropout(model)
    best = BestWeights(model, settings.patience)
    newest = reopen(best, out, printer(show))
    trainer = TuningTrainer(model, args, settings, train, select, grade, best, pad_id)
    train_to_the_best(trainer, settings, best, newest, ShowProgress(title, len(train), best, show=show))
    epochs, tokens = len(best.history), sum(len(example["input_ids"]) for example in train)
    flops = counted_tuning_flops(model.config, tokens / len(train), passes=1 if settings.freeze else TRAINING)
    return Fitted(
        model.eval(), best.epoch, best.history, best.history[-1]["seconds"], epochs * tokens,
        None if flops is None else flops * epochs * tokens, epochs * math.ceil(len(train) / settings.batch_size),
    )  # fmt: skip


def reopen(best: BestWeights, out: Path, say: Callable[[str], None]) -> Path | None:
    """Returns the newest undamaged checkpoint of a run in `out`, or None; `best` is as it was in it."""
    delete_incomplete(out)
    newest = newest_undamaged(out, say)
    if newest is not None:
        Checkpoints({"best": best}, keep=1).restore(newest)
    return newest


def train_to_the_best(
    trainer: Any, settings: TuneSettings, best: BestWeights, newest: Path | None, progress: TrainerCallback
) -> None:
    """Runs a trainer, whose `evaluate` feeds `best`, to the end that the settings give; leaves the best weights."""
    trainer.add_callback(EpochEnd(best, settings.checkpoint_seconds))
    trainer.add_callback(progress)
    if not best.history or not (best.is_over or len(best.history) >= settings.max_epochs):
        trainer.train(resume_from_checkpoint=newest)
    best.restore()


def delete_checkpoints(out: Path) -> None:
    """Deletes what `fit` kept in `out` for a resume."""
    for folder in complete_checkpoints(out):
        shutil.rmtree(folder)
    delete_incomplete(out)


def uses_bf16(settings: TuneSettings) -> bool:
    """Returns whether tuning and prediction multiply in bf16."""
    return bf16_is_fast() if settings.bf16 is None else settings.bf16


def counted_tuning_flops(config: Any, mean_length: float, *, passes: float) -> float | None:
    """Returns the counted operations of tuning on one token; None if they cannot be counted.

    Args:
        config: The configuration of the model, of whose body they are; a task's head is left out.
        mean_length: The mean number of tokens of an example.
        passes: The forward passes that a step is worth: 3 with the backward pass, 1 if the body is frozen.
    """
    forward = body_flops(config, max(2, round(mean_length)))
    return None if forward is None else passes * forward


class TuningTrainer(GradedTrainer):
    """A Trainer whose batch is a list of micro-batches, and whose evaluation is a grade."""

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        settings: TuneSettings,
        train: Sequence[Example],
        select: Sequence[Example],
        grade: GradeLogits,
        best: BestWeights,
        pad_id: int,
    ) -> None:
        self.settings, self.select, self.grade, self.pad_id = settings, select, grade, pad_id
        self.longest = max(len(example["input_ids"]) for example in train)
        super().__init__(model, args, data_collator=self._cut, train_dataset=train, eval_dataset=select)  # type: ignore[arg-type]
        self.start_grading(best)

    def _cut(self, examples: list[Example]) -> list[Batch]:
        most_tokens = self.settings.micro_batch_tokens
        return [
            batch for _, batch in padded_batches(examples, self.pad_id, most_tokens=most_tokens, longest=self.longest)
        ]

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Returns the loss of a batch, its gradient accumulated over the micro-batches."""
        model.train()
        labels = [num_labels(batch) for batch in inputs]
        total = torch.zeros((), device=self.args.device)
        for batch, count in zip(inputs, labels, strict=True):
            if count:
                with self.compute_loss_context_manager():
                    loss = model(**self._prepare_inputs(batch)).loss * (count / sum(labels))
                self.accelerator.backward(loss)
                total += loss.detach()
        self.note_loss(total)
        return total

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"):
        """Returns the score and the loss on the selection data; the best weights are kept."""
        self.raise_if_not_finite()
        predictions = predict(
            self.model, self.select, pad_id=self.pad_id,
            most_tokens=self.settings.micro_batch_tokens, bf16=self.args.bf16,
        )  # fmt: skip
        seconds = self.seconds
        return self.keep_grade(self.grade(predictions.logits), predictions.loss, seconds)

    def floating_point_ops(self, inputs: Any) -> int:
        """Returns 0: `Fitted.flops` counts them."""
        return 0


class EpochEnd(TrainerCallback):
    """Ends the run by its rule, and asks for a checkpoint when the last one is old enough."""

    def __init__(self, best: BestWeights, checkpoint_seconds: float) -> None:
        self.best, self.checkpoint_seconds = best, checkpoint_seconds
        self.saved_at = time.monotonic()

    def on_evaluate(self, args, state, control, **kwargs):
        """Stops after `patience` epochs that were not the best."""
        control.should_training_stop = control.should_training_stop or self.best.is_over
        if time.monotonic() - self.saved_at >= self.checkpoint_seconds:
            control.should_save, self.saved_at = True, time.monotonic()


class ShowProgress(TrainerCallback):
    """Shows how many of the examples of all epochs are done, and the last epoch's score."""

    def __init__(self, title: str, num_examples: int, best: BestWeights, *, show: bool) -> None:
        self.title, self.num_examples, self.best, self.show = title, num_examples, best, show

    def on_train_begin(self, args, state, control, **kwargs):
        """Opens the display at the step the run (re)starts from."""
        self.share = self.num_examples * state.num_train_epochs / state.max_steps
        left = (state.max_steps - state.global_step) * self.share
        self.progress = Progress(self.title, left, "examples", show=self.show).__enter__()

    def on_step_end(self, args, state, control, **kwargs):
        """Counts the step's examples."""
        self.progress.advance(self.share)

    def on_evaluate(self, args, state, control, **kwargs):
        """Notes the epoch's score."""
        last = self.best.history[-1]
        self.progress.note = f"epoch {last['epoch']}, score {100 * last['score']:.2f} (best: {self.best.epoch})"

    def on_train_end(self, args, state, control, **kwargs):
        """Closes the display."""
        self.progress.__exit__(None, None, None)


def training_options(settings: TuneSettings, seed: int, out: Path) -> dict[str, Any]:
    """Returns the options of `TrainingArguments` that the settings stand for."""
    return {
        "output_dir": str(out),
        "seed": seed,
        "data_seed": seed,
        "num_train_epochs": settings.max_epochs,
        "per_device_train_batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "warmup_steps": settings.warmup_share,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.clip,
        "optim": "adamw_torch_fused",
        "bf16": uses_bf16(settings),
        "use_cpu": not torch.accelerator.is_available(),
        "remove_unused_columns": False,
        "logging_nan_inf_filter": False,
        "logging_strategy": "no",
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }
