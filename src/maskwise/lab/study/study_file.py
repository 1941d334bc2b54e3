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

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from maskwise.errors import InputError, nearest
from maskwise.files.path_names import checked_path_name
from maskwise.lab.config import PretrainSettings, Tree, merge, resolve
from maskwise.lab.study.check_budgets import check_named, check_taken, check_timed
from maskwise.lab.study.seeds import read_seeds
from maskwise.lab.study.statistics import REFERENCES, Statistics, check_statistics
from maskwise.lab.tasks.table import find_task
from maskwise.lab.tuning.settings import resolve_tuning
from maskwise.recipes import load_recipe, read_toml

HELD_OUT = "held_out"  # the held-out evaluation of pretraining, listed among the tasks where it is a hypothesis too
HELD_OUT_METRICS = ("loss", "perplexity", "top1", "top5")
LESS_IS_BETTER = frozenset({"loss", "perplexity"})
FULL_SCALE = "paper"
NO_END = (
    10**6
)  # a patience that never runs out: the held-out evaluation chooses the checkpoint and does not end the run

Equal = Literal["steps", "compute", "seconds"]
Seeds = Annotated[tuple[int, ...], BeforeValidator(read_seeds)]
ArmName = Annotated[str, AfterValidator(partial(checked_path_name, what="arm"))]
BackboneName = Annotated[str, AfterValidator(partial(checked_path_name, what="backbone"))]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Section):
    """A way of masking: a recipe, and settings laid over it and over what is shared."""

    name: ArmName
    recipe: str = Field(default="", description="default: the arm's name")
    equal: Equal | None = Field(default=None, description="default: the study's")
    equal_to: str | None = Field(default=None, description="the arm whose flops or seconds; default: the study's")
    settings: Tree = Field(default_factory=dict)


class Backbone(_Section):
    """A model: a preset from scratch, or a checkpoint continued; its own settings are laid over what is shared."""

    name: BackboneName
    preset: str | None = None
    checkpoint: str | None = None
    settings: Tree = Field(default_factory=dict)

    @property
    def model(self) -> str:
        """What is trained, by preset or path."""
        return self.preset or self.checkpoint or ""


class Study(_Section):
    """Everything that a study's results depend on."""

    question: str = ""
    seeds: Seeds = Field(description="pretraining seeds, as 0-4 or a list")
    tuning_seeds: Seeds = Field(default=(0,), description="fine-tuning seeds of every pretrained model")
    tasks: tuple[str, ...] = ()
    task_data: str | None = Field(default=None, description="a folder of task folders; default: the hub")
    adapt: bool = Field(default=False, description="pretrain on each task's own text instead of pretrain.data.path")
    adapt_block: int = Field(default=128, ge=8, description="adapt: tokens of a block")
    equal: Equal = Field(default="steps", description="compute: counted flops; seconds: of training, measured here")
    equal_to: str | None = Field(default=None, description="the arm whose flops or seconds; default: the first")
    keep_models: bool = Field(default=False, description="keep the weights of tuned models too")
    backbones: tuple[Backbone, ...]
    arms: tuple[Arm, ...]
    pretrain: Tree = Field(default_factory=dict)
    tune: Tree = Field(default_factory=dict)
    statistics: Statistics

    @property
    def tuned_tasks(self) -> tuple[str, ...]:
        """The tasks that models are tuned on: all but the evaluation."""
        return tuple(task for task in self.tasks if task != HELD_OUT)

    def equal_of(self, arm: Arm) -> tuple[Equal, Arm | None]:
        """Returns what an arm has alike with another, and that one; None where it trains as its settings say."""
        equal = arm.equal or self.equal
        name = arm.equal_to or self.equal_to or self.arms[0].name
        if equal == "steps" or name == arm.name:
            return "steps", None
        return equal, next(other for other in self.arms if other.name == name)

    @property
    def timed_arms(self) -> tuple[Arm, ...]:
        """The arms whose steps are timed: those that get the seconds of another, and these others."""
        pairs = [(arm, other) for arm in self.arms for equal, other in [self.equal_of(arm)] if equal == "seconds"]
        named = {arm.name for pair in pairs for arm in pair if arm is not None}
        return tuple(arm for arm in self.arms if arm.name in named)

    @property
    def asks_for_labels(self) -> bool:
        """Whether an arm takes Typhoon's loss from the labels of the text that it is trained on."""
        every = (self.settings(arm, backbone, 0, "task") for backbone in self.backbones for arm in self.arms)
        typhoons = (settings.masking.typhoon for settings in every)
        return any(one is not None and one.loss == "task" and one.task_data is None for one in typhoons)

    def metric(self, task: str) -> str:
        """Returns the metric that a task's hypotheses are about."""
        return self.statistics.metrics.get(task) or ("loss" if task == HELD_OUT else find_task(task).primary)

    def settings(self, arm: Arm, backbone: Backbone, seed: int, data: str | Path | None = None) -> PretrainSettings:
        """Returns the settings of one pretraining run; `data` replaces the shared data folder.

        Recipe, then what is shared, then the backbone's, then the arm's own. Raises InputError that names the arm.
        """
        name = arm.recipe or arm.name
        model = {"preset": backbone.preset, "checkpoint": backbone.checkpoint}
        own = {"recipe": name, "seed": seed, "model": model} | ({"data": {"path": str(data)}} if data else {})
        chosen = {"stopping": {"patience": NO_END, "trained_only": True}} if self.adapt else {}
        try:
            return resolve(load_recipe(name), chosen, self.pretrain, backbone.settings, arm.settings, own)
        except InputError as error:
            raise InputError(f"Arm {arm.name!r} on {backbone.name!r}: {error}") from None


def load_study(name: str, *, scale: str | None = None, changes: Mapping[str, Any] | None = None) -> Study:
    """Returns the checked study of a file, or of a ready one by name.

    `scale` names a `[scale.NAME]` table to lay over it, `changes` come last. Raises InputError for anything that could
    not run, before anything runs.
    """
    return check_study(study_tree(name, scale=scale, changes=changes))


def study_tree(name: str, *, scale: str | None = None, changes: Mapping[str, Any] | None = None) -> Tree:
    """Returns the tables of a study's file with its scale and the changes laid over them, unchecked."""
    tree = read_toml(find_study(name))
    scales = tree.pop("scale", {})
    if scale not in (None, FULL_SCALE, *scales):
        known = ", ".join((FULL_SCALE, *scales))
        raise InputError(f"{name} has no scale {scale!r}.{nearest(str(scale), scales)} Known: {known}.")
    return merge(merge(tree, scales.get(scale, {})), changes or {})


def find_study(name: str) -> Path:
    """Returns the path of a study file, or of the package's ready one of that name; raises InputError for neither."""
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
    try:
        study = Study.model_validate(tree)
    except ValidationError as error:
        raise InputError("\n".join(dict.fromkeys(_explain(fault) for fault in error.errors()[:3]))) from None
    _check_seeds(study)
    _check_arms(study)
    _check_budgets(study)
    _check_backbones(study)
    _check_tasks(study)
    _check_family(study)
    resolve_tuning(study.tune)
    return study


def _check_seeds(study: Study) -> None:
    if len(study.seeds) < 2:
        raise InputError(
            f"seeds has {len(study.seeds)} seed. A difference between arms has to be held against the difference "
            "between seeds: give at least 2; an exact test can reach .05 from 6 on."
        )


def _check_arms(study: Study) -> None:
    if len(study.arms) < 2:
        raise InputError(f"The study has {len(study.arms)} arms; a comparison takes at least 2.")
    _refuse_repeats("arm", [arm.name for arm in study.arms])
    taken = [arm.name for arm in study.arms if arm.name in REFERENCES]
    if taken:
        raise InputError(
            f"The arm {taken[0]!r} has the name that results give to models without pretraining, which "
            "statistics.gain_of asks for. Give it another name."
        )
    seen: dict[str, str] = {}
    for arm in study.arms:
        load_recipe(arm.recipe or arm.name)
        does = repr((arm.recipe or arm.name, arm.equal or study.equal, arm.equal_to or study.equal_to, arm.settings))
        if does in seen:
            raise InputError(f"The arms {seen[does]!r} and {arm.name!r} are the same: recipe, settings and budget.")
        seen[does] = arm.name


def _check_budgets(study: Study) -> None:
    equal_to = {arm.name: arm.equal_to for arm in study.arms}
    check_named(equal_to, study.equal_to)
    others = {arm.name: study.equal_of(arm)[1] for arm in study.arms}
    check_taken(equal_to, {name: other.name if other else None for name, other in others.items()})


def _check_backbones(study: Study) -> None:
    if not study.backbones:
        raise InputError('There is no backbone. Add [[backbones]] with a name, and preset = "tiny" or a checkpoint.')
    _refuse_repeats("backbone", [backbone.name for backbone in study.backbones])
    data = "task" if study.adapt else None
    for backbone in study.backbones:
        if (backbone.preset is None) == (backbone.checkpoint is None):
            raise InputError(f"The backbone {backbone.name!r} needs a preset or a checkpoint: one of the two.")
        if study.adapt and backbone.checkpoint is None:
            raise InputError(
                f"The backbone {backbone.name!r} starts from scratch, and adapt = true goes on from a checkpoint."
            )
        for arm in study.arms:
            settings = study.settings(arm, backbone, study.seeds[0], data)
            if arm in study.timed_arms:
                check_timed(arm.name, settings)


def _check_tasks(study: Study) -> None:
    _refuse_repeats("task", study.tasks)
    if not study.tasks:
        raise InputError(f'tasks is empty. Name tasks, or "{HELD_OUT}" to compare pretraining by its evaluation alone.')
    if study.adapt and not study.tuned_tasks:
        raise InputError("adapt = true pretrains on a task's own text; tasks names none.")
    for task, metric in study.statistics.metrics.items():
        if task != HELD_OUT:
            find_task(task)
        elif metric not in HELD_OUT_METRICS:
            raise InputError(f"The evaluation has no metric {metric!r}. Known: {', '.join(HELD_OUT_METRICS)}.")
    for task in study.tuned_tasks:
        find_task(task)


def _check_family(study: Study) -> None:
    check_statistics(study.statistics, [arm.name for arm in study.arms], study.tasks)
    _refuse_repeats("comparison", ["/".join(sorted(pair)) for pair in study.statistics.family])


def _refuse_repeats(what: str, names: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"The {what} {repeated[0]!r} is there twice. Give each its own name, or leave one out.")


def _explain(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _fields_at(fault["loc"][:-1])
        return f"Unknown setting {where!r}.{nearest(str(fault['loc'][-1]), known)} Known: {', '.join(known)}."
    if fault["type"] == "missing":
        if where == "statistics.margin" or where == "statistics":
            return (
                "statistics.margin is missing: say before anything runs which difference would not matter, in the "
                "metric's own units (0.01 is one point of accuracy) or as a share of pretraining's gain ('5%')."
            )
        return f"The setting {where!r} is missing."
    text = fault["msg"].removeprefix("Value error, ")
    known = re.findall(r"'([^']*)'", fault["ctx"]["expected"]) if fault["type"] == "literal_error" else []
    return f"Setting {where!r}: {text}; found {fault['input']!r}.{nearest(str(fault['input']), known)}"


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    sections = {"arms": Arm, "backbones": Backbone, "statistics": Statistics}
    section = sections.get(str(location[0]), Study) if location else Study
    return list(section.model_fields)
