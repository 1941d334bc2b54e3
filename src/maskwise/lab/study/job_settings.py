"""The settings of a study's jobs that are not a pretraining run: what `<job>.json` holds for their workers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from maskwise.lab.config import PretrainSettings
from maskwise.lab.tuning.settings import TuneSettings


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Start(_Settings):
    """The model that is graded: a checkpoint, or the weights that a pretraining run with these settings starts from."""

    checkpoint: str | None = None
    initial: PretrainSettings | None = None


class TaskText(_Settings):
    """A task's training texts, prepared as token blocks."""

    task: str
    task_data: str | None = None
    tokenizer: str
    block: int
    with_labels: bool = Field(default=False, description="keep the class of each text")


class Annotation(_Settings):
    """A teacher's score of every training token, stored next to the tokens."""

    data: str
    teacher: str
    statistic: str


class Tuning(_Settings):
    """A model tuned on a task with every tuning seed."""

    start: Start
    task: str
    task_data: str | None = None
    seeds: tuple[int, ...]
    settings: TuneSettings


class EvaluationSettings(_Settings):
    """A model asked without tuning: the held-out evaluation of its own data, or a zero-shot set.

    `data` is what the model was trained on, whose counts are the floor of a zero-shot set.
    """

    start: Start
    task: str
    task_data: str | None = None
    data: str
