"""A study as its file says it: what is asked, what differs between the arms, and what counts as an answer.

    question = "Does masking what a teacher is unsure of help?"
    seeds = "0-4"
    tasks = ["cola", "mrpc"]
    task_data = "data/glue"

    [pretrain]                      # shared by all arms: any setting of `maskwise pretrain`
    data.path = "data/wiki"
    trainer.max_steps = 2000

    [[backbones]]
    name = "tiny"
    preset = "tiny"

    [[arms]]
    name = "random"

    [[arms]]
    name = "high"
    recipe = "entropy-high"
    settings.masking.rate = 0.2     # what is not in the recipe

    [statistics]
    family = [["high", "random"]]   # each pair on each backbone and task is one hypothesis of the family
    margin = 0.01                   # the largest difference that would not matter; see `statistics.py` for the rest

A table `[scale.NAME]` is laid over the rest when that scale is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from maskwise.errors import InputError, nearest
from maskwise.files.checkpoint_names import folder_unless_hub
from maskwise.lab.config import Tree, merge
from maskwise.lab.evaluation.zero_shot import (
    check_zero_shot_metric,
    check_zero_shot_tasks,
    is_zero_shot,
    parse_zero_shot,
)
from maskwise.lab.faults import explain_fault
from maskwise.lab.records.record import HELD_OUT, LESS_IS_BETTER
from maskwise.lab.study.check_budgets import check_named, check_taken, check_timed
from maskwise.lab.study.declaration import Arm, Backbone, Declaration, Teacher
from maskwise.lab.study.references import check_names, check_reference, check_teacher
from maskwise.lab.study.statistics import Statistics, check_statistics
from maskwise.lab.study.task_tuning import check_tuning
from maskwise.lab.tasks.table import find_task
from maskwise.recipes import load_recipe, read_toml
from maskwise.recipes.masking_keys import score_text

__all__ = ["HELD_OUT", "LESS_IS_BETTER", "Arm", "Backbone", "Statistics", "Study", "check_study", "load_study"]

HELD_OUT_METRICS = ("loss", "perplexity", "top1", "top5")  # HELD_OUT is among the tasks if it is a hypothesis too
FULL_SCALE = "paper"


class Study(Declaration):
    """A study, checked when it is made: everything that its results depend on, and what counts as an answer.

    Fields are the tables of a study file; tables may be given as mappings.

    Attributes:
        question: What the report is titled.
        seeds: Pretraining seeds, as "0-4" or a list; at least two.
        tuning_seeds: Fine-tuning seeds of every pretrained model.
        tasks: What models are tuned on or asked about, such as "pos" and "pairs:blimp"; "held_out" for the evaluation.
        task_data: A folder of task folders; by default the hub.
        adapt: Whether to pretrain on each task's own text, from a checkpoint.
        adapt_block: Tokens of a block of that text.
        equal: What arms have alike: "steps", "compute" or "seconds".
        equal_to: The arm whose compute or seconds; by default the first.
        keep_models: Whether tuned models keep their weights.
        backbones: The models; see `Backbone`.
        arms: The ways of masking; see `Arm`.
        pretrain: Settings of `pretrain` that all arms share.
        tune: Settings of `finetune`, and a table for each task that differs.
        teacher: One teacher for each pretraining seed.
        not_pretrained: Whether to tune the weights that each seed's arms start from, too.
        statistics: What is compared: the family, the margin, `gain_of` and what is expected.

    Raises:
        InputError: Something is missing, unknown or contradicts itself: one seed, an arm that the family names and
            nobody declared, no task.

    >>> study = Study(
    ...     seeds="0-5", tasks=["held_out"], pretrain={"data": {"path": "data"}},
    ...     backbones=[Backbone("tiny", preset="tiny")], arms=[Arm("random"), Arm("whole-word")],
    ...     statistics={"family": [["whole-word", "random"]], "margin": 0.01},
    ... )
    >>> [arm.name for arm in study.arms]
    ['random', 'whole-word']
    """

    def __init__(self, **tables: Any) -> None:
        try:
            super().__init__(**tables)
        except ValidationError as error:
            raise InputError("\n".join(dict.fromkeys(_explain(fault) for fault in error.errors()[:3]))) from None
        _check(self)

    @classmethod
    def recorded(cls, tables: Mapping[str, Any]) -> Study:
        """Returns the study of a folder, which was checked and resolved when it began; nothing else is looked at.

        Raises:
            ValidationError: A field is missing or of another type.
        """
        study = cls.__new__(cls)
        Declaration.__init__(study, **tables)
        return study


def load_study(name: str | Path, *, scale: str | None = None, changes: Mapping[str, Any] | None = None) -> Study:
    """Returns the checked study of a file, or of a ready one by name.

    Args:
        name: The path of a study file, or the name of a ready study.
        scale: The `[scale.NAME]` table to lay over it.
        changes: Tables of settings that come last, such as `{"seeds": [0, 1]}`.

    Returns:
        The study, for `run_study`.

    Raises:
        InputError: For anything that could not run, before anything runs.

    >>> [arm.name for arm in load_study("typhoon", scale="tiny").arms][:2]
    ['random', 'whole-word']
    """
    return check_study(study_tree(name, scale=scale, changes=changes))


def study_tree(name: str | Path, *, scale: str | None = None, changes: Mapping[str, Any] | None = None) -> Tree:
    """Returns the tables of a study's file with its scale and the changes laid over them, unchecked."""
    tree = read_toml(find_study(name))
    scales = tree.pop("scale", {})
    if scale not in (None, FULL_SCALE, *scales):
        known = ", ".join((FULL_SCALE, *scales))
        raise InputError(f"{name} has no scale {scale!r}.{nearest(str(scale), scales)} Known: {known}.")
    return _with_folders(merge(merge(tree, scales.get(scale, {})), changes or {}))


def _with_folders(value: Any, key: str = "") -> Any:
    """Returns tables with every checkpoint and teacher as a folder or `hub:NAME`: a bare name asks no hub."""
    if isinstance(value, Mapping):
        return {name: _with_folders(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_folders(inner) for inner in value]
    return folder_unless_hub(value) if key in ("checkpoint", "teacher") and isinstance(value, str) else value


def find_study(name: str | Path) -> Path:
    """Returns the path of a study file, or of the package's ready one of that name; raises InputError for neither."""
    if not isinstance(name, str | Path):
        raise InputError(
            f"A study is named by its file, or by the name of a ready one; found {type(name).__name__}. Write "
            "load_study('study.toml')."
        )
    name = str(name)
    if Path(name).is_file():
        return Path(name)
    known = study_names()
    short = name.removesuffix(".toml")
    if short not in known:
        raise InputError(f"There is no study file {name!r}.{nearest(short, known)} Ready ones: {', '.join(known)}.")
    return Path(str(resources.files("maskwise.lab.study.ready") / f"{short}.toml"))


def study_names() -> list[str]:
    """Returns the names of the study files in the package."""
    files = resources.files("maskwise.lab.study.ready").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def check_study(tree: Mapping[str, Any]) -> Study:
    """Returns the study of these tables; raises InputError for what contradicts itself."""
    return Study(**tree)


def _check(study: Declaration) -> None:
    _check_seeds(study)
    _check_arms(study)
    _check_budgets(study)
    _check_backbones(study)
    _check_tasks(study)
    _check_family(study)
    check_teacher(study)
    check_reference(study)
    check_tuning(study.tune, study.tuned_tasks)


def _check_seeds(study: Declaration) -> None:
    if len(study.seeds) < 2:
        raise InputError(
            f"seeds has {len(study.seeds)} seed. A difference between arms has to be held against the difference "
            "between seeds: give at least 2; an exact test can reach .05 from 6 on."
        )


def _check_arms(study: Declaration) -> None:
    if len(study.arms) < 2:
        raise InputError(f"The study has {len(study.arms)} arms; a comparison takes at least 2.")
    _refuse_repeats("arm", [arm.name for arm in study.arms])
    check_names([arm.name for arm in study.arms], study)
    seen: dict[str, str] = {}
    for arm in study.arms:
        load_recipe(arm.recipe_name)
        budget = (arm.equal or study.equal, arm.equal_to or study.equal_to)
        does = repr((arm.recipe_name, *budget, arm.score and score_text(arm.score), arm.settings))
        if does in seen:
            raise InputError(f"The arms {seen[does]!r} and {arm.name!r} are the same: recipe, settings and budget.")
        seen[does] = arm.name


def _check_budgets(study: Declaration) -> None:
    equal_to = {arm.name: arm.equal_to for arm in study.arms}
    check_named(equal_to, study.equal_to)
    others = {arm.name: study.equal_of(arm)[1] for arm in study.arms}
    check_taken(equal_to, {name: other.name if other else None for name, other in others.items()})


def _check_backbones(study: Declaration) -> None:
    if not study.backbones:
        raise InputError('There is no backbone. Add [[backbones]] with a name, and preset = "tiny" or a checkpoint.')
    _refuse_repeats("backbone", [backbone.name for backbone in study.backbones])
    data = "task" if study.adapt else None
    for backbone in study.backbones:
        if (backbone.preset is None) == (backbone.checkpoint is None):
            raise InputError(f"The backbone {backbone.name!r} needs a preset or a checkpoint: one of the two.")
        if study.adapt and backbone.checkpoint is None:
            raise InputError(
                f"The backbone {backbone.name!r} starts from scratch, and adapt = true continues from a checkpoint."
            )
        for arm in study.arms:
            settings = study.settings(arm, backbone, study.seeds[0], data)
            if arm in study.timed_arms:
                check_timed(arm.name, settings)


def _check_tasks(study: Declaration) -> None:
    _refuse_repeats("task", study.tasks)
    if not study.tasks:
        raise InputError(f'tasks is empty. Name tasks, or "{HELD_OUT}" to compare pretraining by its evaluation alone.')
    if study.adapt and not study.tuned_tasks:
        raise InputError("adapt = true pretrains on a task's own text; tasks names none.")
    for task, metric in study.statistics.metrics.items():
        if task != HELD_OUT:
            _check_task(task)
        elif metric not in HELD_OUT_METRICS:
            raise InputError(f"The evaluation has no metric {metric!r}. Known: {', '.join(HELD_OUT_METRICS)}.")
    if study.zero_shot_tasks and study.task_data is None:
        raise InputError(f"task_data is missing: the folder with the data of {study.zero_shot_tasks[0]!r}.")
    check_zero_shot_tasks(study.tasks)
    for task in study.graded_tasks:
        _check_task(task)
    for task in study.zero_shot_tasks:
        check_zero_shot_metric(task, study.metric(task))


def _check_task(task: str) -> None:
    if is_zero_shot(task):
        parse_zero_shot(task)
    else:
        find_task(task)


def _check_family(study: Declaration) -> None:
    check_statistics(study.statistics, [arm.name for arm in study.arms], study.tasks)
    _refuse_repeats("comparison", ["/".join(sorted(pair)) for pair in study.statistics.family])


def _refuse_repeats(what: str, names: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"The {what} {repeated[0]!r} is there twice. Give each its own name, or leave one out.")


def _explain(fault: Any) -> str:
    if fault["type"] == "missing" and ".".join(map(str, fault["loc"])) in ("statistics", "statistics.margin"):
        return (
            "statistics.margin is missing: say before anything runs which difference would not matter, in the "
            "metric's own units (0.01 is one point of accuracy) or as a share of pretraining's gain ('5%')."
        )
    return explain_fault(fault, _section_fields)


def _section_fields(location: tuple[Any, ...]) -> list[str]:
    sections = {"arms": Arm, "backbones": Backbone, "statistics": Statistics, "teacher": Teacher}
    section = sections.get(str(location[0]), Declaration) if location else Declaration
    return list(section.model_fields)
