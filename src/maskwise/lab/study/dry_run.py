"""What a study would do and could find, also on a machine that lacks what it needs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from maskwise.errors import InputError
from maskwise.lab.pretraining.run_size import corpus_of
from maskwise.lab.study.declaration import PLANNED_TEACHER
from maskwise.lab.study.layout import pretraining_keys
from maskwise.lab.study.outline import outline
from maskwise.lab.study.plan import find_zero_shot_data, load_study_task, make_plan
from maskwise.lab.study.power_statement import power_statement
from maskwise.lab.study.study_file import Study
from maskwise.models.flops import forward_flops

BLOCK, VOCABULARY = 128, 30_000  # any will do to see whether a model is there


def dry_run(study: Study, out: Path, *, jobs: int = 1) -> str:
    """Returns the plan of a study for people: runs, budgets, cost, and what it could find. Nothing is written.

    If data, tasks or models are missing on this machine, budgets and cost are not known; the rest is the same, and
    all that is missing is named.
    """
    try:
        return make_plan(study, out).describe(jobs)
    except InputError as error:
        missing = missing_parts(study, out) or [str(error)]
    lines = [f"- {one.splitlines()[0]}" for one in missing]
    head = "Budgets and cost are not known here, where this is missing:"
    return "\n".join([*outline(study), "", head, *lines, "", *power_statement(study)])


def missing_parts(study: Study, out: Path) -> list[str]:
    """Returns what keeps a study from running on this machine, each in the words of its error."""
    data: dict[str, None] = {}
    models: dict[str, None] = {}
    for key in pretraining_keys(study):
        if key.seed != study.seeds[0]:
            continue  # what is needed is the same for all seeds
        backbone = study.backbone(key.backbone)
        settings = study.settings(study.arm(key.arm), backbone, key.seed, data=out if key.adapted_to else None)
        data |= {} if key.adapted_to else {settings.data.path: None}  # a task's text is prepared by the study itself
        models |= dict.fromkeys(model for model in (backbone.model, settings.teacher) if model)
    models.pop(PLANNED_TEACHER, None)
    needed = [partial(load_study_task, study, name) for name in study.tuned_tasks]
    if study.task_data is None:
        needed = needed[:1]  # if the hub cannot be reached for one task, each of the others would wait as long for it
    needed += [partial(find_zero_shot_data, study, name) for name in study.zero_shot_tasks]
    needed += [partial(corpus_of, path) for path in data]
    needed += [partial(forward_flops, model, BLOCK, VOCABULARY) for model in models]
    said: dict[str, None] = {}
    for find in needed:
        try:
            find()
        except InputError as error:
            said[str(error)] = None
    return list(said)
