"""The columns of a task's split out of its files: JSON lines, parquet, CSV, or the tab-separated files of GLUE."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from maskwise.errors import InputError
from maskwise.lab.text.compressed import COMPRESSIONS, open_source
from maskwise.lab.text.rows import (
    FileRow,
    csv_rows,
    file_kind,
    json_rows,
    parquet_rows,
    require_columns,
    tab_rows,
    unit_of,
)

_Columns = dict[str, list[Any]]
_KINDS = ("jsonl", "parquet", "csv", "tsv")


class Part(NamedTuple):
    """One file of a table: its path, the place of each of its rows, and the lines that were left out as malformed."""

    path: Path
    places: list[int]
    malformed: list[int]


@dataclass(frozen=True)
class SplitTable:
    """The columns of one split, and where its rows come from. `name` is the task's and the split's: "cola train"."""

    name: str
    columns: _Columns
    parts: Sequence[Part] = ()
    row_name: str = field(default="example")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def where(self, i: int) -> str:
        """Returns the place of row `i`, for people: its number from 1 on, and its file and line if there is one."""
        here, left = f"{self.name}, {self.row_name} {i + 1:,}", i
        for part in self.parts:
            if left < len(part.places):
                return f"{here} ({part.path.name}, {unit_of(part.path)} {part.places[left]:,})"
            left -= len(part.places)
        return here

    def select(self, kept: Sequence[int]) -> _Columns:
        """Returns the columns with the rows `kept` alone."""
        return {name: [values[i] for i in kept] for name, values in self.columns.items()}


class SplitFiles(NamedTuple):
    """The files that a split is read from, in order, and those that could have been taken instead."""

    files: list[Path]
    others: list[Path]


def find_split(folder: Path, split: str) -> SplitFiles:
    """Returns the files of a split in a folder: one file, or all shards of one set (`train-00000-of-00002.parquet`).

    `validation` may also be called `dev` (as GLUE does) or `valid`. Of several candidates the first is taken: .jsonl,
    .parquet, .csv, then .tsv; plain before compressed; one file before shards.

    Raises:
        InputError: If a shard is missing.
    """
    names = list(dict.fromkeys(split.replace("validation", name) for name in ("validation", "dev", "valid")))
    endings = "|".join(map(re.escape, COMPRESSIONS))
    pattern = re.compile(
        rf"({'|'.join(map(re.escape, names))})(?:-(\d+)-of-(\d+))?\.({'|'.join(_KINDS)})({endings})?", re.IGNORECASE
    )
    candidates: defaultdict[tuple[Any, ...], dict[int, Path]] = defaultdict(dict)
    for path in sorted(folder.iterdir()):
        if not path.is_dir() and (found := pattern.fullmatch(path.name)):
            name, shard, num_shards, kind, compression = found.groups()
            key = (
                _KINDS.index(kind.lower()), names.index(name.lower()), int(num_shards or 0), (compression or "").lower()
            )  # fmt: skip
            candidates[key][int(shard or 0)] = path
    if not candidates:
        return SplitFiles([], [])
    chosen = min(candidates)
    files = candidates.pop(chosen)
    missing = sorted(set(range(chosen[2])) - files.keys())
    if missing:
        raise InputError(
            f"{folder} has {len(files)} of the {chosen[2]} shards of {split}: number {missing[0]} is missing "
            f"(found: {', '.join(path.name for path in files.values()):.200})."
        )
    others = [path for group in sorted(candidates) for path in candidates[group].values()]
    return SplitFiles([files[shard] for shard in sorted(files)], others)


def read_table(
    name: str, files: Sequence[Path], columns: Sequence[str], official: Sequence[str | int] = ()
) -> SplitTable:
    """Returns the named columns of a split's files, one after the other.

    Args:
        name: What the table is called in messages.
        files: The files; text files may be compressed.
        columns: The columns to read.
        official: What the columns are called in GLUE's `.tsv` files, or their places in one without a header.

    Raises:
        InputError: If a file cannot be read, is not what its name says, or lacks a column; names the file and the line.
    """
    read: _Columns = {column: [] for column in columns}
    parts = []
    for path in files:
        part = Part(path, [], [])
        with open_source(path) as (stream, _):
            for place, values in _rows(stream, path, columns, official, part.malformed):
                part.places.append(place)
                for column in columns:
                    read[column].append(values[column])
        parts.append(part)
    return SplitTable(name, read, parts)


def _rows(
    stream: Any, path: Path, columns: Sequence[str], official: Sequence[str | int], malformed: list[int]
) -> Iterator[FileRow]:
    kind = file_kind(path)
    if kind == ".tsv":
        return _tsv_rows(stream, path, columns, official, malformed)
    return {".jsonl": json_rows, ".parquet": parquet_rows, ".csv": csv_rows}[kind](stream, path, columns)


def _tsv_rows(
    stream: Any, path: Path, columns: Sequence[str], official: Sequence[str | int], malformed: list[int]
) -> Iterator[FileRow]:
    rows = tab_rows(stream, path)
    places: Mapping[str, int] | None = None
    width = 0
    if official and isinstance(official[0], int):
        places = dict(zip(columns, map(int, official), strict=True))
    for number, fields in rows:
        if not width:
            width = len(fields)
            if places is None:
                places = _header_places(path, fields, columns, official)
                continue
            if max(places.values()) >= width:
                raise InputError(f"{path} has {width} columns, and column {max(places.values()) + 1} is needed.")
        if len(fields) != width:
            malformed.append(number)
        else:
            yield FileRow(number, {column: fields[place] for column, place in (places or {}).items()})
    if not width:
        require_columns(path, columns, ())


def _header_places(
    path: Path, header: Sequence[str], columns: Sequence[str], official: Sequence[str | int]
) -> dict[str, int]:
    named = columns if set(columns) <= set(header) or not official else [str(name) for name in official]
    require_columns(path, named, header)
    return {column: header.index(name) for column, name in zip(columns, named, strict=True)}
