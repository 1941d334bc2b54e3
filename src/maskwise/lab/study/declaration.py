"""A study as it is declared: what is asked, the arms and the backbones, and what counts as an answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from maskwise.errors import InputError
from maskwise.files.path_names import checked_path_name
from maskwise.lab.config import PretrainSettings, Tree, check_settings, merge
from maskwise.lab.evaluation.zero_shot import is_zero_shot, primary_metric
from maskwise.lab.pretraining.own_score import OwnScore
from maskwise.lab.records.record import HELD_OUT
from maskwise.lab.study.seeds import read_seeds
from maskwise.lab.study.statistics import AS_GIVEN, NOT_PRETRAINED, Statistics
from maskwise.lab.study.task_tuning import task_tuning, task_tuning_seeds
from maskwise.lab.tasks.table import find_task
from maskwise.lab.tuning.settings import TuneSettings
from maskwise.recipes import load_recipe
from maskwise.recipes.masking_keys import score_text

NO_END = 10**6  # a patience that never runs out: the evaluation chooses the checkpoint and does not end the run
TEACHER = "teacher"
PLANNED_TEACHER = "the seed's teacher"  # stands for one that is not trained yet

Equal = Literal["steps", "compute", "seconds"]
Seeds = Annotated[tuple[int, ...], BeforeValidator(read_seeds)]
ArmName = Annotated[str, AfterValidator(partial(checked_path_name, what="arm"))]
BackboneName = Annotated[str, AfterValidator(partial(checked_path_name, what="backbone"))]
TaskName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(:[A-Za-z0-9][A-Za-z0-9._-]*)?$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _paths_as_text(cls, tables: Any) -> Any:
        return _with_text(tables)


class _Named(_Section):
    def __init__(self, name: str | None = None, /, **settings: Any) -> None:
        super().__init__(**({} if name is None else {"name": name}), **settings)


class Arm(_Named):
    """A way of masking: a recipe, and settings laid over it and over what is shared.

    Attributes:
        name: What results call it.
        recipe: The recipe; by default the arm's name, or `random` for an arm with a score.
        score: Your own: a function, or its text `package.module:function`.
        equal: What it has alike with another arm: "steps", "compute" or "seconds"; by default the study's.
        equal_to: The arm whose compute or seconds it gets; by default the study's.
        settings: What is laid over the recipe and the shared settings.
        recipe_settings: What the recipe held when the study was declared; made by the study itself.

    >>> Arm("rare", score="mine:rare").recipe_name, Arm("whole-word").recipe_name
    ('random', 'whole-word')
    """

    name: ArmName
    recipe: str = Field(default="", description="default: the arm's name, or random for an arm with a score")
    score: OwnScore = Field(default=None, description="your own: a function, or package.module:function")
    equal: Equal | None = Field(default=None, description="default: the study's")
    equal_to: str | None = Field(default=None, description="the arm whose flops or seconds; default: the study's")
    settings: Tree = Field(default_factory=dict)
    recipe_settings: Tree = Field(default_factory=dict, description="what the recipe held when the study was declared")

    @property
    def recipe_name(self) -> str:
        """The recipe."""
        return self.recipe or ("random" if self.score is not None else self.name)


class Backbone(_Named):
    """A model: a preset from scratch, or a checkpoint continued; its own settings are laid over what is shared.

    Attributes:
        name: What results call it.
        preset: A preset or the path of a config.json, from scratch;
        checkpoint: or a checkpoint that is continued.
        settings: What is laid over the shared settings.

    >>> Backbone("small", preset="tiny").model
    'tiny'
    """

    name: BackboneName
    preset: str | None = None
    checkpoint: str | None = None
    settings: Tree = Field(default_factory=dict)

    @property
    def model(self) -> str:
        """What is trained, by preset or path."""
        return self.preset or self.checkpoint or ""


class Teacher(_Section):
    """One teacher for each pretraining seed, trained with the budget and on the text of the arms, shared by them."""

    recipe: str = "random"
    seed_offset: int = Field(default=1000, ge=1, description="added to a pretraining seed: the seed of its teacher")
    settings: Tree = Field(default_factory=dict, description="laid over what is shared, as an arm's")
    recipe_settings: Tree = Field(default_factory=dict, description="what the recipe held when the study was declared")


class Declaration(_Section):
    """Everything that a study's results depend on. Nothing is checked that takes more than one field: see `Study`."""

    question: str = ""
    seeds: Seeds = Field(description="pretraining seeds, as 0-4 or a list")
    tuning_seeds: Seeds = Field(default=(0,), description="fine-tuning seeds of every pretrained model")
    tasks: tuple[TaskName, ...] = ()
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
    teacher: Teacher | None = Field(default=None, description="one for each pretraining seed")
    not_pretrained: bool = Field(default=False, description="tune the weights that each seed's arms start from, too")
    statistics: Statistics

    def arm(self, name: str) -> Arm:
        """Returns the arm of this name."""
        return next(arm for arm in self.arms if arm.name == name)

    def backbone(self, name: str) -> Backbone:
        """Returns the backbone of this name."""
        return next(backbone for backbone in self.backbones if backbone.name == name)

    @property
    def graded_tasks(self) -> tuple[str, ...]:
        """The tasks that pretrained models are tuned on or asked about: all but the held-out evaluation."""
        return tuple(task for task in self.tasks if task != HELD_OUT)

    @property
    def tuned_tasks(self) -> tuple[str, ...]:
        """The tasks that models are tuned on."""
        return tuple(task for task in self.graded_tasks if not is_zero_shot(task))

    @property
    def zero_shot_tasks(self) -> tuple[str, ...]:
        """The tasks that models are asked about as they are."""
        return tuple(task for task in self.graded_tasks if is_zero_shot(task))

    @property
    def rows(self) -> tuple[str, ...]:
        """The arms' names, and those that results give to models without pretraining and to teachers."""
        kinds = {NOT_PRETRAINED if backbone.checkpoint is None else AS_GIVEN: None for backbone in self.backbones}
        references = tuple(kinds) if self.has_reference else ()
        return (*(arm.name for arm in self.arms), *references, *((TEACHER,) if self.teacher else ()))

    @property
    def has_reference(self) -> bool:
        """Whether models without pretraining are tuned too: for their own sake, or as the start of a gain."""
        return self.not_pretrained or self.statistics.gain_of is not None

    def equal_of(self, arm: Arm) -> tuple[Equal, Arm | None]:
        """Returns what an arm has alike with another, and that one; None if it trains as its settings say."""
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
        default = {HELD_OUT: "loss"} | ({task: primary_metric(task)} if is_zero_shot(task) else {})
        return self.statistics.metrics.get(task) or default.get(task) or find_task(task).primary

    def tuning(self, task: str) -> TuneSettings:
        """Returns the settings that a task is tuned with."""
        return task_tuning(self.tune, task)

    def tuning_seeds_of(self, task: str) -> tuple[int, ...]:
        """Returns the seeds that every pretrained model is tuned with on a task."""
        return task_tuning_seeds(self.tune, task, self.tuning_seeds)

    def settings(
        self, arm: Arm, backbone: Backbone, seed: int, data: str | Path | None = None, teacher: str | None = None
    ) -> PretrainSettings:
        """Returns the settings of one pretraining run: recipe, then what is shared, the backbone's, and the arm's own.

        Args:
            arm: The arm.
            backbone: The backbone.
            seed: The pretraining seed.
            data: A data folder instead of the shared one.
            teacher: The seed's teacher, if the study has one for each; default: a name that stands for it.

        Raises:
            InputError: The settings contradict one another; the message names the arm.
        """
        own: Tree = {"masking": {"score": score_text(arm.score)}} if arm.score is not None else {}
        if self.teacher is not None:
            own["teacher"] = teacher or PLANNED_TEACHER
        recipe = arm.recipe_settings or load_recipe(arm.recipe_name)
        last = _last(arm.recipe_name, backbone, seed, data)
        settings = _resolve(f"Arm {arm.name!r}", backbone, recipe, self._shared(backbone), arm.settings, own, last)
        if self.teacher is not None and not settings.needs_teacher:
            return settings.model_copy(update={"teacher": None})
        return settings

    def teacher_settings(self, backbone: Backbone, seed: int, data: str | Path | None = None) -> PretrainSettings:
        """Returns the settings of the teacher of a pretraining seed."""
        one = self.teacher
        assert one is not None
        recipe = one.recipe_settings or load_recipe(one.recipe)
        last = _last(one.recipe, backbone, seed + one.seed_offset, data)
        return _resolve("The teacher", backbone, recipe, self._shared(backbone), one.settings, last)

    def initial_settings(self, backbone: Backbone, seed: int) -> PretrainSettings:
        """Returns settings that describe the weights which a seed's arms start from."""
        shared = {name: value for name, value in self._shared(backbone).items() if name in ("data", "model")}
        return _resolve("The start of all arms", backbone, shared, _last("random", backbone, seed, None))

    def _shared(self, backbone: Backbone) -> Tree:
        chosen = {"stopping": {"patience": NO_END, "trained_only": True}} if self.adapt else {}
        return merge(merge(chosen, self.pretrain), backbone.settings)

    def resolved(self) -> Self:
        """Returns the study with all that it takes from recipes and tables written out: what its folder keeps."""
        arms = tuple(
            arm.model_copy(update={"recipe_settings": arm.recipe_settings or load_recipe(arm.recipe_name)})
            for arm in self.arms
        )
        teacher = self.teacher
        if teacher is not None:
            own = teacher.recipe_settings or load_recipe(teacher.recipe)
            teacher = teacher.model_copy(update={"recipe_settings": own})
        metrics = {task: self.metric(task) for task in self.tasks} | self.statistics.metrics
        statistics = self.statistics.model_copy(update={"metrics": metrics})
        return self.model_copy(update={"arms": arms, "teacher": teacher, "statistics": statistics})


def _with_text(value: Any) -> Any:
    """Returns nested tables with the names of paths, and of what stands for a path, instead of these."""
    if isinstance(value, Mapping):
        return {key: _with_text(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_text(inner) for inner in value]
    return fspath(value) if isinstance(value, PathLike) else value


def _last(recipe: str, backbone: Backbone, seed: int, data: str | Path | None) -> Tree:
    model = {"preset": backbone.preset, "checkpoint": backbone.checkpoint}
    return {"recipe": recipe, "seed": seed, "model": model} | ({"data": {"path": str(data)}} if data else {})


def _resolve(whose: str, backbone: Backbone, *layers: Tree) -> PretrainSettings:
    try:
        return check_settings(*layers)
    except InputError as error:
        raise InputError(f"{whose} on {backbone.name!r}: {error}") from None
