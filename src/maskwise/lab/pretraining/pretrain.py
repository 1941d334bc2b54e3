"""The pretraining job: a data folder and settings in, a run folder with a model out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from maskwise.errors import InputError
from maskwise.evaluation.held_out import (
    HeldOutEval,
    HeldOutResult,
    evaluate_unigram,
    held_out_table,
    make_held_out_eval,
)
from maskwise.files.atomic import atomic_write
from maskwise.files.checkpoint_folders import whats_wrong
from maskwise.files.writable import check_writable
from maskwise.lab.config import PretrainSettings, merge
from maskwise.lab.precedence import named_by_hub, run_settings, score_object
from maskwise.lab.pretraining.build import (
    build_distillation,
    build_masker,
    build_rule,
    load_general,
    load_masked_lm,
    load_model,
    load_stored,
    load_teacher,
    planned_run,
    rows_a_step,
    training_arguments,
    with_defaults,
)
from maskwise.lab.pretraining.early_stopping import (
    GENERAL_LOSS,
    StopByHeldOut,
    StoppingRule,
    StoppingVerdict,
    draw_held_out,
    had_ended,
)
from maskwise.lab.pretraining.mask_probe import LogMasks, MaskProbe
from maskwise.lab.pretraining.model_card import model_card
from maskwise.lab.pretraining.run_record import finish_record, open_with_record, planned_size
from maskwise.lab.pretraining.run_size import RunSize, corpus_figures
from maskwise.lab.pretraining.trainer_settings import Begun, nothing_left_behind, settings_as_input_errors
from maskwise.lab.pretraining.typhoon_picture import KeepRates, draw_rates
from maskwise.lab.pretraining.word_checkpoints import SETTING, KeepByWords, checkpoint_words
from maskwise.lab.printed import Printed
from maskwise.lab.records import run_folder
from maskwise.lab.records.attempts import ATTEMPTS
from maskwise.lab.records.recorder import Recorder
from maskwise.lab.records.strict_json import to_json
from maskwise.lab.tokens.blocks import DataFolder, open_data
from maskwise.lab.tokens.describe import WORD_BORDERS
from maskwise.masking.score import Score
from maskwise.masking.score_context import RunPlan
from maskwise.models.hf_logging import silent_on_tied_weights
from maskwise.progress import Progress, printer, silent_if_not_shown
from maskwise.scores.refreshed import delete_score_files
from maskwise.scores.typhoon import SaliencyTable
from maskwise.training.cpu_dropout import use_bit_dropout
from maskwise.training.trainer import MaskingTrainer
from maskwise.training.what_is_trained import check_runs_eager

CURVES = "curves.svg"
_RATES, _RATES_PICTURE = "type-rates", "type-rates.svg"
_EXAMPLES = {
    "masking": "{'rate': 0.3}",
    "distillation": "{'weight': 0.5}",
    "stopping": "{'patience': 3}",
    "trainer": "{'learning_rate': 1e-4}",
}
GENERAL_ROW = "on the general evaluation"


@dataclass(frozen=True)
class PretrainResult(Printed):
    """What a run came to; a path to its folder wherever a path is asked for.

    Attributes:
        folder: The run folder.
        held_out: The final grades next to the floor's: `{"unigram floor": ..., "<recipe>": ...}`. If a general
            evaluation was followed, its grades are a third row.
        stopping: Why the run ended and which model was kept; empty if the evaluations had no say.
    """

    folder: Path
    held_out: Mapping[str, HeldOutResult]
    stopping: str = ""

    def table(self) -> str:
        """Returns the evaluation as plain text."""
        return held_out_table(self.held_out)

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return "\n".join(
            [f"PretrainResult in {self.folder}", self.table(), *([self.stopping] if self.stopping else [])]
        )


@silent_if_not_shown
def pretrain(
    settings: PretrainSettings | Mapping[str, Any] | str | Path | None = None,
    out: str | Path | None = None,
    *,
    data: str | PathLike[str] | None = None,
    general_data: str | PathLike[str] | None = None,
    model: str | PathLike[str] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    recipe: str | Path | None = None,
    teacher: str | PathLike[str] | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    masking: Mapping[str, Any] | None = None,
    distillation: Mapping[str, Any] | None = None,
    stopping: Mapping[str, Any] | None = None,
    trainer: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    score: Score | None = None,
    resume: bool = False,
    show: bool = True,
    recorder: Recorder | None = None,
) -> PretrainResult:
    """Trains a masked language model; everything is kept in the run folder `out` (see `records/run_folder.py`).

    Keyword arguments win over `settings`, and both over the recipe. With `stopping` or `general_data` the run may end
    early, and the best model is kept.

    Args:
        settings: Tables of settings, or the path of a TOML file that has them, such as another run's `config.toml`.
        out: The run folder to make, or to resume.
        data: A data folder made by `prepare`, or what `prepare` returned.
        general_data: Another one: its evaluation is followed too, and the run stops if adaptation costs too much of it.
        model: "tiny", "mini", "bertlet", "bert", or the path of a config.json: trained from scratch.
        checkpoint: Instead of `model`: a run folder, a checkpoint or a hub name to continue from.
        recipe: What to mask; `maskwise recipes` lists the names. By default "random".
        teacher: A run folder, a checkpoint or a hub name, for recipes that score by a teacher or distil.
        epochs: Passes over the data.
        steps: Optimizer steps, instead of `epochs`.
        seed: Of the initial weights, the order of the data, and the masks.
        masking: Changes to the recipe's `[masking]` table, such as `{"rate": 0.3}`.
        distillation: Changes to its `[distillation]` table.
        stopping: When the run ends early, such as `{"patience": 3}` (evaluations).
        trainer: Options of `transformers.TrainingArguments`, such as `{"learning_rate": 1e-4}`.
        changes: Any other settings, table by table, such as `{"data": {"held_out_blocks": 64}}`.
        score: Your own score, a function or an object, instead of the recipe's.
        resume: Whether to resume from the newest complete checkpoint in `out`, to the same bytes that an unbroken run
            would have given (on a CPU, with the same number of threads). Settings may then be left out.
        show: Whether to show progress. If not, nothing is printed.
        recorder: What keeps the run's attempts and its place in a study, if it has one.

    Returns:
        The final evaluation, in nats per token. It stands for its folder: pass it on where a path is asked for.

    Raises:
        InputError: For settings, data or a folder that cannot work, and if what a resumed run depends on has changed.

    Example:
        ```python
        from maskwise.lab import pretrain

        pretrain(data="data", model="mini", recipe="whole-word", out="run", steps=1000)
        ```
    """
    if out is None:
        raise InputError("A run needs a folder: pretrain(..., out='run').")
    if isinstance(score, str):
        raise InputError(
            f"score= is a function or an object; found {score!r}. A name goes to masking={{'score': ...}}."
        )
    tables = {"masking": masking, "distillation": distillation, "stopping": stopping, "trainer": trainer}
    for name, table in tables.items():
        if table is not None and not isinstance(table, Mapping):
            raise InputError(
                f"{name} is a mapping of settings; found {type(table).__name__}. Write "
                f"pretrain(..., {name}={_EXAMPLES[name]})."
            )
    changes = merge(changes or {}, {name: dict(table) for name, table in tables.items() if table is not None})
    score = score or score_object(settings, changes)
    if score is not None:
        changes = merge(changes, {"masking": merge(changes.get("masking", {}), {"score": score})})
    named = {
        "recipe": recipe, "data": data, "general_data": general_data, "model": model, "checkpoint": checkpoint,
        "teacher": teacher, "epochs": epochs, "steps": steps, "seed": seed,
    }  # fmt: skip
    if resume and settings is None and data is None:
        settings = run_folder.stored_settings(Path(out))
    resolved = with_defaults(named_by_hub(run_settings(settings, **named, changes=changes)))
    return _run(resolved, Path(out), score, recorder or Recorder(), resume=resume, show=show)


def _run(
    settings: PretrainSettings, out: Path, score: Score | None, recorder: Recorder, *, resume: bool, show: bool
) -> PretrainResult:
    check_writable(out)
    data = open_data(settings.data.path)
    general = load_general(settings, data)
    args = training_arguments(settings, out)
    first = args.process_index == 0
    model = load_model(settings, data)
    teacher = load_teacher(settings, data)
    scorer = load_stored(settings, data) or teacher
    masker = build_masker(settings.masking, data, seed=settings.seed, teacher=scorer, score=score)
    check_runs_eager(masker, args)
    if masker.unit_rule.goes_by_marks:
        printer(show and first)(f"Note: {WORD_BORDERS['marks']}.")
    for part in masker.scores_inside:
        part.check_run(RunPlan(*planned_run(args, len(data.train))))
    words = checkpoint_words(settings.trainer.get(SETTING), data, planned_run(args, len(data.train))[1])
    held_out = _held_out(data, settings)
    general_held_out = _held_out(general, settings) if general else None
    size = planned_size(settings, data, args) if first else None
    if args.device.type == "cpu":
        use_bit_dropout(model)
    begun = Begun()
    with nothing_left_behind(out, begun) if first else nullcontext(), settings_as_input_errors(begun):
        trainer = MaskingTrainer(
            model,
            args,
            masker=masker,
            distillation=build_distillation(settings.distillation, teacher),
            train_dataset=data.train,
            eval_dataset=held_out,
            processing_class=data.tokenizer,
            callbacks=[begun],
        )
        trainer.say = printer(show and first)
        trainer.remove_callback(PrinterCallback)
        if first:
            open_with_record(out, settings, data, args, score, recorder, resume=resume, say=trainer.say)
            _follow(trainer, data, out, show=show)
        if words:
            trainer.add_callback(KeepByWords(trainer, words, data.manifest["counts"]["train_words"], out))
        stopper = None
        if (rule := build_rule(settings.stopping)) is not None:
            stopper = StopByHeldOut(trainer, rule, general_held_out, printer(show and first))
            trainer.add_callback(stopper)
        with run_folder.kept_when_full(out), recorder.attempt_in(out / ATTEMPTS if first else None):
            train(trainer, rule, newest_checkpoint(trainer, out) if resume else None)
            return finish(trainer, stopper, settings, data, out, size, recorder)


def _follow(trainer: MaskingTrainer, data: DataFolder, out: Path, *, show: bool) -> None:
    """Adds what writes `metrics.jsonl`, shows progress, and looks at what is masked."""
    masker, held_out = trainer.masker, trainer.eval_dataset
    trainer.add_callback(RunLog(out, data, show=show))
    trainer.add_callback(LogMasks(MaskProbe(masker, data.train, held_out.quintile_V), trainer))
    if isinstance(masker.score, SaliencyTable):
        trainer.add_callback(KeepRates(out / _RATES, masker))


def _held_out(data: DataFolder, settings: PretrainSettings) -> HeldOutEval:
    return make_held_out_eval(data.valid, data.tokenizer, data.token_counts, blocks=settings.data.held_out_blocks)


def newest_checkpoint(trainer: MaskingTrainer, out: Path) -> Path | None:
    """Returns the checkpoint that every process resumes from; the first one has looked whether it is damaged."""
    trainer.accelerator.wait_for_everyone()
    return trainer.checkpoints.newest(out)


def train(trainer: MaskingTrainer, rule: StoppingRule | None, checkpoint: Path | None) -> None:
    """Trains from the start or resumed; takes a checkpoint as it is if no step is left."""
    ended = had_ended(checkpoint, rule) if checkpoint else None
    if checkpoint is None or ended is None:
        with silent_on_tied_weights(trainer.model):
            trainer.train(resume_from_checkpoint=checkpoint)
        return
    trainer.take_up(checkpoint)
    trainer.state = ended
    best = ended.best_global_step if trainer.args.load_best_model_at_end else None
    kept = checkpoint.parent / f"checkpoint-{best}" if best else checkpoint
    copy_weights(trainer.model, load_masked_lm(str(kept)))


def keep_best(
    trainer: MaskingTrainer, verdict: StoppingVerdict, settings: PretrainSettings, data: DataFolder, out: Path
) -> None:
    """Gives the trainer's model the weights of the best evaluation, if these are not the last ones."""
    step = verdict.best.step
    if step != trainer.state.global_step:
        checkpoint = out / f"checkpoint-{step}"
        if step and (reason := whats_wrong(checkpoint)):
            raise InputError(f"The best model of the run was in {checkpoint}, and {reason}.")
        copy_weights(trainer.model, load_masked_lm(str(checkpoint)) if step else load_model(settings, data))


def copy_weights(model: Any, other: Any) -> None:
    """Overwrites a model's weights by another's of the same shape."""
    model.load_state_dict(other.state_dict())


def finish(
    trainer: MaskingTrainer,
    stopper: StopByHeldOut | None,
    settings: PretrainSettings,
    data: DataFolder,
    out: Path,
    size: RunSize | None,
    recorder: Recorder,
) -> PretrainResult:
    """Grades the trained model (the best one if there is a `stopper`), saves it, and marks the run as done."""
    trainer.raise_if_not_finite(weights=True)
    held_out, verdict = trainer.eval_dataset, stopper.verdict() if stopper else None
    if verdict is not None:
        keep_best(trainer, verdict, settings, data, out)
    grades = {"unigram floor": evaluate_unigram(held_out), settings.recipe: trainer.grade(held_out)}
    if stopper is not None and stopper.general is not None:
        grades[GENERAL_ROW] = trainer.grade(stopper.general)
    result = PretrainResult(out, grades, verdict.describe(trainer.state.max_steps) if verdict else "")
    if trainer.is_world_process_zero():
        trainer.save_model(str(out))
        if verdict is not None:
            draw_held_out(out / run_folder.METRICS, verdict, out / CURVES)
        if (out / _RATES).exists():
            draw_rates(out / _RATES, data, out / _RATES_PICTURE)
        atomic_write(out / run_folder.CARD, model_card(settings, data.manifest, result.held_out, result.stopping))
        finish_record(out, size, grades, trainer.state.global_step, verdict, recorder)
        done = _done(trainer, result, verdict) | {"files": run_folder.record_run(out)}
        atomic_write(out / run_folder.DONE, to_json(done))
        delete_score_files(out)
    trainer.accelerator.wait_for_everyone()
    return result


def _done(trainer: MaskingTrainer, result: PretrainResult, verdict: StoppingVerdict | None) -> dict[str, Any]:
    figures = {name: grade.as_dict() for name, grade in result.held_out.items()}
    done = {"steps": trainer.state.global_step, "held_out": figures}
    return done | ({"stopping": verdict.as_dict()} if verdict else {})


class RunLog(TrainerCallback):
    """Writes `metrics.jsonl` and shows progress, with tokens per second and the time left."""

    def __init__(self, out: Path, data: DataFolder, *, show: bool) -> None:
        self.metrics = run_folder.Metrics(out / run_folder.METRICS)
        self.corpus, self.show = corpus_figures(data), show

    def on_train_begin(self, args, state, control, **kwargs):
        """Opens the progress display at the step the run (re)starts from."""
        self.tokens_per_step = rows_a_step(args, self.corpus.num_blocks) * self.corpus.mean_length
        left = (state.max_steps - state.global_step) * self.tokens_per_step
        self.progress = Progress("pretrain", left, "tokens", show=self.show).__enter__()

    def on_step_end(self, args, state, control, **kwargs):
        """Counts the step's tokens."""
        self.progress.advance(self.tokens_per_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Appends a line to `metrics.jsonl`."""
        logs = logs or {}
        self.metrics.write(state.global_step, {"epoch": state.epoch, **logs})
        for key, label in (("loss", "loss"), ("eval_loss", "held_out"), (GENERAL_LOSS, "general evaluation")):
            if key in logs:
                self.progress.note = f"step {state.global_step}, {label} {float(logs[key]):.3f}"

    def on_train_end(self, args, state, control, **kwargs):
        """Closes the progress display."""
        self.progress.__exit__(None, None, None)
