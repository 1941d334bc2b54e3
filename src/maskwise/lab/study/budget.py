"""How long each arm trains: the same steps for all, or its own number so that flops or seconds equal another's."""

from __future__ import annotations

from dataclasses import dataclass, replace

from maskwise.lab.config import PretrainSettings, check_settings
from maskwise.lab.pretraining.run_size import CorpusSize, RunSize, corpus_of, run_size
from maskwise.lab.records.record import RunKey
from maskwise.lab.study.declaration import TEACHER
from maskwise.lab.study.layout import Layout, teacher_of
from maskwise.lab.study.speed import seconds_a_step, short_run
from maskwise.lab.study.study_file import Study


@dataclass(frozen=True)
class ArmBudget:
    """The settings of an arm's run with its number of steps, and what that costs in counted flops and tokens."""

    settings: PretrainSettings
    steps: int
    flops: float
    tokens: float


def arm_budget(study: Study, key: RunKey, layout: Layout, corpus: CorpusSize | None = None) -> ArmBudget:
    """Returns what one pretraining run gets; `corpus` stands in for the figures of data that is not there yet.

    An arm with the compute of another gets the number of steps whose counted flops are nearest to the other's; one
    with its seconds, the steps that fit by the time a step of each takes. If these are not measured yet, flops stand in
    for time.
    """
    own = _as_given(study, key, layout, corpus)
    equal, other = study.equal_of(study.arm(key.arm)) if key.arm != TEACHER else ("steps", None)
    if other is None:
        return _budget(own)
    theirs = arm_budget(study, replace(key, arm=other.name), layout, corpus)
    if equal == "compute":
        steps = own.steps_for(theirs.flops)
    else:
        mine, other_s = (seconds_a_step(layout.speed(replace(key, arm=name))) for name in (key.arm, other.name))
        if mine is None or other_s is None:
            mine, other_s = own.flops / own.budget.steps, theirs.flops / theirs.steps
        steps = max(1, round(theirs.steps * other_s / mine))
    longer = check_settings(own.settings.model_dump(exclude_none=True), {"trainer": {"max_steps": steps}})
    return _budget(own.with_steps(longer, steps))


def short_settings(study: Study, key: RunKey, layout: Layout) -> PretrainSettings:
    """Returns the settings of the short run that shows how long a step of this arm takes."""
    given = _as_given(study, key, layout, None)
    return short_run(given.settings, given.budget)


def declared_settings(study: Study, key: RunKey, layout: Layout) -> PretrainSettings:
    """Returns the settings of a run as it is declared, whatever the budgets of others."""
    backbone = study.backbone(key.backbone)
    data = layout.data(key.backbone, key.adapted_to) if key.adapted_to else None
    if key.arm == TEACHER:
        return study.teacher_settings(backbone, key.seed, data)
    teacher = str(layout.folder(teacher_of(key))) if study.teacher else None
    return study.settings(study.arm(key.arm), backbone, key.seed, data, teacher)


def _as_given(study: Study, key: RunKey, layout: Layout, corpus: CorpusSize | None) -> RunSize:
    settings = declared_settings(study, key, layout)
    shape = study.backbone(key.backbone).model if study.teacher else None  # its teacher is a model like it
    return run_size(settings, corpus or corpus_of(settings.data.path), teacher=shape)


def _budget(size: RunSize) -> ArmBudget:
    return ArmBudget(size.settings, size.budget.steps, size.flops, size.tokens)
