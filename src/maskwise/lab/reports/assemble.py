"""Everything a study's report says, in one structure; the page and the plain files only set it."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

from maskwise.errors import InputError, nearest
from maskwise.files.path_names import path_text
from maskwise.lab.config import StoppingSettings
from maskwise.lab.jobs.job import JobKind, attempts_of, log_of
from maskwise.lab.records.attempts import read_attempts
from maskwise.lab.records.record import HELD_OUT, RunKey
from maskwise.lab.reports.findings import Finding, find, verdict_table
from maskwise.lab.reports.masks import Curve, Lines, held_out_curves, mask_table, read_lines
from maskwise.lab.reports.measures import collapsed_table, cost_table, score_table, value_table
from maskwise.lab.reports.paper_comparison import published_table
from maskwise.lab.reports.scores import Scores, scores_of
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.study.layout import Layout, pretraining_keys, result_keys, run_name
from maskwise.lab.study.power_statement import power_statement
from maskwise.lab.study.results import StudyRuns, read_runs, results_frame, to_frame
from maskwise.lab.study.statistics import AS_GIVEN, NOT_PRETRAINED
from maskwise.lab.study.study_file import HELD_OUT_METRICS, Study
from maskwise.progress import format_seconds

MISSING_COLUMNS = (Column("job", "not finished"), Column("log", "what it said last"))
DAMAGED_COLUMNS = (Column("job", "damaged"), Column("found"))
VERSION_COLUMNS = (Column("name", "what"), Column("found"))


@dataclass(frozen=True)
class Report:
    """What a report says. `facts` tell how large the study is; `tables` are by name, in the order they are shown."""

    study: Study
    against: str
    facts: tuple[tuple[str, str], ...]
    statement: tuple[str, ...]
    findings: tuple[Finding, ...]
    tables: Mapping[str, Table]
    scores: tuple[Scores, ...]
    curves: tuple[Curve, ...]
    num_done: int
    num_jobs: int

    def __repr__(self) -> str:
        """What was found, in a few lines."""
        lines = [] if self.is_finished else [f"Not finished: {self.num_done} of {self.num_jobs} jobs are done."]
        return "\n".join([*lines, *(f"{found.verdict}: {found.sentence}" for found in self.findings)])

    def _repr_html_(self) -> str:
        return "".join(f"<p>{html.escape(line)}</p>" for line in repr(self).splitlines())

    @property
    def title(self) -> str:
        """The study's question, or what it compares."""
        return self.study.question or " and ".join((", ".join(arm_names(self.study)[:-1]), arm_names(self.study)[-1]))

    @property
    def settings(self) -> str:
        """The study file that repeats the study."""
        return tomli_w.dumps(self.study.model_dump(mode="json", exclude_none=True))

    @property
    def is_finished(self) -> bool:
        """Whether every job is done."""
        return self.num_done == self.num_jobs


def assemble(
    study: str | PathLike[str] | Study,
    results: pd.DataFrame | None = None,
    *,
    against: str | None = None,
    published: bool = False,
) -> Report:
    """Returns the report of a study; see `maskwise.lab.report`.

    Raises:
        InputError: The folder has no results, or `against` is not an arm of the study.
    """
    if isinstance(study, Study):
        if results is None:
            raise InputError("report(study) needs results; or give the study's folder: report('out').")
        return _assemble(study, to_frame(results), None, against, published)
    runs = read_runs(Path(path_text(study, "folder of a study")))
    frame = results_frame(runs) if results is None else to_frame(results)
    if frame.empty:
        damaged = "".join(f"\nDamaged: {name}: {what}" for name, what in runs.damaged.items())
        raise InputError(
            f"{study} has no results yet: no run of the study is finished.{damaged}\n"
            f"`maskwise study {runs.layout.study_file} --out {study}` starts it, or resumes it."
        )
    return _assemble(runs.study, frame, runs, against, published)


def _assemble(
    study: Study, results: pd.DataFrame, runs: StudyRuns | None, against: str | None, published: bool
) -> Report:
    against = against or _usual_baseline(study)
    if against not in arm_names(study):
        raise InputError(
            f"No arm {against!r}.{nearest(against, arm_names(study))} Arms: {', '.join(arm_names(study))}."
        )
    lines, damaged_lines = read_lines(runs) if runs else ({}, {})
    damaged = {**runs.damaged, **damaged_lines} if runs else {}
    measured: Any = results[np.isfinite(results["value"])]
    scores = tuple(scores_of(measured[measured["task"].isin([*study.tasks, HELD_OUT])], study))
    out = runs.layout.out if runs and _has_predictions(runs) else None
    findings = tuple(find(measured, study, against, out))
    missing, num_jobs = _missing(study, results, runs.layout if runs else None)
    tables = [
        verdict_table(findings, study), score_table(scores, study), mask_table(lines),
        cost_table(results, study, against), collapsed_table(results), missing, _damaged(damaged), _versions(runs),
        value_table(results),
    ]  # fmt: skip
    if published:
        tables.insert(2, published_table(scores, study, against))
    return Report(
        study,
        against,
        tuple(_facts(study, results)),
        tuple(power_statement(study)),
        findings,
        {table.name: table.without_empty_columns() for table in tables},
        scores,
        tuple(held_out_curves(_arms_only(lines, study), results)),
        num_jobs - len(missing.rows),
        num_jobs,
    )


def arm_names(study: Study) -> list[str]:
    """Returns the arms' names in the study's order."""
    return [arm.name for arm in study.arms]


def _arms_only(lines: Lines, study: Study) -> Lines:
    return {key: found for key, found in lines.items() if key.arm in arm_names(study)}


def _missing(study: Study, results: pd.DataFrame, layout: Layout | None) -> tuple[Table, int]:
    """Returns the table of the runs without results, and how many runs there are at all."""
    columns = results[["arm", "backbone", "seed", "task", "adapted_to"]].drop_duplicates()
    found = {
        RunKey(arm, backbone, int(seed), task, text if isinstance(text, str) else None)
        for arm, backbone, seed, task, text in columns.itertuples(index=False)
    }
    keys = list(result_keys(study))
    unfinished = _unfinished(layout) if layout else ()
    missing = [{"job": name, "log": _last_words(folder, kind)} for name, folder, kind in unfinished]
    num_jobs = len(keys) + len(missing)
    for key in keys:
        if key not in found:
            folder = layout.folder(key) if layout else None
            missing.append({"job": run_name(key), "log": folder and _last_words(folder, "pretrain")})
    note = "What a job said last tells why it failed, or how far it is. The same study command resumes them."
    return Table("missing", "What is missing", MISSING_COLUMNS, tuple(missing), note), num_jobs


def _unfinished(layout: Layout) -> Iterator[tuple[str, Path, JobKind]]:
    """Yields name, folder and kind of what was begun and is not done, and measures nothing itself."""
    for name, folder, is_done in layout.begun():
        if not is_done:
            yield name, folder, "prepare" if name.startswith("data/") else "pretrain"


def _damaged(damaged: Mapping[str, str]) -> Table:
    rows = tuple({"job": name, "found": found} for name, found in damaged.items())
    note = (
        "What is damaged counts as unfinished. Restore it, or delete the job's folder and run the same study command."
    )
    return Table("damaged", "What is damaged", DAMAGED_COLUMNS, rows, note)


def _last_words(folder: Path, kind: JobKind) -> str | None:
    """Returns why the last attempt at a job ended, or the last line of its log."""
    attempts = read_attempts(attempts_of(folder, kind))
    if attempts and attempts[-1].message:
        return attempts[-1].message[:300]
    log = log_of(folder)
    if not log.is_file():
        return None
    said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return said[-1].strip()[:300] if said else None


def _has_predictions(runs: StudyRuns) -> bool:
    return any("predictions" in record.files for run in runs.finished for record in run.records.values())


def _usual_baseline(study: Study) -> str:
    right = [theirs for _, theirs in study.statistics.family]
    return max(dict.fromkeys(right), key=right.count)


def _facts(study: Study, results: pd.DataFrame) -> Iterator[tuple[str, str]]:
    is_run = results["task"].eq(HELD_OUT) & results["metric"].eq(HELD_OUT_METRICS[0])
    runs: Any = results[is_run & results["arm"].isin(arm_names(study))]
    yield "Arms", ", ".join(arm_names(study))
    yield "Backbones", ", ".join(f"{b.name} ({b.model})" if b.model != b.name else b.name for b in study.backbones)
    yield "Pretraining seeds", f"{len(study.seeds)}: {', '.join(map(str, study.seeds))}"
    yield from _references(study)
    yield "Tasks", ", ".join(f"{task} ({study.metric(task).replace('_', ' ')})" for task in study.tasks)
    yield "Tuning seeds of each model", _tuning_seeds(study)
    yield "Pretrained models", f"{len(runs)} of {len(pretraining_keys(study))}"
    for name in ("steps", "tokens"):
        yield f"{name.capitalize()} of a pretraining run", _range([float(found) for found in runs[name].dropna()])
    yield "Compared at", _compared_at(study)
    if chosen := _chosen_by(study):
        yield "Checkpoint chosen by", chosen
    flops, seconds = (sum(runs[name].dropna().tolist()) for name in ("flops", "seconds"))
    yield "All pretraining together", f"{flops:.2e} flops, {format_seconds(seconds)}"


def _tuning_seeds(study: Study) -> str:
    """Returns how many there are, task by task if they differ."""
    numbers = {task: len(study.tuning_seeds_of(task)) for task in study.tuned_tasks}
    if len(set(numbers.values())) <= 1:
        return str(next(iter(numbers.values()), len(study.tuning_seeds)))
    return ", ".join(f"{task} {number}" for task, number in numbers.items())


def _references(study: Study) -> Iterator[tuple[str, str]]:
    """Yields what is there besides the arms: a teacher for each seed, and models without pretraining."""
    if study.teacher is not None:
        one = study.teacher
        yield "Teachers", f"one for each seed, recipe {one.recipe}, seed {one.seed_offset} + s"
    if NOT_PRETRAINED in study.rows:
        yield NOT_PRETRAINED, "the weights that a seed's arms start from, tuned like them"
    if AS_GIVEN in study.rows:
        yield AS_GIVEN, "a backbone's checkpoint before the arms continue it, tuned like them"


def _compared_at(study: Study) -> str:
    """Returns what the arms have alike, and which take the budget of which."""
    words = {"compute": "counted flops", "seconds": "seconds"}
    budgets = [(arm.name, *study.equal_of(arm)) for arm in study.arms]
    taken = [f"{arm} at the {words[equal]} of {other.name}" for arm, equal, other in budgets if other is not None]
    return "; ".join([*(["equal steps"] if len(taken) < len(budgets) - 1 else []), *taken])


def _chosen_by(study: Study) -> str:
    """Returns by which loss the step that is tuned was chosen, arm by arm where they differ; empty where by none."""
    words = {
        "held_out": "the held-out evaluation, the same for all",
        "strategy_masks": "the loss on the arm's own masks, as stopping.by asks: these losses belong to one arm each "
        "and cannot be compared between arms",
    }
    data = "task" if study.adapt else None
    settings = {arm.name: study.settings(arm, study.backbones[0], study.seeds[0], data) for arm in study.arms}
    found = {name: words[own.stopping.by] for name, own in settings.items() if own.stopping != StoppingSettings()}
    if len(found) == len(settings) and len(set(found.values())) == 1:
        return next(iter(found.values()))
    return "; ".join(f"{name}: {how}" for name, how in found.items())


def _range(values: Sequence[float]) -> str:
    if not values:
        return "not known"
    low, high = min(values), max(values)
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}, {fmean(values):,.0f} in the mean"


def _versions(runs: StudyRuns | None) -> Table:
    """Returns the versions and machines of all runs; more than one value means that they were not all alike."""
    found: dict[str, dict[str, None]] = {}
    for run in runs.runs if runs else ():
        for record in run.records.values():
            told = record.environment.model_dump(exclude_none=True)
            for name, value in {**told.pop("versions"), **told}.items():
                if value != "":
                    found.setdefault(name, {})[str(value)] = None
    rows = tuple({"name": name, "found": " and ".join(values)} for name, values in found.items())
    return Table("versions", "Versions and machine", VERSION_COLUMNS, rows)
