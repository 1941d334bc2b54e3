"""A report as one HTML page that needs nothing else: readable on a phone and in print, in light and dark."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from maskwise.lab.drawing import colour_variables
from maskwise.lab.reports import charts
from maskwise.lab.reports.assemble import Report, arm_names
from maskwise.lab.reports.findings import REPORT_ORDER, decided_and_open, tally
from maskwise.lab.reports.hypotheses import Hypothesis
from maskwise.lab.reports.masks import QUINTILES, Curve
from maskwise.lab.reports.scores import BASELINES, Scores, is_main, shown_arms
from maskwise.lab.reports.tables import Table
from maskwise.lab.stats.margin import Margin
from maskwise.lab.study.statistics import REFERENCES
from maskwise.lab.study.study_file import HELD_OUT, LESS_IS_BETTER

AFTER_SCORES = ("published", "other_verdicts", "other_scores", "other_settings")
SHARES = ("most frequent fifth", "second fifth", "third fifth", "fourth fifth", "rarest fifth")
FEW = 8  # findings without a difference that are shown unfolded


@dataclass(frozen=True)
class Picture:
    """A chart with its heading."""

    heading: str
    svg: Markup


def report_page(report: Report) -> str:
    """Returns a report as a self-contained HTML page; its security policy forbids it to fetch anything."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cells"] = cells
    environment.filters["csv_address"] = csv_address
    template = environment.from_string(
        files("maskwise.lab.reports").joinpath("report.html").read_text(encoding="utf-8")
    )
    decided, open_ = decided_and_open(report.findings)
    return template.render(
        report=report,
        colours=colour_variables(),
        study=report.study,
        tables=report.tables,
        tally=tally(report.findings),
        decided=decided,
        open=open_,
        few=FEW,
        verdict_names=REPORT_ORDER,
        reference_names=(*BASELINES.values(), *REFERENCES),
        legend=[
            (name, Markup(charts.swatch(number))) for number, name in enumerate(shown_arms(report.study, report.scores))
        ],
        differences=list(difference_pictures(report)),
        dots=list(dot_pictures(report)),
        held_outs=list(held_out_pictures(report)),
        shares=list(share_pictures(report)),
        after_scores=[report.tables[name] for name in AFTER_SCORES if name in report.tables],
    )


def difference_pictures(report: Report) -> Iterator[Picture]:
    """Yields a chart for each backbone and task: every comparison's differences by seed, and the margin.

    A margin that is a share of the gain is shown at the mean gain; the tests never take it for a number.
    """
    study, arms = report.study, arm_names(report.study)
    places: dict[tuple[str, str, str], list[charts.Strip]] = {}
    bands: dict[tuple[str, str, str], float | None] = {}
    findings = sorted(report.findings, key=lambda found: arms.index(found.hypothesis.ours))
    for one in (finding.hypothesis for finding in findings):
        if one.differences:
            key = (one.task, one.backbone, one.metric)
            label = one.ours if one.theirs == report.against else f"{one.ours} - {one.theirs}"
            mean = one.mean if not math.isnan(one.mean) else next(iter(one.differences.values()))
            strip = charts.Strip(label, one.differences, mean, one.low, one.high, arms.index(one.ours))
            places.setdefault(key, []).append(strip)
            bands.setdefault(key, _margin_shown(one, study.statistics.margin))
    for (task, backbone, metric), strips in places.items():
        heading = f"{task}, {backbone}: {metric.replace('_', ' ')}"
        title = f"Differences by seed, {heading}"
        svg = charts.strips(title, strips, line=0.0, band=bands[task, backbone, metric])
        yield Picture(heading, Markup(svg))


def _margin_shown(one: Hypothesis, margin: Margin) -> float | None:
    if one.task == HELD_OUT:
        return None
    if not margin.is_share:
        return margin.size
    return margin.size * float(one.share.gain) if one.share is not None and one.share.gain > 0 else None


def dot_pictures(report: Report) -> Iterator[Picture]:
    """Yields a chart for each task and backbone: every arm's seeds by the metric that its hypotheses are about."""
    study, arms = report.study, shown_arms(report.study, report.scores)
    places: dict[tuple[str, str, str], list[Scores]] = {}
    for scores in report.scores:
        if is_main(scores, study):
            places.setdefault((scores.task, scores.backbone, scores.metric), []).append(scores)
    for (task, backbone, metric), many in places.items():
        strips = []
        for scores in many:
            mean, _, low, high = scores.interval(study.statistics.alpha)
            strips.append(charts.Strip(scores.arm, scores.by_seed, mean, low, high, arms.index(scores.arm)))
        heading = f"{task}, {backbone}: {metric.replace('_', ' ')}"
        heading += ", less is better" if metric in LESS_IS_BETTER else ""
        title = f"Scores by seed, {heading}"
        svg = charts.strips(title, strips, line=many[0].constant, line_name="constant classifier")
        yield Picture(heading, Markup(svg))


def held_out_pictures(report: Report) -> Iterator[Picture]:
    """Yields two charts for each backbone (and text adapted to): the evaluation by steps, and by counted flops."""
    places: dict[tuple[str, str | None], list[Curve]] = {}
    for curve in report.curves:
        places.setdefault((curve.backbone, curve.adapted_to), []).append(curve)
    for (backbone, task), many in places.items():
        where = f"{backbone}, {task}" if task else backbone
        for name, axis in (("steps", "optimizer steps"), ("flops", "counted flops")):
            lines = list(_lines(many, arm_names(report.study), name))
            if lines:
                heading = f"{where}: at equal {'steps' if name == 'steps' else 'compute'}"
                yield Picture(heading, Markup(charts.curves(f"Evaluation loss, {heading}", axis, lines)))


def share_pictures(report: Report) -> Iterator[Picture]:
    """Yields a chart for each backbone (and text adapted to): how frequent the types are that each arm masks."""
    places: dict[str, list[charts.Bar]] = {}
    for row in report.tables["masks"].rows:
        if row[QUINTILES[0]] is not None:
            where = f"{row['backbone']}, {row['adapted_to']}" if row["adapted_to"] else row["backbone"]
            places.setdefault(where, []).append(charts.Bar(row["arm"], [row[name] for name in QUINTILES]))
    for where, rows in places.items():
        yield Picture(where, Markup(charts.bars(f"What is masked by frequency, {where}", rows, SHARES)))


def cells(table: Table) -> Iterator[list[tuple[str, str, bool]]]:
    """Yields every row as (text, what it is sorted by, whether it is a number)."""
    for row, texts in zip(table.rows, table.shown(), strict=True):
        values = [row.get(column.name) for column in table.columns]
        is_number = [column.kind != "text" for column in table.columns]
        yield [(text, _sort_key(value), number) for text, value, number in zip(texts, values, is_number, strict=True)]


def csv_address(table: Table) -> str:
    """Returns the table's CSV as an address that a browser can save."""
    return "data:text/csv;base64," + base64.b64encode(table.csv().encode()).decode()


def _sort_key(value: Any) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else repr(float(value)) if isinstance(value, int | float) else str(value)


def _lines(many: Sequence[Curve], arms: Sequence[str], x_name: str) -> Iterator[charts.ChartLine]:
    by_arm: Mapping[str, list[Curve]] = {arm: [curve for curve in many if curve.arm == arm] for arm in arms}
    for number, runs in enumerate(by_arm.values()):
        points = [list(zip(getattr(run, x_name), run.losses, strict=True)) for run in runs if getattr(run, x_name)]
        yield from (charts.ChartLine(number, line, bold=False) for line in points)
        finished = [list(zip(getattr(run, x_name), run.losses, strict=True)) for run in runs if run.flops]
        if mean := charts.mean_points(finished):
            yield charts.ChartLine(number, mean, bold=True)
