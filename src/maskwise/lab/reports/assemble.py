"""Everything a study's report says, in one structure; the page and the plain files only set it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import tomli_w

from maskwise.errors import InputError, nearest
from maskwise.lab.config import StoppingSettings
from maskwise.lab.records.run_folder import DONE, ENVIRONMENT
from maskwise.lab.reports.findings import Finding, find, verdict_table
from maskwise.lab.reports.masks import Curve, held_out_curves, mask_table
from maskwise.lab.reports.measures import collapsed_table, cost_table, score_table, value_table
from maskwise.lab.reports.paper_comparison import published_table
from maskwise.lab.reports.scores import Scores, scores_of
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.study.jobs_of_a_study import FINETUNED, SPEED, log_file, places, tasks_of
from maskwise.lab.study.power_statement import power_statement
from maskwise.lab.study.results import RESULTS, SCHEMA, collect, read_results
from maskwise.lab.study.runner import open_study
from maskwise.lab.study.study_file import HELD_OUT, HELD_OUT_METRICS, Study
from maskwise.lab.tokens.blocks import MANIFEST
from maskwise.lab.tuning.results import PREDICTIONS
from maskwise.progress import format_seconds

MISSING_COLUMNS = (Column("cell", "not finished"), Column("log", "the last line of its log"))
VERSION_COLUMNS = (Column("name", "what"), Column("found"))

Rows = Sequence[Mapping[str, Any]]


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
    num_cells: int

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
        """Whether every cell is there."""
        return self.num_done == self.num_cells


def make_report(out: str | Path, against: str | None = None, *, published: bool = False) -> Report:
    """Returns the report of a study's folder, finished or not, with everything held against the arm `against`.

    By default that is the arm which the declared family names most often on the right. With `published`, the entropy
    masking paper's cells stand beside what was measured. Raises InputError for a folder without results and an arm
    that is not in the study.
    """
    out = Path(out)
    study = open_study(out)
    against = against or _usual_baseline(study)
    if against not in arm_names(study):
        raise InputError(
            f"No arm {against!r}.{nearest(against, arm_names(study))} Arms: {', '.join(arm_names(study))}."
        )
    rows = results_of(study, out)
    scores = tuple(scores_of(rows, study))
    findings = tuple(find(rows, study, against, out if _has_predictions(out) else None))
    missing, num_cells = _missing(study, out, rows)
    tables = [
        verdict_table(findings, study), score_table(scores, study), mask_table(study, out),
        cost_table(rows, study, against), collapsed_table(rows), missing, _versions(study, out), value_table(rows),
    ]  # fmt: skip
    if published:
        tables.insert(2, published_table(scores, study, against))
    return Report(
        study,
        against,
        tuple(_facts(study, rows)),
        tuple(power_statement(study)),
        findings,
        {table.name: table.without_empty_columns() for table in tables},
        scores,
        tuple(held_out_curves(study, out, rows)),
        num_cells - len(missing.rows),
        num_cells,
    )


def arm_names(study: Study) -> list[str]:
    """Returns the arms' names in the study's order."""
    return [arm.name for arm in study.arms]


def results_of(study: Study, out: Path) -> Rows:
    """Returns the results of every finished cell; those of a study that was killed or still runs are collected.

    Raises InputError where no cell is finished.
    """
    rows = read_results(out) if (out / RESULTS).exists() else []
    if len(_in_rows(study, rows)) < len(_on_disk(study, out)):
        rows = pa.Table.from_pylist(collect(study, out), schema=SCHEMA).to_pylist()  # every column, None where empty
    if not rows:
        raise InputError(
            f"{out} has no results yet: no run of the study is finished.\n"
            f"`maskwise study {out / 'study.toml'} --out {out}` starts it, or goes on with it."
        )
    return rows


def _cells(study: Study) -> Iterator[tuple[str, str, Any]]:
    """Yields every cell's name, the task it is on (`evaluation` for pretraining), and its place."""
    for place in places(study):
        yield place.name, HELD_OUT, place
        for task in tasks_of(study, place):
            yield f"{place.arm.name}/{place.backbone.name}/{place.seed}/{task}", task, place


def _in_rows(study: Study, rows: Rows) -> set[str]:
    found = {(row["arm"], row["backbone"], row["seed"], row["adapted_to"], row["task"]) for row in rows}
    return {
        name
        for name, task, place in _cells(study)
        if (place.arm.name, place.backbone.name, place.seed, place.task, task) in found
    }


def _on_disk(study: Study, out: Path) -> list[str]:
    return [
        name
        for name, task, place in _cells(study)
        if (place.folder(out) / DONE if task == HELD_OUT else place.root(out) / task / FINETUNED).exists()
    ]


def _missing(study: Study, out: Path, rows: Rows) -> tuple[Table, int]:
    """Returns the table of the cells without results, and how many cells there are at all."""
    cells, found = list(_cells(study)), _in_rows(study, rows)
    missing = [{"cell": name, "log": _last_line(log)} for name, log in _unfinished_preparations(out)]
    num_cells = len(cells) + len(missing)
    for name, task, place in cells:
        if name not in found:
            folder = place.folder(out) if task == HELD_OUT else place.root(out) / task
            missing.append({"cell": name, "log": _last_line(log_file(folder))})
    note = "A log's last line tells why a cell failed, or how far it is. The same study command goes on with them."
    return Table("missing", "What is missing", MISSING_COLUMNS, tuple(missing), note), num_cells


def _unfinished_preparations(out: Path) -> Iterator[tuple[str, Path]]:
    """Yields the name and the log of every data folder and every timed run that was begun and is not done."""
    for log in sorted([*out.glob("data/*.log"), *out.glob(f"{SPEED}/*/*.log")]):
        folder = log.with_name(log.name.removesuffix(".log"))
        if not (folder / MANIFEST).exists() and not (folder / DONE).exists():
            yield str(folder.relative_to(out)), log


def _last_line(log: Path) -> str | None:
    if not log.exists():
        return None
    said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return said[-1].strip()[:300] if said else None


def _has_predictions(out: Path) -> bool:
    return next(out.glob(f"runs/*/*/*/*/*/seed-*/{PREDICTIONS}"), None) is not None


def _usual_baseline(study: Study) -> str:
    right = [theirs for _, theirs in study.statistics.family]
    return max(dict.fromkeys(right), key=right.count)


def _facts(study: Study, rows: Rows) -> Iterator[tuple[str, str]]:
    runs = [row for row in rows if row["task"] == HELD_OUT and row["metric"] == HELD_OUT_METRICS[0]]
    yield "Arms", ", ".join(arm_names(study))
    yield "Backbones", ", ".join(f"{b.name} ({b.model})" if b.model != b.name else b.name for b in study.backbones)
    yield "Pretraining seeds", f"{len(study.seeds)}: {', '.join(map(str, study.seeds))}"
    yield "Tasks", ", ".join(f"{task} ({study.metric(task).replace('_', ' ')})" for task in study.tasks)
    yield "Tuning seeds of each model", str(len(study.tuning_seeds))
    yield "Pretrained models", f"{len(runs)} of {len(places(study))}"
    for name in ("steps", "tokens"):
        yield f"{name.capitalize()} of a pretraining run", _range([run[name] for run in runs if run[name] is not None])
    yield "Compared at", _compared_at(study)
    if chosen := _chosen_by(study):
        yield "Checkpoint chosen by", chosen
    flops = sum(run["flops"] for run in runs if run["flops"] is not None)
    yield "All pretraining together", f"{flops:.2e} flops, {format_seconds(sum(run['seconds'] for run in runs))}"


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


def _versions(study: Study, out: Path) -> Table:
    """Returns the versions and machines of all runs; more than one value means that they were not all alike."""
    found: dict[str, dict[str, None]] = {}
    for place in places(study):
        path = place.folder(out) / ENVIRONMENT
        told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for name, value in {**told.pop("versions", {}), **told}.items():
            found.setdefault(name, {})[str(value)] = None
    rows = tuple({"name": name, "found": " and ".join(values)} for name, values in found.items())
    return Table("versions", "Versions and machine", VERSION_COLUMNS, rows)
