"""The report job: a study's folder, or its results, in; a page and plain files out."""

from __future__ import annotations

from dataclasses import fields
from html import escape
from os import PathLike
from pathlib import Path

import pandas as pd

from maskwise.lab.reports.assemble import Report, assemble
from maskwise.lab.reports.files import write_report
from maskwise.lab.reports.page import report_page
from maskwise.lab.reports.two_studies import with_other
from maskwise.lab.study.study_file import Study


class PrintedReport(Report):
    """A report that prints what was found, and that a notebook shows as its page."""

    def __repr__(self) -> str:
        lines = [f"{self.title}: {self.num_done} of {self.num_jobs} jobs are done, against {self.against}"]
        return "\n".join([*lines, *(f"- {finding.verdict}: {finding.sentence}" for finding in self.findings)])

    def _repr_html_(self) -> str:
        frame = "width: 100%; height: 44rem; border: 0"
        return f'<iframe srcdoc="{escape(report_page(self))}" style="{frame}" title="maskwise report"></iframe>'


def report(
    study: str | PathLike[str] | Study,
    results: pd.DataFrame | None = None,
    *,
    against: str | None = None,
    out: str | PathLike[str] | None = None,
    other: str | PathLike[str] | None = None,
    published: bool = False,
) -> Report:
    """Says what a study found, finished or not, with everything held against one arm.

    Args:
        study: The study's folder, or a study whose `results` are given.
        results: A frame with the columns of `collect`, from anywhere; default: that of the folder. Without a folder,
            the report has no curves, masks, versions, and no bootstrap over held-out examples.
        against: The baseline; default: the arm that the declared family names most often on the right.
        out: A page to write, such as `report.html`, which needs nothing else; the same is written next to it as
            Markdown, JSON and CSV. None writes nothing.
        other: Another study's folder, set next to this one.
        published: Whether the entropy masking paper's cells stand next to what was measured.

    Returns:
        What the page says: `findings` with their verdicts, `tables` by name, `scores`. It prints what was found, and a
        notebook shows it as its page.

    Raises:
        InputError: The folder has no results, `against` is not an arm of the study, or the page cannot be written.

    Example:
        ```python
        from maskwise.lab import report

        report("out", out="report.html").findings
        ```
    """
    made, _ = make_files(study, results, against=against, out=out, other=other, published=published)
    return made


def make_files(
    study: str | PathLike[str] | Study,
    results: pd.DataFrame | None = None,
    *,
    against: str | None,
    out: str | PathLike[str] | None,
    other: str | PathLike[str] | None,
    published: bool,
) -> tuple[Report, list[Path]]:
    """Returns the report and the files that were written; the parameters are those of `report`."""
    made = assemble(study, results, against=against, published=published)
    if other is not None:
        made = with_other(made, assemble(other, against=made.against))
    shown = PrintedReport(**{field.name: getattr(made, field.name) for field in fields(made)})
    return shown, [] if out is None else write_report(shown, Path(out))
