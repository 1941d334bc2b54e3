"""Two reports side by side: the same comparisons in two studies, the same scores, and what the studies set apart."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from maskwise.errors import InputError
from maskwise.lab.reports.assemble import Report
from maskwise.lab.reports.findings import Finding
from maskwise.lab.reports.scores import is_main
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.stats.paired import welch_interval
from maskwise.lab.stats.verdicts import SMALL

PLACES = ("ours", "theirs", "backbone", "task", "metric")
EFFECTS = (
    Column("ours", "arm"), Column("task"), Column("backbone"), Column("agree", "together"),
    Column("here", "verdict here"), Column("there", "verdict there"),
    Column("mean_here", "difference here", "difference"), Column("mean_there", "there", "difference"),
    Column("change", "there - here", "difference"), Column("low", "95% from", "difference"),
    Column("high", "to", "difference"), Column("metric"), Column("theirs", "against"),
)  # fmt: skip
_SCORES = (
    Column("arm"), Column("task"), Column("metric"), Column("backbone"), Column("here", kind="number"),
    Column("there", kind="number"), Column("change", "there - here", "difference"),
)  # fmt: skip
SETTINGS = (Column("setting"), Column("here"), Column("there"))


def with_other(report: Report, other: Report) -> Report:
    """Returns the report with another study's findings and scores set next to its own.

    Raises InputError if the two have no comparison in common.
    """
    effects = tuple(_effects(report, other))
    if not effects:
        raise InputError(
            "The two studies have no comparison in common: the same two arms on the same backbone and task, by name "
            "and by the same metric."
        )
    effect_note = (
        "The change of a paired difference from one study to the other, with Welch's interval, the studies taken as "
        "independent. Where it holds 0, seeds alone may explain the change; agreement is not shown by it."
    )
    tables = (
        Table("other_verdicts", "The other study: verdicts", EFFECTS, effects, effect_note),
        Table("other_scores", "The other study: scores", _SCORES, tuple(_scores(report, other))),
        Table("other_settings", "The other study: settings that differ", SETTINGS, tuple(_settings(report, other))),
    )
    shown = dict(report.tables)
    last = shown.pop("values")
    return replace(report, tables=shown | {table.name: table for table in tables} | {"values": last})


def _key(finding: Finding) -> tuple[str, ...]:
    one = finding.hypothesis
    return (one.ours, one.theirs, one.backbone, one.task, one.metric)


def _effects(report: Report, other: Report) -> Iterator[dict[str, Any]]:
    there = {_key(finding): finding for finding in other.findings}
    for finding in report.findings:
        match = there.get(_key(finding))
        if match is None:
            continue
        changed, own = (list(found.hypothesis.differences.values()) for found in (match, finding))
        low, high = welch_interval(changed, own)
        yield dict(zip(PLACES, _key(finding), strict=True)) | {
            "here": finding.verdict,
            "there": match.verdict,
            "mean_here": finding.hypothesis.mean,
            "mean_there": match.hypothesis.mean,
            "change": match.hypothesis.mean - finding.hypothesis.mean,
            "low": low,
            "high": high,
            "agree": _in_words(finding.verdict, match.verdict, low, high),
        }


def _in_words(here: str, there: str, low: float, high: float) -> str:
    if math.isnan(low):
        return "not enough seeds"
    is_opposite = "worse" in (here, there) and bool({"better", SMALL} & {here, there})
    verdicts = "same verdict" if here == there else "opposite verdicts" if is_opposite else "verdicts differ"
    return f"{verdicts}, {'within noise' if low <= 0 <= high else 'effects differ'}"


def _scores(report: Report, other: Report) -> Iterator[dict[str, Any]]:
    there = {(s.task, s.backbone, s.metric, s.arm): s for s in other.scores}
    for one in report.scores:
        match = there.get((one.task, one.backbone, one.metric, one.arm))
        if match is None or not is_main(one, report.study):
            continue
        means = [sum(s.by_seed.values()) / len(s.by_seed) for s in (one, match)]
        names = {"task": one.task, "backbone": one.backbone, "metric": one.metric, "arm": one.arm}
        yield names | {"here": means[0], "there": means[1], "change": means[1] - means[0]}


def _settings(report: Report, other: Report) -> Iterator[dict[str, str]]:
    here, there = (_flat(study.study.model_dump(mode="json", exclude_none=True)) for study in (report, other))
    for name in dict.fromkeys([*here, *there]):
        if here.get(name) != there.get(name):
            yield {"setting": name, "here": here.get(name, "not set"), "there": there.get(name, "not set")}


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Returns leaves by dotted name; those in a list of named tables are told by the name, others are one leaf."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        value = {item["name"]: item for item in value}
    if not isinstance(value, Mapping):
        return {prefix: json.dumps(value)}
    flat: dict[str, str] = {}
    for name, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    return flat
