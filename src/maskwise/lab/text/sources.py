"""Documents out of sources: text files, JSON lines, parquet, Hugging Face data sets, the built-in corpus."""

from __future__ import annotations

import glob
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from maskwise.errors import InputError, nearest
from maskwise.lab.text.compressed import COMPRESSIONS, READ_BYTES, open_source
from maskwise.lab.text.python_docs import python_documents

FORMATS = (".txt", ".jsonl", ".parquet")
BUILT_IN = "python-docs"
HUB = "hub:"
MAX_DOCUMENT_BYTES = 64 << 20


class Document(NamedTuple):
    """One text that belongs together, and its label where one is asked for (`python-docs`: the package)."""

    text: str
    label: str | None = None


@dataclass
class Source:
    """One file or named corpus; `size` and `sha256` are known once `documents` has been read to the end."""

    name: str
    read: Callable[[Source], Iterator[Document]]
    size: int = 0
    sha256: str = ""
    num_documents: int = field(default=0)

    def documents(self) -> Iterator[Document]:
        """Yields the documents in the order of the source; memory holds one of them at a time."""
        self.num_documents = 0
        for document in self.read(self):
            self.num_documents += 1
            yield document


def documents(sources: Sequence[str]) -> Iterator[Document]:
    """Yields the documents of all sources, in the order given (a folder or a glob: sorted by path).

    A source is a file (.txt, .jsonl, .parquet; each also .gz, .xz, .bz2, .zst), a folder or glob of them,
    `hub:NAME[:CONFIG]` (its `train` split, streamed), or `python-docs`. In a text file a line is a paragraph and a
    blank line ends the document; in the others the text is the column `text`.
    Raises InputError for whatever cannot be read, naming it.
    """
    for source in find_sources(sources):
        yield from source.documents()


def find_sources(sources: Sequence[str], label_column: str | None = None) -> list[Source]:
    """Returns the sources behind the names given, folders and globs resolved to sorted files; nothing is read yet.

    Their documents are labelled by the column `label_column`, where it is given. Raises InputError for what is not
    there, and for plain text where labels are asked for.
    """
    return [found for name in sources for found in _resolve(name, label_column)]


def _resolve(name: str, label_column: str | None) -> list[Source]:
    if name == BUILT_IN:
        return [Source(name, _read_python_docs)]
    if name.startswith(HUB):
        return [Source(name, partial(_read_hub, label_column=label_column))]
    path = Path(name).expanduser()
    if path.is_dir():
        return [_file(found, label_column) for found in _known_files(path)]
    if path.exists():
        return [_file(path, label_column)]
    if matches := [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]:
        return [_file(match, label_column) for match in matches if match.is_file()]
    raise InputError(f"no such source: {name!r}.{_advice(name, path)}")


def _advice(name: str, path: Path) -> str:
    beside = [str(path.parent / other.name) for other in path.parent.iterdir()] if path.parent.is_dir() else []
    return nearest(name, [BUILT_IN, *beside]) or (
        f"\nGive a file, a folder, a glob ({', '.join(FORMATS)}), {HUB}NAME[:CONFIG], or {BUILT_IN}."
    )


def _known_files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and _format(path) in FORMATS)
    if not found:
        raise InputError(f"the folder {folder} holds no {', '.join(FORMATS)} file, plain or compressed.")
    return found


def _format(path: Path) -> str:
    suffixes = path.suffixes[:-1] if path.suffix in COMPRESSIONS else path.suffixes
    return suffixes[-1] if suffixes else ""


def _file(path: Path, label_column: str | None) -> Source:
    in_columns = {
        ".jsonl": partial(read_json_lines, label_column=label_column),
        ".parquet": partial(read_parquet, label_column=label_column),
    }
    readers = {".txt": read_text, **in_columns}
    if label_column and _format(path) == ".txt":
        raise InputError(
            f"{path} is plain text, which has no column {label_column!r}. Labels are read from .jsonl and .parquet."
        )
    if _format(path) not in readers:
        raise InputError(
            f"{path} has the unknown extension {''.join(path.suffixes[-2:]) or '(none)'!r}.\n"
            f"Known: {', '.join(FORMATS)}, each also with {', '.join(COMPRESSIONS)}."
        )

    def read(source: Source) -> Iterator[Document]:
        with open_source(path) as (stream, raw):
            yield from readers[_format(path)](stream, path)
            raw.drain()
            source.size, source.sha256 = raw.size, raw.hexdigest()

    return Source(str(path), read)


def read_text(stream: BinaryIO, path: Path) -> Iterator[Document]:
    """Yields the documents of a text file: a line is a paragraph, a blank line ends the document."""
    lines: list[bytes] = []
    began_at = at = 0
    for line in stream:
        if not line.strip():
            if lines:
                yield Document(_decode(b"".join(lines), began_at, path))
            lines, began_at = [], at + len(line)
        else:
            lines.append(line)
        at += len(line)
        if at - began_at > MAX_DOCUMENT_BYTES:
            raise InputError(
                f"{path}: no blank line in the {MAX_DOCUMENT_BYTES >> 20} MiB from byte {began_at}, "
                "so all of it would be one document.\nPut a blank line between documents, or use .jsonl."
            )
    if lines:
        yield Document(_decode(b"".join(lines), began_at, path))


def _decode(data: bytes, began_at: int, path: Path) -> str:
    try:
        return data.decode("utf-8-sig" if began_at == 0 else "utf-8")
    except UnicodeDecodeError as error:
        bom = 3 if began_at == 0 and data.startswith(b"\xef\xbb\xbf") else 0  # utf-8-sig counts from behind the mark
        raise InputError(
            f"{path} is not UTF-8: byte {began_at + bom + error.start} is {data[bom + error.start]:#04x} "
            f"({error.reason}).\nConvert it, for instance with: iconv -f latin1 -t utf-8"
        ) from error


def read_json_lines(stream: BinaryIO, path: Path, label_column: str | None = None) -> Iterator[Document]:
    """Yields one document a line from its field `text`, and its label from the field `label_column`."""
    at = 0
    for number, line in enumerate(stream, start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield _document(_fields(_decode(line, at, path), where), where, label_column)
        at += len(line)


def _fields(line: str, where: str) -> dict:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: {error.msg} at character {error.pos}.") from error
    if not isinstance(row, dict):
        raise InputError(f"{where} holds a {type(row).__name__}, not an object with a field 'text'.")
    return row


def _document(row: dict, where: str, label_column: str | None) -> Document:
    _require_columns(row, where, label_column)
    if not isinstance(row["text"], str):
        raise InputError(f"{where}: the column 'text' holds {row['text']!r:.60}, not a string.")
    if label_column is None:
        return Document(row["text"])
    if not isinstance(row[label_column], str | int):
        raise InputError(f"{where}: the column {label_column!r} holds {row[label_column]!r:.60}, not a class.")
    return Document(row["text"], str(row[label_column]))


def _require_columns(columns: Iterable[str], where: str, label_column: str | None) -> None:
    found = ", ".join(map(repr, columns)) or "none"
    if "text" not in columns:
        raise InputError(f"{where} has no column 'text'; found: {found}.\nRename the column that holds the text.")
    if label_column is not None and label_column not in columns:
        raise InputError(f"{where} has no column {label_column!r}, which --label-column names; found: {found}.")


def read_parquet(stream: BinaryIO, path: Path, label_column: str | None = None) -> Iterator[Document]:
    """Yields one document a row from the column `text`, a few thousand rows in memory at a time.

    Its label is that of the column `label_column`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryFile() as spool:  # parquet is read from its end: a stream is put down on disk first
        shutil.copyfileobj(stream, spool, READ_BYTES)
        try:
            table = pq.ParquetFile(spool)
        except pa.ArrowInvalid as error:
            raise InputError(f"{path} is not a readable parquet file: {error}.") from error
        _require_columns(table.schema_arrow.names, str(path), label_column)
        columns = ["text", *([label_column] if label_column else [])]
        for batch in table.iter_batches(batch_size=4096, columns=columns):
            for row in batch.to_pylist():
                yield _document(row, str(path), label_column)


def _read_hub(source: Source, label_column: str | None) -> Iterator[Document]:
    name, _, config = source.name.removeprefix(HUB).partition(":")
    return _hashed(source, (_document(row, source.name, label_column) for row in _hub_rows(name, config or None)))


def _hub_rows(name: str, config: str | None) -> Iterator[dict]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        yield from load_dataset(name, config, split="train", streaming=True)  # type: ignore[misc]
    except (OSError, ValueError, DatasetsError) as error:
        raise InputError(f"cannot read the data set {name!r} (config {config!r}, split 'train'): {error}") from error


def _read_python_docs(source: Source) -> Iterator[Document]:
    return _hashed(source, (Document(text, package) for text, package in python_documents()))


def _hashed(source: Source, found: Iterator[Document]) -> Iterator[Document]:
    """Passes documents on and leaves the size and hash of their texts: such a source has no bytes of its own."""
    total, size = hashlib.sha256(), 0
    for document in found:
        data = document.text.encode("utf-8", "surrogatepass")
        total.update(len(data).to_bytes(8, "little") + data)
        size += len(data)
        yield document
    source.size, source.sha256 = size, total.hexdigest()
