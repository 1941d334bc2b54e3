"""How much arithmetic a pretraining run is, counted before it runs: what "equal compute" means.

Special tokens count as if they could be masked. A backward pass is twice its forward pass. Scores that a teacher stored
before cost nothing here, nor do evaluations, nor Typhoon's saliency of the training loss, whose gradient is taken
anyway.
"""

from __future__ import annotations

from typing import NamedTuple

from maskwise.lab.config import PretrainSettings
from maskwise.lab.masking_settings import MODEL_SCORE_NAMES, MaskingSettings, RateSettings, TyphoonSettings
from maskwise.masking.rates import mean_over_run
from maskwise.models.flops import TRAINING, ForwardFlops


class Budget(NamedTuple):
    """The size of a run: optimizer steps, steps an epoch, tokens a step, and the mean tokens of a block.

    `labelled_tokens` and `labelled_block` are those of the text that Typhoon takes a task's loss from.
    """

    steps: int
    steps_an_epoch: int
    tokens_a_step: float
    block: float
    labelled_tokens: float = 0.0
    labelled_block: float = 0.0


def run_flops(settings: PretrainSettings, student: ForwardFlops, teacher: ForwardFlops | None, run: Budget) -> float:
    """Returns the operations of a whole run: its training, its scores, and its teacher's lessons.

    `teacher` is asked for where the settings have one.
    """
    labelled = mean_rate(settings.masking, run.block)
    training = TRAINING * (student.body + labelled * student.head)
    scoring = _scoring_flops(settings.masking, student, teacher, run)
    taught = 0.0
    if settings.distillation.weight > 0 and teacher is not None:
        taught = (1 - distillation_start(settings, run)) * (teacher.body + labelled * teacher.head)
    return (training + scoring + taught) * run.tokens_a_step * run.steps


def steps_for(
    flops: float, settings: PretrainSettings, student: ForwardFlops, teacher: ForwardFlops | None, run: Budget
) -> int:
    """Returns the number of steps, at least 1, whose operations come nearest to `flops`; `run.steps` is not read."""

    def excess(steps: int) -> float:
        return run_flops(settings, student, teacher, run._replace(steps=steps)) - flops

    low, high = 0, 1
    while excess(high) < 0:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return max(low if low and -excess(low) <= excess(high) else high, 1)


def mean_rate(masking: MaskingSettings, block: float) -> float:
    """Returns the share of tokens that is masked, over the whole run.

    >>> mean_rate(MaskingSettings(rate={"schedule": "linear", "start": 0.5, "end": 0.25}), block=128)
    0.375
    """
    if isinstance(masking.rate, RateSettings):
        return round(mean_over_run(masking.rate.rates()), 6)
    return 1 / block if masking.rate == "one" else float(masking.rate)


def _scoring_flops(masking: MaskingSettings, student: ForwardFlops, teacher: ForwardFlops | None, run: Budget) -> float:
    if masking.typhoon is not None and masking.typhoon.loss == "task":
        tokens = _labelled_tokens(masking.typhoon, run)
        return TRAINING * student.body * tokens / (run.tokens_a_step * run.steps)
    if masking.score not in MODEL_SCORE_NAMES:
        return 0.0
    own = _scoring_pass(student, masking.folds) / (masking.refresh_epochs or 1)
    if masking.source == "self":
        return own
    by_teacher = 0.0 if masking.stored or teacher is None else _scoring_pass(teacher, masking.folds)
    share = 1.0 if masking.source == "teacher" else teacher_share(masking, run)
    return share * by_teacher + (1 - share) * own


def _labelled_tokens(typhoon: TyphoonSettings, run: Budget) -> float:
    """Returns how many labelled tokens a run trains or differentiates a classifier on: an epoch, and every look."""
    looks = 1 + run.steps // typhoon.refresh_steps
    return run.labelled_tokens + looks * typhoon.refresh_batches * typhoon.task_batch_size * run.labelled_block


def _scoring_pass(model: ForwardFlops, folds: int | None) -> float:
    return (folds or 1) * model.body + model.head


def teacher_share(masking: MaskingSettings, run: Budget) -> float:
    """Returns the share of a run in which the teacher scores, for source = "teacher-then-self"."""
    if masking.teacher_share is not None:
        return masking.teacher_share
    steps = masking.teacher_steps or (masking.teacher_epochs or 1) * run.steps_an_epoch
    return min(1.0, steps / run.steps)


def distillation_start(settings: PretrainSettings, run: Budget) -> float:
    """Returns the share of a run that is over when distillation begins."""
    epochs = settings.distillation.start_epochs
    if epochs is not None:
        return min(1.0, epochs * run.steps_an_epoch / run.steps)
    return settings.distillation.start_share or 0.0
