"""The rows of a table file: JSON lines, parquet, CSV or tab-separated text, each in bounded memory.

Every command that reads such a file reads it here.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from shutil import copyfileobj
from typing import Any, BinaryIO, NamedTuple

from maskwise.errors import InputError, first_line
from maskwise.files.json_text import parse_json
from maskwise.lab.text.compressed import COMPRESSIONS, EXPANSION_FROM_BYTES, MAX_EXPANSION, READ_BYTES, open_source
from maskwise.lab.text.encodings import decode
from maskwise.lab.text.lines import MAX_LINE_BYTES, chunks, lines

# A value of a parquet file has at most as many bytes as its column chunk, and a dictionary can repeat it in every row.
MAX_BATCH_BYTES = 512 << 20
MAX_BATCH_ROWS = 16  # larger batches are hardly faster
NAME_THE_COLUMNS = "Name the columns with --text-column and --label-column."


class FileRow(NamedTuple):
    """A row of a file: its place, counted from 1, and its values by column."""

    place: int
    values: dict[str, Any]


def unit_of(path: Path) -> str:
    """Returns what the places of a file's rows count.

    >>> unit_of(Path("train.csv.gz")), unit_of(Path("train.parquet"))
    ('line', 'row')
    """
    return "row" if file_kind(path) == ".parquet" else "line"


def file_kind(path: Path) -> str:
    """Returns the ending of a file's name that says what it holds, in small letters: the last but for a compression.

    >>> file_kind(Path("news.2024.TXT.gz")), file_kind(Path("notes"))
    ('.txt', '')
    """
    suffixes = path.suffixes
    if suffixes and suffixes[-1].lower() in COMPRESSIONS:
        suffixes = suffixes[:-1]
    return suffixes[-1].lower() if suffixes else ""


def json_rows(
    stream: BinaryIO, path: Path, columns: Sequence[str], advice: str = NAME_THE_COLUMNS
) -> Iterator[FileRow]:
    """Yields the objects of JSON lines.

    Raises:
        InputError: If a line is not UTF-8, not JSON, not an object, or lacks one of the columns; names the line.
    """
    wanted = set(columns)
    for line in lines(stream, path):
        where = f"{path}, line {line.number:,}"
        values = parse_json(line.text(path), where)
        if not isinstance(values, dict):
            wish = f"an object with {columns[0]!r}" if columns else "an object"
            raise InputError(f"{where} holds a {type(values).__name__}, not {wish}.")
        if not wanted <= values.keys():
            require_columns(where, columns, values, advice)
        yield FileRow(line.number, values)


def json_objects(path: Path) -> Iterator[FileRow]:
    r"""Yields the objects of a JSON lines file, decompressed, whatever their keys.

    Raises:
        InputError: As `json_rows` does.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "pairs.jsonl")
    ...     _ = path.write_text('{"good": "a"}\n\n{"good": "b"}\n')
    ...     [(place, values["good"]) for place, values in json_objects(path)]
    [(1, 'a'), (3, 'b')]
    """
    with open_source(path) as (stream, _):
        yield from json_rows(stream, path, ())


def parquet_rows(
    stream: BinaryIO, path: Path, columns: Sequence[str], advice: str = NAME_THE_COLUMNS
) -> Iterator[FileRow]:
    """Yields the rows of a parquet file, with the columns named.

    Raises:
        InputError: If the file is damaged, expands more than 200 times, lacks one of the columns, or has text that is
            not UTF-8; names the file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    place, size = 0, 0
    with _seekable(stream, path) as (file, num_bytes):
        try:
            table = pq.ParquetFile(file)
            require_columns(path, columns, table.schema_arrow.names, advice)
            stated = _stated_sizes(table.metadata, columns)
            _require_plausible(path, sum(stated), num_bytes)
            num_rows = min(max(MAX_BATCH_BYTES // max(stated, default=1), 1), MAX_BATCH_ROWS)
            for batch in table.iter_batches(batch_size=num_rows, columns=list(columns)):
                size += batch.nbytes
                _require_plausible(path, size, num_bytes)
                for values in _to_python(batch, path, place):
                    place += 1
                    yield FileRow(place, values)
        except (pa.ArrowException, OSError) as error:
            behind = f" behind row {place:,}" if place else ""
            raise InputError(
                f"{path} is not a readable parquet file{behind}: {first_line(error)}.\nIs it damaged, or cut off?"
            ) from error


@contextmanager
def _seekable(stream: BinaryIO, path: Path) -> Iterator[tuple[Any, int]]:
    """Returns a file that parquet can read from its end, and its size; a compressed one is put down on disk first."""
    if path.suffix.lower() not in COMPRESSIONS:
        yield path, path.stat().st_size
        return
    with tempfile.TemporaryFile() as spool:
        copyfileobj(stream, spool, READ_BYTES)
        yield spool, spool.tell()


def _stated_sizes(metadata: Any, columns: Sequence[str]) -> list[int]:
    """Returns how many bytes each chunk of the columns has, as the footer states."""
    chunks = (
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    return [max(chunk.total_uncompressed_size, 1) for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns]


def _require_plausible(path: Path, size: int, num_bytes: int) -> None:
    if size > max(EXPANSION_FROM_BYTES, MAX_EXPANSION * num_bytes):
        raise InputError(
            f"{path}: its {num_bytes:,} bytes expand to more than {size:,}, beyond the limit of {MAX_EXPANSION} times."
            "\nText does not compress that well. Is it the file that you mean?"
        )


def _to_python(batch: Any, path: Path, place: int) -> list[dict[str, Any]]:
    try:
        return batch.to_pylist()
    except UnicodeDecodeError:
        pass
    for i in range(len(batch)):
        try:
            batch.slice(i, 1).to_pylist()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, row {place + i + 1:,} is not UTF-8: byte {error.start:,} of a text is "
                f"{error.object[error.start]:#04x}.\nWrite the file again from text."
            ) from None
    raise AssertionError("a batch does not decode, and each of its rows does")


def csv_rows(stream: BinaryIO, path: Path, columns: Sequence[str]) -> Iterator[FileRow]:
    """Yields the rows of comma-separated text under a header; a quoted field may hold commas and line breaks.

    Raises:
        InputError: If a row has more or fewer fields than the header, or a quotation mark is not closed; names the
            line that the row begins in. A file without a header lacks the columns.
    """
    texts = (decode(chunk.data, path, chunk.offset) for chunk in chunks(stream, path))
    reader = csv.reader(chain.from_iterable(io.StringIO(text, newline="") for text in texts), strict=True)
    header: list[str] | None = None
    while True:
        place = reader.line_num + 1
        try:
            fields = _next_row(reader)
        except csv.Error as error:
            raise InputError(
                f"{path}, line {place:,} is not CSV: {error}.\n"
                'Close every quotation mark, and write "" for one inside a quoted field.'
            ) from None
        if fields is None:
            break
        if header is None and fields:
            header = fields
            require_columns(path, columns, header)
        elif header is not None and fields:
            if len(fields) != len(header):
                raise InputError(
                    f"{path}, line {place:,} has {len(fields)} fields, and the header {len(header)}.\n"
                    'Quote a field that has a comma in it: "so good, so far".'
                )
            yield FileRow(place, dict(zip(header, fields, strict=True)))
    require_columns(path, columns, header or ())


def _next_row(reader: Any) -> list[str] | None:
    """Returns the next row, empty for a blank line, or None; the csv module's limit on a field is one for all."""
    limit = csv.field_size_limit(MAX_LINE_BYTES)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(limit)


def tab_rows(stream: BinaryIO, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the number and the fields of each line that is not blank, split at tabs alone.

    Quotation marks are text here, as in GLUE's files, where those of MRPC are not balanced.
    """
    for line in lines(stream, path):
        yield line.number, line.text(path).split("\t")


def require_columns(
    where: Path | str, columns: Iterable[str], found: Collection[str], advice: str = NAME_THE_COLUMNS
) -> None:
    """Raises InputError that names the first column that is missing or there twice, and those found."""
    names = list(found)
    shown = ", ".join(map(repr, names)) or "none"
    for name in columns:
        if name not in found:
            raise InputError(f"{where} has no column {name!r}; found: {shown:.500}.\n{advice}")
        if names.count(name) > 1:
            raise InputError(f"{where} has {names.count(name)} columns {name!r}; found: {shown:.500}.")
