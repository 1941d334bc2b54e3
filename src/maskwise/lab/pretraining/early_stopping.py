"""When a run is stopped by its evaluations, and which of its models that keeps.

The rule is a function of the evaluations so far. These are in the trainer's own history, which every checkpoint holds
and every process of a run has alike, so a resumed run and all ranks decide the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from transformers import TrainerCallback, TrainerState

from maskwise.evaluation.held_out import HeldOutEval
from maskwise.lab.pretraining.curves import Panel, draw_curves, read_curve
from maskwise.lab.pretraining.strategy_masks import strategy_masks_eval
from maskwise.lab.records.run_folder import read_metrics

if TYPE_CHECKING:
    from maskwise.training.trainer import MaskingTrainer

Reason = Literal["no improvement", "over-specialisation"]
LOSS, GENERAL_LOSS, OWN_LOSS = "eval_loss", "general_loss", "strategy_loss"
DECIDES = {"held_out": LOSS, "strategy_masks": OWN_LOSS}


class Evaluation(NamedTuple):
    """The losses (nats) at a step: of what decides, and of the general evaluation, None if none is followed."""

    step: int
    loss: float
    general: float | None = None


class StoppingVerdict(NamedTuple):
    """What a rule decides on a run: why it stops (None: it continues), and the evaluation whose model is kept."""

    rule: StoppingRule
    reason: Reason | None
    start: Evaluation
    best: Evaluation
    last: Evaluation

    def describe(self, max_steps: int) -> str:
        """Returns two lines: why the run ended, and which model is kept with its losses before and after."""
        _, reason, start, best, last = self
        name = "evaluation" if start.general is None else "domain evaluation"
        name = "own masks" if self.rule.by == "strategy_masks" else name
        kept = f"Kept: the model of step {best.step:,}. {name.capitalize()} {start.loss:.3f} -> {best.loss:.3f} nats"
        if start.general is not None:
            kept += f", general evaluation {start.general:.3f} -> {best.general:.3f} nats"
        if reason is None:
            return f"Ran to its last step, {last.step:,}: the evaluations did not stop it.\n{kept}."
        why = f"the {name} had not become better for {self.rule.patience} evaluations"
        if reason == "over-specialisation":
            worse, tolerance = _worsening(start, last), self.rule.tolerance
            why = f"the general evaluation was {worse:.3f} nats worse than at the start (tolerance {tolerance:g})"
        return f"Stopped at step {last.step:,} of {max_steps:,}, {reason}: {why}.\n{kept}."

    def as_dict(self) -> dict[str, Any]:
        """Returns the verdict for `done.json`."""
        points = {name: getattr(self, name)._asdict() for name in ("start", "best", "last")}
        return {"reason": self.reason or "last step", **asdict(self.rule), **points}


@dataclass(frozen=True)
class StoppingRule:
    """Stops after `patience` evaluations without a better loss, or when the general loss got too much worse.

    Too much is more than `tolerance` nats above its loss at the first evaluation, which is that of the model before any
    training. A rule that is None never stops. The best model is the one with the lowest loss among those that are
    within the tolerance, the first of equals. `by` says whose masks that loss is on: the evaluation's, or the run's
    own. With `trained_only` the model before any training is kept only where no later one is within the tolerance.

    >>> rule = StoppingRule(patience=2, tolerance=0.1)
    >>> rule.judge([Evaluation(0, 5.0, 4.0), Evaluation(10, 4.8, 4.05), Evaluation(20, 4.6, 4.2)]).reason
    'over-specialisation'
    """

    patience: int | None = None
    tolerance: float | None = None
    by: Literal["held_out", "strategy_masks"] = "held_out"
    trained_only: bool = False

    def judge(self, evaluations: Iterable[Evaluation]) -> StoppingVerdict:
        """Returns the verdict on the evaluations of a run so far, which are in the order of their steps."""
        start, *later = evaluations
        best = last = start
        num_since_best, too_far = 0, False
        for last in later:
            too_far = self.tolerance is not None and not _worsening(start, last) <= self.tolerance  # so nan is, too
            beats = last.loss < best.loss or (self.trained_only and best is start)
            is_better = beats and not too_far
            best, num_since_best = (last, 0) if is_better else (best, num_since_best + 1)
        reason: Reason | None = None
        if too_far:
            reason = "over-specialisation"
        elif self.patience is not None and num_since_best >= self.patience:
            reason = "no improvement"
        return StoppingVerdict(self, reason, start, best, last)


def _worsening(start: Evaluation, now: Evaluation) -> float:
    """Returns by how many nats the general evaluation is worse than at the start; 0 where none is followed."""
    return 0.0 if start.general is None or now.general is None else now.general - start.general


def evaluations(records: Iterable[Mapping[str, Any]], by: str = "held_out") -> list[Evaluation]:
    """Returns the evaluations that are among the records of a trainer's `log_history` or of a `metrics.jsonl`."""
    losses: dict[int, dict[str, float]] = {}
    for record in records:
        for name in (DECIDES[by], GENERAL_LOSS):
            if name in record:
                losses.setdefault(record["step"], {})[name] = record[name]
    return [Evaluation(step, found[DECIDES[by]], found.get(GENERAL_LOSS)) for step, found in sorted(losses.items())]


class StopByHeldOut(TrainerCallback):
    """Grades the model before training, follows the general evaluation and the trainer's own, and stops by the rule.

    The checkpoint of the best model is written when it is found, and kept from then on; the last step is always
    evaluated. `say` is given the reason at the end. All ranks need the callback: grading is work that they share.
    """

    def __init__(
        self, trainer: MaskingTrainer, rule: StoppingRule, general: HeldOutEval | None, say: Callable[[str], None]
    ) -> None:
        self.trainer, self.rule, self.general, self.say = trainer, rule, general, say

    def verdict(self) -> StoppingVerdict:
        """Returns what the rule says of the trainer's history."""
        return self.rule.judge(evaluations(self.trainer.state.log_history, self.rule.by))

    def on_train_begin(self, args, state, control, **kwargs):
        """Takes the grades that later ones are held against; a resumed run has them in its history."""
        if not evaluations(state.log_history):
            self._log("eval", self.trainer.eval_dataset)
            self._log_others()
        self.trainer.checkpoints.kept_step = self.verdict().best.step

    def on_step_end(self, args, state, control, **kwargs):
        """Asks for an evaluation of the last step."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_evaluate(self, args, state, control, **kwargs):
        """Judges; a model that is the best so far is saved at once."""
        self.trainer.raise_if_not_finite()
        self._log_others()
        verdict = self.verdict()
        if verdict.best == verdict.last:
            self.trainer.checkpoints.kept_step = verdict.best.step
            control.should_save = True
        if verdict.reason:
            control.should_training_stop = True

    def on_train_end(self, args, state, control, **kwargs):
        """Says why the run ended."""
        self.say(self.verdict().describe(state.max_steps))

    def _log_others(self) -> None:
        if self.general is not None:
            self._log("general", self.general)
        if self.rule.by == "strategy_masks":
            self._log(OWN_LOSS.removesuffix("_loss"), strategy_masks_eval(self.trainer))

    def _log(self, name: str, held_out: HeldOutEval) -> None:
        self.trainer.log(
            {f"{name}_{figure}": value for figure, value in self.trainer.grade(held_out).as_dict().items()}
        )


def had_ended(checkpoint: Path, rule: StoppingRule | None) -> TrainerState | None:
    """Returns the trainer's state in a checkpoint if no step was left to train when it was written, else None.

    The Trainer itself would take one more step from a checkpoint of the last one.
    """
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    stopped = rule is not None and rule.judge(evaluations(state.log_history, rule.by)).reason is not None
    return state if stopped or state.global_step >= state.max_steps else None


def draw_held_out(metrics: Path, verdict: StoppingVerdict, out: Path) -> None:
    """Draws the held-out losses of a `metrics.jsonl`, with the tolerance and the step that is kept."""
    records = read_metrics(metrics)
    panels = [Panel("Evaluation: loss in nats a token", {"held_out": read_curve(records, LOSS)})]
    if verdict.start.general is not None:
        tolerance = verdict.rule.tolerance
        limit = None if tolerance is None else verdict.start.general + tolerance
        panels = [Panel("Domain evaluation: loss in nats a token", {"domain": read_curve(records, LOSS)})]
        panels += [
            Panel("General evaluation: loss in nats a token", {"general": read_curve(records, GENERAL_LOSS)}, limit)
        ]
    if verdict.rule.by == "strategy_masks":
        panels.append(Panel("The run's own masks: loss in nats a token", {"own": read_curve(records, OWN_LOSS)}))
    draw_curves(panels, out, marked_step=verdict.best.step)
