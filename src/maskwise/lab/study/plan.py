"""What a study will do, what that costs, and what it can find: known before anything runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.lab.config import to_toml
from maskwise.lab.study.budget import ArmBudget, Corpus, arm_budget, short_settings
from maskwise.lab.study.estimate import expected_corpus, seconds_for, tuning_flops
from maskwise.lab.study.jobs_of_a_study import (
    LABEL,
    SPEED,
    Cell,
    Place,
    data_cell,
    data_folder,
    places,
    pretrain_cell,
    settings_file,
    speed_cell,
    tasks_of,
    text_file,
    tune_cell,
)
from maskwise.lab.study.outline import outline
from maskwise.lab.study.power_statement import power_statement
from maskwise.lab.study.study_file import Study
from maskwise.lab.tasks.classification import TaskData
from maskwise.lab.tasks.table import find_task
from maskwise.lab.tuning.kinds import kind_of
from maskwise.lab.tuning.metrics import metric_names
from maskwise.progress import format_seconds


@dataclass(frozen=True)
class Plan:
    """The cells in the order they run, and each arm's budget by (arm, backbone, task or None)."""

    study: Study
    out: Path
    cells: tuple[Cell, ...]
    budgets: dict[tuple[str, str, str | None], ArmBudget]

    def seconds(self, jobs: int) -> float:
        """Returns a rough guess of how long the unfinished cells take on this machine."""
        left = [cell for cell in self.cells if not cell.is_done]
        return seconds_for(sum(cell.flops for cell in left), len(left), jobs)

    def describe(self, jobs: int = 1) -> str:
        """Returns the plan for people: runs, budgets, cost, and the statistical statement."""
        study, num_done = self.study, sum(cell.is_done for cell in self.cells)
        lines = outline(study)
        if num_done:
            lines += [f"{num_done} of {len(self.cells)} cells are done already."]
        lines += [
            "",
            *self._budget_lines(),
            *self._timing_line(),
            "",
            self._cost_line(jobs),
            "",
            *power_statement(study),
        ]
        return "\n".join(lines)

    def _budget_lines(self) -> Iterator[str]:
        width = max(len(name) for key in self.budgets for name in key if name)
        first: dict[tuple[str, str | None], float] = {}
        yield "".join(["arm".ljust(width + 2), "backbone".ljust(width + 2), "steps".rjust(9), "tokens".rjust(10),
                       "flops".rjust(11), "  of the first arm's"])  # fmt: skip
        for (arm, backbone, task), budget in self.budgets.items():
            share = budget.flops / first.setdefault((backbone, task), budget.flops)
            yield (
                f"{arm.ljust(width + 2)}{backbone.ljust(width + 2)}{budget.steps:>9,}{_short(budget.tokens):>10}"
                f"{budget.flops:>11.2e}  {share:.0%}" + (f"  {task}" if task else "")
            )

    def _timing_line(self) -> list[str]:
        left = [cell.name for cell in self.cells if cell.name.startswith(f"{SPEED}/") and not cell.is_done]
        return ["Steps at equal seconds are a guess by flops until short runs have been timed."] if left else []

    def _cost_line(self, jobs: int) -> str:
        total = sum(cell.flops for cell in self.cells)
        return (
            f"Cost: {total:.2e} flops in {len(self.cells)} cells; what is left takes about "
            f"{format_seconds(self.seconds(jobs))} on this machine with --jobs {jobs} (a guess from the speed of one "
            "matrix product)."
        )


def make_plan(study: Study, out: Path) -> Plan:
    """Returns the plan of a study; raises InputError for data, models or columns that are not there.

    Nothing is written.
    """
    tasks = {name: load_task(study, name) for name in study.tuned_tasks}
    cells, budgets = [*_data_cells(study, out, tasks), *_speed_cells(study, out)], {}
    for place in places(study):
        key = (place.arm.name, place.backbone.name, place.task)
        if key not in budgets:
            budgets[key] = arm_budget(study, place, out, _expected_corpus(study, place, out, tasks))
        prepare, flops = partial(_write_settings, study, place, out), budgets[key].flops
        cells.append(pretrain_cell(place, out, prepare=prepare, flops=flops, needs=_timed_before(study, place)))
        for task in tasks_of(study, place):
            flops = tuning_flops(study, place.backbone, tasks[task], budgets[key].settings.data.path)
            cells.append(tune_cell(study, place, task, out, flops=flops))
    return Plan(study, out, tuple(cells), budgets)


def load_task(study: Study, name: str) -> Any:
    """Returns a task's data; raises InputError if it is not there, or not what the study asks of it."""
    task = find_task(name)
    if (metric := study.metric(name)) not in metric_names(task):
        raise InputError(f"The task {name!r} has no metric {metric!r}. Known: {', '.join(metric_names(task))}.")
    data = kind_of(task).load(task, study.task_data)
    if study.adapt and not isinstance(data, TaskData):
        raise InputError(f"adapt = true pretrains on texts that are classified; {name!r} is another kind of task.")
    if study.adapt and study.asks_for_labels and not data.classes:
        raise InputError(f"An arm takes Typhoon's loss from the task itself, which needs classes; {name!r} has none.")
    return data


def _data_cells(study: Study, out: Path, tasks: dict[str, TaskData]) -> list[Cell]:
    if not study.adapt:
        return []
    return [
        data_cell(
            study, backbone, task, out, prepare=partial(_write_texts, study, data, data_folder(out, backbone, task))
        )
        for backbone in study.backbones
        for task, data in tasks.items()
    ]


def _expected_corpus(study: Study, place: Place, out: Path, tasks: dict[str, TaskData]) -> Corpus | None:
    return expected_corpus(study, place, out, tasks) if place.task else None


def _speed_cells(study: Study, out: Path) -> list[Cell]:
    return [
        speed_cell(place, out, prepare=partial(_write_short_run, study, place, out))
        for place in places(study)
        if place.seed == study.seeds[0] and place.arm in study.timed_arms
    ]


def _timed_before(study: Study, place: Place) -> tuple[str, ...]:
    """Returns the short runs that have to end before this run's number of steps is known."""
    timed = study.timed_arms if study.equal_of(place.arm)[0] != "steps" else ()
    return tuple(replace(place, arm=arm).speed_name for arm in timed)


def _write_settings(study: Study, place: Place, out: Path) -> None:
    """Writes the settings that a pretraining cell reads; the data of its task is there by now."""
    atomic_write(settings_file(place.folder(out)), to_toml(arm_budget(study, place, out).settings))


def _write_short_run(study: Study, place: Place, out: Path) -> None:
    atomic_write(settings_file(place.speed_folder(out)), to_toml(short_settings(study, place, out)))


def _write_texts(study: Study, data: TaskData, folder: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": "\n".join(pair)} for pair in zip(*data.train.texts, strict=True)]
    if study.asks_for_labels:
        rows = [row | {LABEL: label} for row, label in zip(rows, data.train.labels, strict=True)]
    folder.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(text_file(folder), "".join(json.dumps(row) + "\n" for row in rows))


def _short(number: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"
