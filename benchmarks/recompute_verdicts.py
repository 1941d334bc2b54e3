"""Decides the studies of the kept reports again, by the present statistics, from the values on their pages.

    python benchmarks/recompute_verdicts.py > docs/reports/recomputed.md

The runs and their predictions are gone; every value in full precision, the constant answers' scores, and the study file
are on the pages. Intervals by bootstrap need the predictions, so they are those that the pages have.
"""

from __future__ import annotations

import base64
import html
import io
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from maskwise.lab.reports.findings import Finding, find
from maskwise.lab.reports.scores import BASELINES
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.stats.verdicts import ORDER
from maskwise.lab.study.power_statement import power_statement
from maskwise.lab.study.study_file import HELD_OUT, Study, check_study

REPORTS = Path(__file__).parents[1] / "docs" / "reports"
KEPT = ("entropy-tiny", "typhoon-grid")
OLD_SETTINGS = {"spend": "budget"}
COLUMNS = (
    Column("ours", "arm"), Column("theirs", "against"), Column("task"), Column("backbone"),
    Column("before", "verdict then"), Column("verdict", "verdict now"), Column("mean", "mean difference", "difference"),
    Column("low", "95% from", "difference"), Column("high", "to", "difference"), Column("p_holm", "p, Holm", "p"),
    Column("p_exact_holm", "p, exact, Holm", "p"), Column("p_equivalence_holm", "p, equivalence, Holm", "p"),
    Column("boot_low", "bootstrap from (carried over)", "difference"), Column("boot_high", "to", "difference"),
    Column("baseline", "baseline's mean", "number"), Column("constant", "constant answer", "number"),
    Column("collapsed", "collapsed runs of both"),
)  # fmt: skip
HEAD = """# The kept reports, decided again

The pages of [the entropy study](entropy-tiny.html) and [the Typhoon study](typhoon-grid.html) were written when a
verdict took no notice of whether a task could show anything. This page has their verdicts by the present rules, from
the values on those pages. The intervals by bootstrap are carried over from them, since the predictions are gone, so
that no t interval over seeds and items can be given. No model without pretraining was run in either study, so that
the constant answer alone is the bar of the signal gate. `python benchmarks/recompute_verdicts.py` makes this page.

"""


def main() -> None:
    """Prints the page."""
    print(whole_page())


def whole_page() -> str:
    """Returns the page in Markdown."""
    return HEAD + "\n\n".join(section(name) for name in KEPT)


def section(name: str) -> str:
    """Returns a kept report's verdicts, then and now, in Markdown."""
    study, rows = study_on(read_page(name)), verdict_rows(name)
    then, now = (Counter(row[key] for row in rows) for key in ("before", "verdict"))
    empty = sum(row["before"] == "equivalent" and row["verdict"] == "no signal" for row in rows)
    changed = sum(row["before"] != row["verdict"] for row in rows)
    lines = [
        f"## {study.question}", "", f"From `{name}.html`. Then: {_counted(then)}. Now: {_counted(now)}.", "",
        f"{changed} verdicts change, {empty} of them from equivalent to no signal.", "",
        *(f"- {sentence}" for sentence in power_statement(study)), "",
        Table("verdicts", name, COLUMNS, tuple(rows)).markdown(),
    ]  # fmt: skip
    return "\n".join(lines)


def verdict_rows(name: str) -> list[dict[str, Any]]:
    """Returns the declared comparisons of a kept report, each with its verdicts then and now."""
    study, before = study_on(read_page(name)), _printed(name)
    findings = find(rows_on(tables_on(read_page(name))), study, study.statistics.family[0][1])
    return [_row(one, before) for one in findings if one.verdict in ORDER]


def read_page(name: str) -> str:
    """Returns a kept report's page."""
    return (REPORTS / f"{name}.html").read_text(encoding="utf-8")


def study_on(page: str) -> Study:
    """Returns the study whose file is on a page, its settings by their present names."""
    text = html.unescape(re.search(r"<summary>The study file</summary><pre>(.*?)</pre>", page, re.DOTALL)[1])
    for old, new in OLD_SETTINGS.items():
        text = re.sub(rf"\b{old} = ", f"{new} = ", text)
    return check_study(tomllib.loads(text))


def tables_on(page: str) -> dict[str, pd.DataFrame]:
    """Returns the tables of a page by name, from the files that it offers."""
    found = re.findall(r'download="(\w+)\.csv" href="data:text/csv;base64,([^"]+)"', page)
    return {name: pd.read_csv(io.BytesIO(base64.b64decode(data))) for name, data in found}


def rows_on(tables: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Returns the rows of the results as a study keeps them, the constant answers' scores with them."""
    scores = tables["scores"]
    constants = scores[scores["arm"] == BASELINES["constant"]].set_index(["task", "metric", "backbone"])["mean"]
    return [
        row
        | {"task": task, "adapted_to": text, "constant": constants.get((row["task"], row["metric"], row["backbone"]))}
        for row in tables["values"].to_dict("records")
        for task, text in [_task(row["task"])]
    ]


def _task(label: str) -> tuple[str, str | None]:
    held_out = re.fullmatch(r"exam(?: on (.+))?", label)
    return (HELD_OUT, held_out[1]) if held_out else (label, None)


def _printed(name: str) -> pd.DataFrame:
    return tables_on(read_page(name))["verdicts"].set_index(["ours", "theirs", "backbone", "task"])


def _row(finding: Finding, before: pd.DataFrame) -> dict[str, Any]:
    one = finding.hypothesis
    old = before.loc[one.ours, one.theirs, one.backbone, one.task]
    names = (
        "ours",
        "theirs",
        "task",
        "backbone",
        "mean",
        "low",
        "high",
        "p_holm",
        "p_exact_holm",
        "p_equivalence_holm",
    )
    scores = one.scores[one.baseline]
    return {name: getattr(one, name) for name in names} | {
        "before": old["verdict"], "verdict": finding.verdict, "boot_low": old["boot_low"],
        "boot_high": old["boot_high"], "baseline": scores.mean, "constant": scores.constant,
        "collapsed": " and ".join(f"{one.scores[arm].num_collapsed} of {one.scores[arm].num_runs}"
                                  for arm in (one.ours, one.theirs)),
    }  # fmt: skip


def _counted(verdicts: Counter[str]) -> str:
    return ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items())


def figures_then_and_now(name: str) -> Iterator[tuple[str, float, float]]:
    """Yields each figure that the page and the present statistics both have: they have to be the same."""
    study, before = study_on(read_page(name)), _printed(name)
    for finding in find(rows_on(tables_on(read_page(name))), study, study.statistics.family[0][1]):
        one = finding.hypothesis
        old = before.loc[one.ours, one.theirs, one.backbone, one.task]
        for figure in ("mean", "low", "high", "p", "p_exact", "dz", "p_equivalence"):
            yield figure, float(old[figure]), float(getattr(one, figure))


if __name__ == "__main__":
    main()
