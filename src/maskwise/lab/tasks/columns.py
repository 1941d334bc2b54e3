"""Columns of a table out of a file: JSON lines, parquet, CSV, or the tab-separated files of GLUE."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from maskwise.errors import InputError, first_line
from maskwise.lab.text.compressed import COMPRESSIONS, open_source

Columns = dict[str, list[Any]]


class Table(NamedTuple):
    """The columns asked for, and how many lines were passed over because they have too many fields or too few."""

    columns: Columns
    num_malformed: int = 0


def find_files(folder: Path, split: str) -> list[Path]:
    """Returns the files of a split: one text file, or the parquet shards in order; none where there are none.

    `validation` may also be called `dev` (as GLUE does) or `valid`.
    """
    names = [split.replace("validation", name) for name in ("validation", "dev", "valid")]
    for kind in ("jsonl", "parquet", "csv", "tsv"):
        compressed = "" if kind == "parquet" else f"({'|'.join(map(re.escape, COMPRESSIONS))})?"
        for name in dict.fromkeys(names):
            pattern = rf"{re.escape(name)}(-\d+-of-\d+)?\.{kind}{compressed}"
            files = sorted(path for path in folder.iterdir() if re.fullmatch(pattern, path.name))
            if files:
                return files
    return []


def read_table(path: Path, columns: Sequence[str], official: Sequence[str | int] = ()) -> Table:
    """Returns the named columns of a file, text files decompressed.

    `official` are what the columns are called in GLUE's `.tsv` files, or their places in one without a header. Raises
    InputError, naming what was found, for a missing column, text that is not UTF-8, and a file that is not its kind.
    """
    kind = next(suffix for suffix in reversed(path.suffixes) if suffix not in COMPRESSIONS)
    if kind == ".parquet":
        return Table(_read_parquet(path, columns))
    with open_source(path) as (stream, _):
        try:
            text = stream.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} is not UTF-8: byte {error.start:,} is {error.object[error.start]:#04x}."
            ) from None
    if kind == ".tsv":
        return _read_tsv(path, text, columns, official)
    return Table(_read_jsonl(path, text, columns) if kind == ".jsonl" else _read_csv(path, text, columns))


def _read_parquet(path: Path, columns: Sequence[str]) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is not a parquet file: {first_line(error)}") from None
    require_columns(path, columns, file.schema_arrow.names)
    return file.read(columns=list(columns)).to_pydict()


def _read_jsonl(path: Path, text: str, columns: Sequence[str]) -> Columns:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{path}, line {number:,} is not JSON: {error.msg}.") from None
            require_columns(f"{path}, line {number:,}", columns, row if isinstance(row, dict) else ())
            rows.append(row)
    return {name: [row[name] for row in rows] for name in columns}


def _read_csv(path: Path, text: str, columns: Sequence[str]) -> Columns:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    require_columns(path, columns, reader.fieldnames or ())
    rows = list(reader)
    return {name: [row[name] or "" for row in rows] for name in columns}


def _read_tsv(path: Path, text: str, columns: Sequence[str], official: Sequence[str | int]) -> Table:
    """Splits at tabs alone: quotation marks in GLUE's files are text, and those of MRPC are not balanced."""
    lines = [line.rstrip("\r").split("\t") for line in text.split("\n") if line.strip()]
    if official and isinstance(official[0], int):
        width, places = len(lines[0]) if lines else 0, [int(place) for place in official]
    else:
        header = lines.pop(0) if lines else []
        named = columns if set(columns) <= set(header) or not official else [str(name) for name in official]
        require_columns(path, named, header)
        width, places = len(header), [header.index(name) for name in named]
    if places and max(places) >= width:
        raise InputError(f"{path} has {width} columns, and column {max(places) + 1} is needed.")
    whole = [line for line in lines if len(line) == width]
    read = {name: [line[place] for line in whole] for name, place in zip(columns, places, strict=True)}
    return Table(read, len(lines) - len(whole))


def require_columns(where: Path | str, columns: Iterable[str], found: Iterable[str]) -> None:
    """Raises InputError that names the first missing column and those found."""
    missing = [name for name in columns if name not in found]
    if missing:
        raise InputError(
            f"{where} has no column {missing[0]!r}; found: {', '.join(map(str, found)) or 'none'}.\n"
            "Name the columns with --text-column and --label-column."
        )
