"""The report job: a study's folder in, a page and plain files out."""

from __future__ import annotations

from pathlib import Path

from maskwise.lab.reports.assemble import Report, make_report
from maskwise.lab.reports.files import write_report
from maskwise.lab.reports.two_studies import with_other


def report(
    folder: str | Path,
    *,
    against: str | None = None,
    out: str | Path | None = None,
    other: str | Path | None = None,
    published: bool = False,
) -> Report:
    """Reports what a study found: writes a page that needs nothing else, and the same as Markdown, JSON and CSV.

    Args:
        folder: A study's folder, finished or not.
        against: The arm that all others are held against; by default the one that the declared family compares with
            most often.
        out: The page; by default `folder/report.html`. The other files are next to it.
        other: Another study's folder, set next to this one.
        published: Whether the entropy masking paper's cells are set next to what was measured.

    Returns:
        What the page says: `findings` with their verdicts, `tables` by name, `scores`.

    Raises:
        InputError: For a folder without results, an arm that is not in the study, and a page that cannot be written.
    """
    made, _ = make_files(folder, against=against, out=out, other=other, published=published)
    return made


def make_files(
    folder: str | Path, *, against: str | None, out: str | Path | None, other: str | Path | None, published: bool
) -> tuple[Report, list[Path]]:
    """Returns the report and the files that were written; the parameters are those of `report`."""
    made = make_report(folder, against, published=published)
    if other is not None:
        made = with_other(made, make_report(other, made.against))
    return made, write_report(made, Path(out) if out is not None else Path(folder) / "report.html")
