"""How long a step of an arm takes on this machine, from a short run of it: what "equal seconds" means.

The short run is a job like any other, so it trains next to the same other jobs and with the same threads. What comes on
top of steps (evaluations, checkpoints, compiling) is not in it.
"""

from __future__ import annotations

from pathlib import Path

from maskwise.lab.config import PretrainSettings, StoppingSettings, merge
from maskwise.lab.pretraining.flops import Budget, distillation_start, teacher_share
from maskwise.lab.records.run_folder import METRICS, read_metrics

_WARM_STEPS, _STEPS, _LOGGED = 16, 48, 8
TIMED = {
    "max_steps": _STEPS, "logging_steps": _LOGGED, "eval_strategy": "no", "save_strategy": "no", "report_to": [],
}  # fmt: skip
_MOST = 0.99  # of a run: a share below 1


def short_run(settings: PretrainSettings, run: Budget) -> PretrainSettings:
    """Returns the settings of the short run; what changes after epochs or steps changes after the same share of it."""
    masking, distillation = settings.masking, settings.distillation
    if masking.source == "teacher-then-self":
        share = min(teacher_share(masking, run), _MOST)
        changes = {"teacher_epochs": None, "teacher_steps": None, "teacher_share": share}
        masking = masking.model_copy(update=changes)
    if distillation.start_epochs is not None:
        share = min(distillation_start(settings, run), _MOST)
        distillation = distillation.model_copy(update={"start_epochs": None, "start_share": share})
    return settings.model_copy(
        update={
            "masking": masking,
            "distillation": distillation,
            "stopping": StoppingSettings(),
            "data": settings.data.model_copy(update={"held_out_blocks": 1}),
            "trainer": merge(settings.trainer, TIMED),
        }
    )


def seconds_a_step(folder: Path) -> float | None:
    """Returns the mean time of a step after the first few, or None if the short run has not ended."""
    at = {record["step"]: record["seconds"] for record in read_metrics(folder / METRICS) if "loss" in record}
    return (at[_STEPS] - at[_WARM_STEPS]) / (_STEPS - _WARM_STEPS) if {_WARM_STEPS, _STEPS} <= at.keys() else None
