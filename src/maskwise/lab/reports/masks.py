"""What each arm masked, and how its evaluation went while it trained, as the runs' `metrics.jsonl` have them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from maskwise.lab.records.run_folder import METRICS, read_metrics
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.study.jobs_of_a_study import Place, places
from maskwise.lab.study.study_file import HELD_OUT, Study

QUINTILES = tuple(f"masked_q{number}" for number in range(1, 6))
RATES = ("budget", "trained_rate", "masked_rate")
LAST = ("masked_score", "eligible_score", "overlap", *QUINTILES)
COLUMNS = (
    Column("arm"), Column("backbone"), Column("adapted_to", "on the text of"), Column("budget", kind="share"),
    Column("trained_rate", "masked in training", "share"), Column("masked_rate", "on the probe", "share"),
    Column("most_masked", "most masked at the end"),
    Column("masked_score", "score, masked", "number"), Column("eligible_score", "score, all", "number"),
    Column("overlap", "same as the look before", "share"), Column("masked_q1", "q1, frequent", "share"),
    Column("masked_q2", "q2", "share"), Column("masked_q3", "q3", "share"), Column("masked_q4", "q4", "share"),
    Column("masked_q5", "q5, rare", "share"), Column("sources", "scored by"), Column("runs", kind="count"),
)  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """The held-out loss (nats) of one run by optimizer step, and by the counted flops so far if they are known."""

    arm: str
    backbone: str
    adapted_to: str | None
    seed: int
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    flops: tuple[float, ...]

    @property
    def is_empty(self) -> bool:
        """Whether no evaluation was taken."""
        return not self.steps


def held_out_curves(study: Study, out: Path, rows: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """Returns the evaluation of every run, finished or not, as far as it got.

    A run's flops are spread evenly over its steps.
    """
    a_step = {
        (row["arm"], row["backbone"], row["adapted_to"], row["seed"]): row["flops"] / row["steps"]
        for row in rows
        if row["task"] == HELD_OUT and row["flops"] is not None and row["steps"]
    }
    curves = []
    for place in places(study):
        held_outs = {r["step"]: r["eval_loss"] for r in read_metrics(place.folder(out) / METRICS) if "eval_loss" in r}
        key = (place.arm.name, place.backbone.name, place.task, place.seed)
        flops = tuple(step * a_step[key] for step in held_outs) if key in a_step else ()
        curves.append(Curve(*key, tuple(held_outs), tuple(held_outs.values()), flops))
    return [curve for curve in curves if not curve.is_empty]


def mask_table(study: Study, out: Path) -> Table:
    """Returns what each arm masks: realised rates beside the budget, scores, frequencies, and the types themselves."""
    looks: dict[tuple[str, str, str | None], list[list[Mapping[str, Any]]]] = defaultdict(list)
    for place in places(study):
        found = _looks(place, out)
        if found:
            looks[place.arm.name, place.backbone.name, place.task].append(found)
    rows = (
        {"arm": arm, "backbone": backbone, "adapted_to": task, **_figures(runs)}
        for (arm, backbone, task), runs in looks.items()
    )
    note = (
        "Rates are shares of the tokens that may be masked: the mean over training of the budget, of what was masked "
        "in training batches, and of what is picked on a fixed probe of training blocks. Rates by type (typhoon) meet "
        "the budget over the training text; on text with other types they drift. The rest is of the last look "
        "at the probe: the mean score of masked and of all tokens (nats where the score is an entropy or a surprisal), "
        "the share of picks that the look before had too, and the shares by fifths of token frequency, q1 the most "
        "frequent. Means over seeds; the types are those of the first."
    )
    return Table("masks", "What each arm masks", COLUMNS, tuple(rows), note)


def _looks(place: Place, out: Path) -> list[Mapping[str, Any]]:
    return [record for record in read_metrics(place.folder(out) / METRICS) if "masked_rate" in record]


def _figures(runs: list[list[Mapping[str, Any]]]) -> dict[str, Any]:
    sources = dict.fromkeys(look["score_source"] for look in runs[0] if "score_source" in look)
    return {
        **{name: _mean(look.get(name) for looks in runs for look in looks) for name in RATES},
        **{name: _mean(looks[-1].get(name) for looks in runs) for name in LAST},
        "most_masked": runs[0][-1].get("most_masked"),
        "sources": ", then ".join(sources) or None,
        "runs": len(runs),
    }


def _mean(values: Iterator[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return fmean(found) if found else None
