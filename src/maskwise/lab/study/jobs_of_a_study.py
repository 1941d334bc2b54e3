"""The cells of a study: every job it is made of, where each leaves its work, and which one waits for which.

A study's folder holds

    study.toml                                      resolved: a folder belongs to one study
    data/<backbone>-<task>                          adapt: a task's own text as token blocks
    speed/<arm>/<backbone>[-<task>]                 equal seconds: a short run that is timed
    runs/<arm>/<backbone>/<seed>/pretrain           a run folder; adapt: pretrain-<task>
    runs/<arm>/<backbone>/<seed>/<task>             <task>/seed-<tuning seed>, as `maskwise finetune` makes it
    runs/.../<cell>.log, <cell>.cost.jsonl          what the cell printed, and what each attempt at it cost
    results.parquet                                 written when the study ends or is stopped
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maskwise.lab.records.run_folder import DONE
from maskwise.lab.study.study_file import Arm, Backbone, Study

FINETUNED = "results.json"
SPEED = "speed"
LABEL = "label"  # the column of a task's classes, where an arm asks for them


@dataclass(frozen=True)
class Cell:
    """One job: its command line, and the file that exists when it is done. `prepare` makes what the command reads."""

    name: str
    folder: Path
    arguments: Sequence[str]
    done: Path
    needs: tuple[str, ...] = ()
    prepare: Callable[[], None] | None = field(default=None, compare=False)
    flops: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether the cell's last file is there."""
        return self.done.exists()

    @property
    def log(self) -> Path:
        """What the cell printed."""
        return log_file(self.folder)

    @property
    def cost(self) -> Path:
        """One line an attempt: its seconds and peak memory."""
        return cost_file(self.folder)


@dataclass(frozen=True)
class Place:
    """One arm, backbone and seed; `task` is set where pretraining is on that task's text."""

    arm: Arm
    backbone: Backbone
    seed: int
    task: str | None = None

    def folder(self, out: Path) -> Path:
        """Returns the run folder."""
        return self.root(out) / (f"pretrain-{self.task}" if self.task else "pretrain")

    def root(self, out: Path) -> Path:
        """Returns the folder of the run and of all that is tuned from it."""
        return out / "runs" / self.arm.name / self.backbone.name / str(self.seed)

    def speed_folder(self, out: Path) -> Path:
        """Returns the folder of the short run that is timed, alike for all seeds."""
        return out / self.speed_name

    @property
    def speed_name(self) -> str:
        """The name of the cell of that short run."""
        return f"{SPEED}/{self.arm.name}/{self.backbone.name}" + (f"-{self.task}" if self.task else "")

    @property
    def name(self) -> str:
        """The cell's name."""
        return f"{self.arm.name}/{self.backbone.name}/{self.seed}/pretrain" + (f"-{self.task}" if self.task else "")


def places(study: Study) -> list[Place]:
    """Returns every pretraining run; seeds vary slowest, so that a stopped study has whole pairs."""
    tasks = study.tuned_tasks if study.adapt else (None,)
    return [
        Place(arm, backbone, seed, task)
        for seed in study.seeds
        for backbone in study.backbones
        for task in tasks
        for arm in study.arms
    ]


def data_folder(out: Path, backbone: Backbone, task: str) -> Path:
    """Returns where a task's own text is prepared for a backbone."""
    return out / "data" / f"{backbone.name}-{task}"


def tasks_of(study: Study, place: Place) -> tuple[str, ...]:
    """Returns the tasks that a pretrained model is tuned on."""
    return (place.task,) if place.task else study.tuned_tasks


def pretrain_cell(
    place: Place, out: Path, *, prepare: Callable[[], None], flops: float, needs: tuple[str, ...] = ()
) -> Cell:
    """Returns the cell of a pretraining run; `prepare` writes its settings to `settings_file`."""
    return _training_cell(place, place.name, place.folder(out), needs, prepare, flops)


def speed_cell(place: Place, out: Path, *, prepare: Callable[[], None]) -> Cell:
    """Returns the cell of the short run that says how long a step takes."""
    return _training_cell(place, place.speed_name, place.speed_folder(out), (), prepare, 0.0)


def _training_cell(
    place: Place, name: str, folder: Path, needs: tuple[str, ...], prepare: Callable[[], None], flops: float
) -> Cell:
    arguments = ["pretrain", "--config", str(settings_file(folder)), "--out", str(folder), "--resume"]
    data = (f"data/{place.backbone.name}-{place.task}",) if place.task else ()
    return Cell(name, folder, arguments, folder / DONE, (*data, *needs), prepare, flops)


def log_file(folder: Path) -> Path:
    """Returns what the cell of a folder printed."""
    return folder.with_name(folder.name + ".log")


def cost_file(folder: Path) -> Path:
    """Returns what each attempt at the cell of a folder cost."""
    return folder.with_name(folder.name + ".cost.jsonl")


def settings_file(folder: Path) -> Path:
    """Returns the file that a pretraining cell reads."""
    return folder.with_name(folder.name + ".toml")


def tune_cell(study: Study, place: Place, task: str, out: Path, *, flops: float) -> Cell:
    """Returns the cell that tunes a pretrained model on a task with every tuning seed."""
    folder = place.root(out) / task
    arguments = ["finetune", str(place.folder(out)), "--task", task, "--out", str(folder)]
    arguments += ["--seeds", ",".join(map(str, study.tuning_seeds))]
    if study.task_data:
        arguments += ["--task-data", study.task_data]
    for key, value in study.tune.items():
        arguments += ["--select-on", value] if key == "select_on" else ["--set", f"tune.{key}={_toml(value)}"]
    name = f"{place.arm.name}/{place.backbone.name}/{place.seed}/{task}"
    return Cell(name, folder, arguments, folder / FINETUNED, (place.name,), flops=flops)


def data_cell(study: Study, backbone: Backbone, task: str, out: Path, *, prepare: Callable[[], None]) -> Cell:
    """Returns the cell that turns a task's training texts into token blocks; `prepare` writes the texts."""
    folder = data_folder(out, backbone, task)
    arguments = ["prepare", str(text_file(folder)), "--out", str(folder), "--tokenizer", backbone.model]
    arguments += ["--mode", "document", "--block", str(study.adapt_block), "--min-words", "1", "--workers", "1"]
    if study.asks_for_labels:
        arguments += ["--label-column", LABEL]
    return Cell(f"data/{backbone.name}-{task}", folder, arguments, folder / "manifest.json", prepare=prepare)


def text_file(folder: Path) -> Path:
    """Returns the file of a task's texts beside the folder they are prepared in."""
    return folder.with_name(folder.name + ".jsonl")


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
