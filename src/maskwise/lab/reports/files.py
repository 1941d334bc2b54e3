"""A report as plain files: Markdown, JSON, and a CSV a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from maskwise.errors import InputError
from maskwise.files.markdown_text import markdown_text
from maskwise.lab.records.strict_json import to_json
from maskwise.lab.reports.assemble import Report
from maskwise.lab.reports.page import report_page


def write_report(report: Report, path: Path) -> list[Path]:
    """Writes the page to `path`, and next to it the same as .md, .json and a folder of .csv; returns what was written.

    Raises InputError if that cannot be written, or `path` does not end in .html.
    """
    if path.suffix != ".html":
        raise InputError(f"--out is the report's page, such as report.html; found {str(path)!r}.")
    folder = path.with_name(f"{path.stem}-tables")
    markdown, data = path.with_suffix(".md"), path.with_suffix(".json")
    texts = {path: report_page(report), markdown: as_markdown(report), data: as_json(report)}
    texts |= {folder / f"{name}.csv": table.csv() for name, table in report.tables.items() if table.rows}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        write_all(texts)
        for old in set(folder.glob("*.csv")) - texts.keys():
            old.unlink()
    except OSError as error:
        raise InputError(
            f"The report cannot be written to {path}: {error.strerror}. Nothing was changed; give another --out."
        ) from None
    return [path, markdown, data, folder]


def write_all(texts: Mapping[Path, str]) -> None:
    """Writes all files, or none: each is written next to its place before the first one takes it."""
    waiting = {file: file.with_name(f".{file.name}.new") for file in texts}
    try:
        for file, temporary in waiting.items():
            temporary.write_text(texts[file], encoding="utf-8")
        for file, temporary in waiting.items():
            temporary.replace(file)
    finally:
        for temporary in waiting.values():
            temporary.unlink(missing_ok=True)


def as_markdown(report: Report) -> str:
    """Returns the report in Markdown, without its pictures and without every single value."""
    return "\n".join(_lines(report)).rstrip() + "\n"


def as_json(report: Report) -> str:
    """Returns the report as JSON: its sentences, every table in full precision, and the evaluations over training."""
    said = {
        "question": report.study.question,
        "against": report.against,
        "jobs": {"done": report.num_done, "all": report.num_jobs},
        "facts": dict(report.facts),
        "statement": report.statement,
        "findings": [
            {"verdict": found.verdict, "sentence": found.sentence, "differences": found.hypothesis.differences}
            for found in report.findings
        ],
        "tables": {name: table.plain_rows() for name, table in report.tables.items()},
        "evaluations": [vars(curve) for curve in report.curves],
        "study": report.study.model_dump(mode="json", exclude_none=True),
    }
    return to_json(said, indent=1)


def _lines(report: Report) -> Iterator[str]:
    yield from (f"# {_one_line(report.title)}", "")
    if not report.is_finished:
        yield from (
            f"**Not finished: {report.num_done} of {report.num_jobs} jobs are done.** Verdicts may change.",
            "",
        )
    yield from (f"- {name}: {_one_line(value)}" for name, value in report.facts)
    yield from ("", "## What was found", "")
    yield from (f"- **{found.verdict}**: {_one_line(found.sentence)}" for found in report.findings)
    yield from ("", "## What this study could find", "")
    yield from (f"- {_one_line(sentence)}" for sentence in report.statement)
    for name, table in report.tables.items():
        if table.rows and name != "values":
            yield from ("", f"## {table.title}", "", table.markdown(), "", markdown_text(table.note))
    yield from ("", "## The study file", "", "```toml", report.settings.rstrip(), "```")


def _one_line(text: str) -> str:
    return markdown_text(" ".join(text.split()))
