"""The verbs that compare arms over seeds, and say what came out: study, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from maskwise.errors import InputError

_StudyFile = Annotated[str, Argument(metavar="STUDY.toml", help="A study file, or a ready one by name.")]
_Scale = Annotated[str | None, Option(help="A [scale.NAME] of the file, such as tiny. [default: paper]")]
_Assignments = Annotated[
    list[str] | None, Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. pretrain.data.path=data/wiki.")
]


def study_command(
    file: _StudyFile,
    out: Annotated[Path | None, Option(help="The study's folder; run again, it resumes.")] = None,
    scale: _Scale = None,
    jobs: Annotated[int, Option(help="Jobs at a time; the processor's threads are split among them.")] = 1,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Say what would run, what it costs and what it can find.")
    ] = False,
    set_: _Assignments = None,
) -> None:
    """Compare arms over seeds: run every job of a study once."""
    from maskwise.lab.config import parse_assignments
    from maskwise.lab.study.study_file import load_study

    if out is None and not dry_run:
        raise InputError("Give --out DIR, the study's folder; or --dry-run to see the plan alone.")
    declared = load_study(file, scale=scale, changes=parse_assignments(set_ or []))
    if dry_run:
        from maskwise.lab.study.dry_run import dry_run as describe

        print(describe(declared, out or Path("study"), jobs=jobs))
        return
    assert out is not None
    from maskwise.lab.study.runner import run_study

    result = run_study(declared, out, jobs=jobs)
    print(result.summary())
    if result.failed:
        raise typer.Exit(1)


def report_command(
    folder: Annotated[Path, Argument(metavar="DIR", help="A study's folder, finished or not.")],
    against: Annotated[
        str | None, Option(metavar="ARM", help="The baseline. [default: the arm most often compared with]")
    ] = None,
    out: Annotated[Path | None, Option(metavar="FILE.html", help="[default: DIR/report.html]")] = None,
    compare: Annotated[Path | None, Option(metavar="DIR", help="Another study, set next to this one.")] = None,
    published: Annotated[bool, Option("--published", help="Set the entropy masking paper's cells next to it.")] = False,
) -> None:
    """Say what a study found, on one page that needs nothing else, and as Markdown, CSV and JSON."""
    from maskwise.lab.reports.job import make_files

    made, written = make_files(
        folder, against=against, out=out or folder / "report.html", other=compare, published=published
    )
    print(made)
    print(f"Written: {', '.join(map(str, written))}")
