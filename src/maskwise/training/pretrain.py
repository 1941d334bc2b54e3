"""The pretraining job: a data folder and settings in, a run folder with a model out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from maskwise.config import PretrainSettings, merge
from maskwise.data.blocks import DataFolder, open_data
from maskwise.models.dropout import use_bit_dropout
from maskwise.progress import Progress
from maskwise.training import runs
from maskwise.training.build import (
    build_distillation,
    build_masker,
    load_model,
    load_stored,
    load_teacher,
    planned_run,
    trainer_defaults,
    training_arguments,
)
from maskwise.training.card import model_card
from maskwise.training.checkpoints import write_whole
from maskwise.training.exam import ExamResult, exam_table, freeze_exam, grade_unigram
from maskwise.training.monitor import LogMasks, MaskProbe
from maskwise.training.stale import delete_banks
from maskwise.training.trainer import MaskingTrainer


@dataclass(frozen=True)
class PretrainResult:
    """`exam` holds the final grades beside the floor's: `{"unigram floor": ..., "model": ...}`."""

    folder: Path
    exam: Mapping[str, ExamResult]

    def table(self) -> str:
        """Returns the exam as plain text."""
        return exam_table(self.exam)


def pretrain(settings: PretrainSettings, out: str | Path, *, resume: bool = False, show: bool = True) -> PretrainResult:
    """Trains a masked language model and returns its final exam; everything is kept in `out` (see `runs`).

    With `resume`, goes on from the newest complete checkpoint to the same bytes an unbroken run would have given
    (CPU, same number of threads). Raises InputError for settings, data or a folder that cannot work.
    """
    out, first = Path(out), int(os.environ.get("RANK", "0")) == 0
    data = open_data(settings.data.path)
    settings = settings.model_copy(update={"trainer": merge(trainer_defaults(settings.model.preset), settings.trainer)})
    args = training_arguments(settings, out)
    model = load_model(settings, data)
    teacher = load_teacher(settings, data)
    scorer = load_stored(settings, data) or teacher
    masker = build_masker(settings.masking, data.tokenizer, seed=settings.seed, teacher=scorer)
    if hasattr(masker.score, "check_run"):
        masker.score.check_run(*planned_run(args, len(data.train)))
    exam = freeze_exam(data.valid, data.tokenizer, data.token_counts, blocks=settings.data.exam_blocks)
    if first:
        runs.open_run(out, settings, resume=resume)
    if args.device.type == "cpu":
        use_bit_dropout(model)
    trainer = MaskingTrainer(
        model,
        args,
        masker=masker,
        distillation=build_distillation(settings.distillation, teacher),
        train_dataset=data.train,
        eval_dataset=exam,
        processing_class=data.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    checkpoint = newest_checkpoint(trainer, out) if resume else None
    if first:
        trainer.add_callback(RunLog(out, data.manifest["block"], show=show))
        trainer.add_callback(LogMasks(MaskProbe(masker, data.train, exam.quintile_V), trainer))
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return finish(trainer, settings, data, exam, out)


def newest_checkpoint(trainer: MaskingTrainer, out: Path) -> Path | None:
    """Returns the checkpoint every rank resumes from, its score state loaded."""
    trainer.accelerator.wait_for_everyone()
    checkpoint = trainer.checkpoints.newest(out)
    if checkpoint is not None:
        trainer.checkpoints.restore(checkpoint)
    return checkpoint


def finish(
    trainer: MaskingTrainer, settings: PretrainSettings, data: DataFolder, exam: Any, out: Path
) -> PretrainResult:
    """Grades the trained model, saves it with its card, and marks the run as done."""
    trainer.raise_if_not_finite()
    grades = trainer.grade(exam)
    result = PretrainResult(out, {"unigram floor": grade_unigram(exam), settings.recipe: grades})
    if trainer.is_world_process_zero():
        trainer.save_model(str(out))
        write_whole(out / "README.md", model_card(settings, data.manifest, result.exam))
        figures = {name: grade.as_dict() for name, grade in result.exam.items()}
        done = {"steps": trainer.state.global_step, "exam": figures, "flops": trainer.state.total_flos}
        write_whole(out / runs.DONE, json.dumps(done, indent=2) + "\n")
        delete_banks(out)
    trainer.accelerator.wait_for_everyone()
    return result


class RunLog(TrainerCallback):
    """Writes `metrics.jsonl` and shows progress, with tokens per second and the time left."""

    def __init__(self, out: Path, block: int, *, show: bool) -> None:
        self.metrics = runs.Metrics(out / runs.METRICS)
        self.block, self.show = block, show

    def on_train_begin(self, args, state, control, **kwargs):
        """Opens the progress display at the step the run (re)starts from."""
        tokens_per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size * self.block
        self.tokens_per_step = tokens_per_step
        left = (state.max_steps - state.global_step) * tokens_per_step
        self.progress = Progress("pretrain", left, "tokens", show=self.show).__enter__()

    def on_step_end(self, args, state, control, **kwargs):
        """Counts the step's tokens."""
        self.progress.advance(self.tokens_per_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Appends a line to `metrics.jsonl`."""
        logs = logs or {}
        self.metrics.write(state.global_step, {"epoch": state.epoch, **logs})
        for key, label in (("loss", "loss"), ("eval_loss", "exam")):
            if key in logs:
                self.progress.note = f"step {state.global_step}, {label} {float(logs[key]):.3f}"

    def on_train_end(self, args, state, control, **kwargs):
        """Closes the progress display."""
        self.progress.__exit__(None, None, None)
