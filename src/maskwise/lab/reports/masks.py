"""What each arm masked, and how its evaluation went while it trained, as the `metrics.jsonl` of its runs have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from maskwise.errors import InputError
from maskwise.lab.records.record import HELD_OUT, RunKey
from maskwise.lab.records.run_folder import read_metrics
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.study.declaration import TEACHER
from maskwise.lab.study.layout import run_name
from maskwise.lab.study.results import StudyRuns

QUINTILES = tuple(f"masked_q{number}" for number in range(1, 6))
_RATES = ("budget", "trained_rate", "masked_rate")
LAST = ("masked_score", "eligible_score", "overlap", *QUINTILES)
PLACE = ["arm", "backbone", "adapted_to"]
_COLUMNS = (
    Column("arm"), Column("backbone"), Column("adapted_to", "on the text of"), Column("budget", kind="share"),
    Column("trained_rate", "masked in training", "share"), Column("masked_rate", "on the probe", "share"),
    Column("most_masked", "most masked at the end"),
    Column("masked_score", "score, masked", "number"), Column("eligible_score", "score, all", "number"),
    Column("overlap", "same as the look before", "share"), Column("masked_q1", "q1, frequent", "share"),
    Column("masked_q2", "q2", "share"), Column("masked_q3", "q3", "share"), Column("masked_q4", "q4", "share"),
    Column("masked_q5", "q5, rare", "share"), Column("sources", "scored by"), Column("runs", kind="count"),
)  # fmt: skip
NOTE = (
    "Rates are shares of the tokens that may be masked: the mean over training of the budget, of what was masked in "
    "training batches, and of what is picked on a fixed probe of training blocks. Rates by type (typhoon) meet the "
    "budget over the training text; on text with other types they drift. The rest is of the last look at the probe: "
    "the mean score of masked and of all tokens (nats where the score is an entropy or a surprisal), the share of "
    "picks that the look before had too, and the shares by fifths of token frequency, q1 the most frequent. Means over "
    "seeds; the types are those of the first."
)

Lines = Mapping[RunKey, Sequence[Mapping[str, Any]]]


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


def read_lines(runs: StudyRuns) -> tuple[Lines, dict[str, str]]:
    """Returns the lines of the `metrics.jsonl` of each arm's run, finished or not, and what is wrong with which."""
    lines: dict[RunKey, Sequence[Mapping[str, Any]]] = {}
    damaged: dict[str, str] = {}
    for run in runs.runs:
        files = run.records[None].files if None in run.records else {}
        if run.key.task != HELD_OUT or run.key.arm == TEACHER or "metrics" not in files:
            continue
        try:
            lines[run.key] = read_metrics(run.folder / files["metrics"].path)
        except InputError as error:
            damaged[run_name(run.key)] = " ".join(str(error).split())
    return lines, damaged


def held_out_curves(lines: Lines, results: pd.DataFrame) -> list[Curve]:
    """Returns the evaluations of every run as far as it got; a run's flops are spread evenly over its steps."""
    runs: Any = results[(results["task"] == HELD_OUT) & results["flops"].notna() & (results["steps"] > 0)]
    runs = runs.drop_duplicates([*PLACE, "seed"])
    a_step = {
        RunKey(arm, backbone, int(seed), adapted_to=text if isinstance(text, str) else None): flops / steps
        for arm, backbone, text, seed, flops, steps in runs[[*PLACE, "seed", "flops", "steps"]].itertuples(index=False)
    }
    curves = []
    for key, records in lines.items():
        losses = {line["step"]: line["eval_loss"] for line in records if isinstance(line.get("eval_loss"), int | float)}
        flops = tuple(float(step * a_step[key]) for step in losses) if key in a_step else ()
        if losses:
            place = (key.arm, key.backbone, key.adapted_to, key.seed)
            curves.append(Curve(*place, tuple(losses), tuple(losses.values()), flops))
    return curves


def mask_table(lines: Lines) -> Table:
    """Returns what each arm masks: realised rates next to the budget, scores, frequencies, and the types themselves."""
    looks = pd.DataFrame(list(_looks(lines)), columns=[*PLACE, "seed", "score_source", "most_masked", *_RATES, *LAST])
    rows = [
        {**dict(zip(PLACE, (_text(part) for part in place), strict=True)), **_figures(group)}
        for place, group in looks.groupby(PLACE, sort=False, dropna=False)
        if isinstance(place, tuple)
    ]
    return Table("masks", "What each arm masks", _COLUMNS, tuple(rows), NOTE)


def _looks(lines: Lines) -> Iterable[dict[str, Any]]:
    for key, records in lines.items():
        place = {"arm": key.arm, "backbone": key.backbone, "adapted_to": key.adapted_to, "seed": key.seed}
        yield from (place | dict(line) for line in records if "masked_rate" in line)


def _figures(looks: pd.DataFrame) -> dict[str, Any]:
    """Returns an arm's figures: rates over all looks, the rest of each run's last look."""
    last = looks.groupby("seed", sort=False).tail(1)
    first_run: Any = looks[looks["seed"] == looks["seed"].iloc[0]]
    sources = dict.fromkeys(first_run["score_source"].dropna())
    return {
        **{name: _mean(looks[name]) for name in _RATES},
        **{name: _mean(last[name]) for name in LAST},
        "most_masked": _text(first_run["most_masked"].iloc[-1]),
        "sources": ", then ".join(sources) or None,
        "runs": len(last),
    }


def _mean(values: Any) -> float | None:
    found = values.dropna()
    return fmean(found.tolist()) if len(found) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
