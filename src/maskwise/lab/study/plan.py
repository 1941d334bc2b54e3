"""What a study will do, what that costs, and what it can find: known before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.lab.evaluation.zero_shot import find_task_data, parse_zero_shot
from maskwise.lab.jobs.job import Job
from maskwise.lab.records.record import HELD_OUT, RunKey
from maskwise.lab.study.budget import ArmBudget, arm_budget
from maskwise.lab.study.declaration import TEACHER
from maskwise.lab.study.estimate import expected_corpus, seconds_for, tuning_flops
from maskwise.lab.study.jobs_of_a_study import StudyJobs
from maskwise.lab.study.layout import Layout, keys_at
from maskwise.lab.study.outline import outline
from maskwise.lab.study.power_statement import power_statement
from maskwise.lab.study.study_file import Study
from maskwise.lab.study.task_text import check_adaptable
from maskwise.lab.tasks.table import find_task
from maskwise.lab.tuning.kinds import kind_of
from maskwise.lab.tuning.metrics import metric_names
from maskwise.masking.named_score import import_score
from maskwise.masking.named_unit import import_unit
from maskwise.progress import format_seconds
from maskwise.recipes.masking_keys import score_text

Budgets = Mapping[tuple[str, str, str | None], ArmBudget]


@dataclass(frozen=True)
class Plan:
    """The jobs in the order they run, and each arm's budget by (arm, backbone, task that it adapts to or None)."""

    study: Study
    out: Path
    jobs: tuple[Job, ...]
    budgets: Budgets

    def seconds(self, jobs: int) -> float:
        """Returns a rough guess of how long the unfinished jobs take on this machine."""
        left = [job for job in self.jobs if not job.is_done]
        return seconds_for(sum(job.flops for job in left), len(left), jobs)

    def describe(self, jobs: int = 1) -> str:
        """Returns the plan for people: runs, budgets, cost, and the statistical statement."""
        num_done = sum(job.is_done for job in self.jobs)
        lines = outline(self.study)
        if num_done:
            lines += [f"{num_done} of {len(self.jobs)} jobs are done already."]
        lines += ["", *self._budget_lines(), *self._timing_line(), "", self._cost_line(jobs), ""]
        lines += power_statement(self.study)
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
        left = [job.name for job in self.jobs if job.kind == "time" and not job.is_done]
        return ["Steps at equal seconds are a guess by flops until short runs have been timed."] if left else []

    def _cost_line(self, jobs: int) -> str:
        total = sum(job.flops for job in self.jobs)
        return (
            f"Cost: {total:.2e} flops in {len(self.jobs)} jobs; what is left takes about "
            f"{format_seconds(self.seconds(jobs))} on this machine with --jobs {jobs} (a guess from the speed of one "
            "matrix product)."
        )


def make_plan(study: Study, out: Path) -> Plan:
    """Returns the plan of a study; nothing is written.

    Raises:
        InputError: Data, models, columns, scores or units are not there.
    """
    layout = Layout(Path(out))
    tasks = {name: load_study_task(study, name) for name in study.tuned_tasks}
    for name in study.zero_shot_tasks:
        find_zero_shot_data(study, name)
    budgets: dict[tuple[str, str, str | None], ArmBudget] = {}
    for backbone in study.backbones:
        for key in _planned_keys(study, backbone.name):
            corpus = expected_corpus(study, key, layout, tasks) if key.adapted_to else None
            budgets[_place(key)] = arm_budget(study, key, layout, corpus)
    functions = own_functions(study)
    for name in {budget.settings.masking.score for budget in budgets.values()} - functions.keys():
        if ":" in name:
            import_score(name)
    for unit in (budget.settings.masking.unit for budget in budgets.values()):
        if isinstance(unit, str) and ":" in unit:
            import_unit(unit)

    @cache
    def tuning(backbone: str, task: str) -> float:
        data = next(iter(budgets.values())).settings.data.path
        return tuning_flops(study, study.backbone(backbone), task, tasks.get(task), data)

    def flops(key: RunKey) -> float:
        if key.task == HELD_OUT:
            return budgets[_place(key)].flops if _place(key) in budgets else 0.0
        return tuning(key.backbone, key.task)

    return Plan(study, layout.out, tuple(StudyJobs(study, layout, flops)), budgets)


def own_functions(study: Study) -> dict[str, Any]:
    """Returns the functions that arms have for their scores, by name."""
    return {score_text(arm.score): arm.score for arm in study.arms if callable(arm.score)}


def _planned_keys(study: Study, backbone: str) -> Iterator[RunKey]:
    """Yields one run of each arm, and of the teacher if there is one: budgets are alike for all seeds."""
    keys = keys_at(study, backbone, study.seeds[0])
    yield from keys
    if study.teacher is not None:
        yield from dict.fromkeys(RunKey(TEACHER, backbone, key.seed, adapted_to=key.adapted_to) for key in keys)


def _place(key: RunKey) -> tuple[str, str, str | None]:
    return key.arm, key.backbone, key.adapted_to


def load_study_task(study: Study, name: str) -> Any:
    """Returns a task's data; raises InputError if the study cannot use it."""
    task = find_task(name)
    if (metric := study.metric(name)) not in metric_names(task):
        raise InputError(f"The task {name!r} has no metric {metric!r}. Known: {', '.join(metric_names(task))}.")
    data = kind_of(task).load(task, study.task_data)
    if study.adapt:
        check_adaptable(name, data, with_labels=study.asks_for_labels)
    return data


def find_zero_shot_data(study: Study, name: str) -> Path:
    """Returns where the data of a zero-shot task is; raises InputError if it is not there."""
    assert study.task_data is not None
    return find_task_data(parse_zero_shot(name), Path(study.task_data))


def _short(number: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"
