"""Documents out of sources: text files, JSON lines, parquet, Hugging Face data sets, the built-in corpus."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from maskwise.errors import InputError, first_line, nearest
from maskwise.files.checkpoint_names import HUB
from maskwise.lab.text.clean import clean, count_joiners
from maskwise.lab.text.compressed import COMPRESSIONS, open_source
from maskwise.lab.text.encodings import decode
from maskwise.lab.text.find_files import PassedOver, Search, is_there
from maskwise.lab.text.lines import chunks
from maskwise.lab.text.python_docs import python_documents
from maskwise.lab.text.rows import file_kind, json_rows, parquet_rows, require_columns, unit_of
from maskwise.lab.text.values import label_of

_FORMATS = (".txt", ".jsonl", ".parquet")
BUILT_IN = "python-docs"
MAX_DOCUMENT_BYTES = 64 << 20
TEXT = "text"
RENAME_THE_COLUMN = f"The text is read from the column {TEXT!r}: rename yours. --label-column names that of the labels."
# The end of a line, a line without a word, and whatever white space follows. "\r" alone ends a line too.
_BLANK_LINES = re.compile(rb"(?:\A|(?>\r\n?|\n))[ \t\f\v]*(?>\r\n?|\n)\s*")


class SourceDocument(NamedTuple):
    """One text that belongs together, and its label if one is asked for (`python-docs`: the package)."""

    text: str
    label: str | None = None


@dataclass
class Source:
    """One file or named corpus, and what is known of it once `documents` has been read to the end.

    `size` and `sha256` are those of the stored file. `num_joiners` counts the rows of combining marks that were broken
    up, see `clean`. `num_lines` is that of the only document of a plain text file, and 0 for any other source.
    """

    name: str
    read: Callable[[Source], Iterator[SourceDocument]]
    is_plain_text: bool = False
    size: int = 0
    sha256: str = ""
    num_documents: int = 0
    num_joiners: int = 0
    num_lines: int = 0

    def documents(self) -> Iterator[SourceDocument]:
        """Yields the documents, cleaned, in the order of the source; memory holds one of them at a time."""
        self.num_documents = self.num_joiners = self.num_lines = 0
        for text, label in self.read(self):
            self.num_documents += 1
            is_only = self.is_plain_text and self.num_documents == 1
            self.num_lines = text.rstrip().count("\n") + 1 if is_only else 0
            cleaned = clean(text)
            self.num_joiners += count_joiners(cleaned) - count_joiners(text)
            yield SourceDocument(cleaned, label)


class Sources(list[Source]):
    """The sources behind some names, and what was passed over in finding them."""

    def __init__(self, sources: Iterable[Source] = (), passed_over: PassedOver | None = None) -> None:
        super().__init__(sources)
        self.passed_over = passed_over or PassedOver()


def documents(sources: Sequence[str]) -> Iterator[SourceDocument]:
    """Yields the documents of all sources, cleaned, in the order given (a folder or a glob: sorted by path).

    Args:
        sources: Each is a file (.txt, .jsonl, .parquet; each also .gz, .xz, .bz2, .zst), a folder or glob of them,
            `hub:NAME[:CONFIG]` (its `train` split, streamed), or `python-docs`. In a text file a line is a paragraph
            and a blank line ends the document; in the others the text is the column `text`.

    Raises:
        InputError: For whatever cannot be read, naming it.
    """
    for source in find_sources(sources):
        yield from source.documents()


def find_sources(sources: Sequence[str], label_column: str | None = None) -> Sources:
    """Returns the sources behind the names given, folders and globs resolved to sorted files; nothing is read yet.

    Args:
        sources: As `documents` takes them. Links are followed; hidden files are passed over unless they are named.
        label_column: The column with the label of each document, if there is one.

    Raises:
        InputError: For what is not there or cannot be read, and for plain text if labels are asked for.
    """
    found = Sources()
    for name in sources:
        resolved = _resolve(name, label_column)
        found += resolved
        found.passed_over.add(resolved.passed_over)
    return found


def one_document_note(sources: Iterable[Source]) -> str:
    """Returns a sentence on the text files that are one document each, for want of a blank line; or an empty text."""
    whole = [source for source in sources if source.num_lines > 1]
    if not whole:
        return ""
    first = f"{whole[0].name} has no blank line, so its {whole[0].num_lines:,} lines are one document"
    more = f", and so it is with {len(whole) - 1:,} more text files" if len(whole) > 1 else ""
    return f"{first}{more}. If each line is a text of its own, put a blank line after each, or use .jsonl."


def _resolve(name: str, label_column: str | None) -> Sources:
    if name == BUILT_IN:
        return Sources([Source(name, _read_python_docs)])
    if name.startswith(HUB):
        return Sources([Source(name, partial(_read_hub, label_column=label_column))])
    path, search = Path(name).expanduser(), Search(lambda path: file_kind(path) in _FORMATS)
    if is_there(path):
        files = search.in_folder(path) if path.is_dir() else [path]
    else:
        files = search.by_glob(str(path)) if glob.has_magic(name) else []
    if not files:
        passed = f"\nPassed over: {search.passed_over}." if str(search.passed_over) else ""
        if path.is_dir():
            raise InputError(f"the folder {path} holds no {', '.join(_FORMATS)} file, plain or compressed.{passed}")
        raise InputError(f"no such source: {name!r}.{_advice(name, path)}{passed}")
    return Sources([_file(file, label_column) for file in files], search.passed_over)


def _advice(name: str, path: Path) -> str:
    beside = [str(path.parent / other.name) for other in path.parent.iterdir()] if path.parent.is_dir() else []
    return nearest(name, [BUILT_IN, *beside]) or (
        f"\nGive a file, a folder, a glob ({', '.join(_FORMATS)}), {HUB}NAME[:CONFIG], or {BUILT_IN}."
    )


def _file(path: Path, label_column: str | None) -> Source:
    kind = file_kind(path)
    if kind not in _FORMATS:
        raise InputError(
            f"{path} has the unknown extension {''.join(path.suffixes[-2:]) or '(none)'!r}.\n"
            f"Known: {', '.join(_FORMATS)}, each also with {', '.join(COMPRESSIONS)}."
        )
    if label_column and kind == ".txt":
        raise InputError(
            f"{path} is plain text, which has no column {label_column!r}. Labels are read from .jsonl and .parquet."
        )

    def read(source: Source) -> Iterator[SourceDocument]:
        with open_source(path) as (stream, raw):
            yield from read_text(stream, path) if kind == ".txt" else _read_rows(stream, path, label_column)
            raw.drain()
            source.size, source.sha256 = raw.size, raw.hexdigest()

    return Source(str(path), read, is_plain_text=kind == ".txt")


def read_text(stream: BinaryIO, path: Path) -> Iterator[SourceDocument]:
    """Yields the documents of a text file: a line is a paragraph, a blank line ends the document.

    Raises:
        InputError: If the text is not UTF-8, or a document is longer than 64 MiB.
    """
    parts: list[bytes] = []
    began_at = size = 0
    for offset, data in chunks(stream, path):
        at = 0
        for blank in _BLANK_LINES.finditer(data):
            parts.append(data[at : blank.start()])
            _require_short(size + blank.start() - at, began_at, path)
            yield from _decoded(parts, began_at, path)
            at = blank.end()
            parts, size, began_at = [], 0, offset + at
        if not parts:
            began_at = offset + at
        parts.append(data[at:])
        size += len(data) - at
        _require_short(size, began_at, path)
    yield from _decoded(parts, began_at, path)


def _require_short(size: int, began_at: int, path: Path) -> None:
    if size > MAX_DOCUMENT_BYTES:
        raise InputError(
            f"{path}: no blank line in the {MAX_DOCUMENT_BYTES >> 20} MiB from byte {began_at}, "
            "so all of it would be one document.\nPut a blank line between documents, or use .jsonl."
        )


def _decoded(parts: list[bytes], began_at: int, path: Path) -> Iterator[SourceDocument]:
    data = b"".join(parts)
    if data and not data.isspace():
        yield SourceDocument(decode(data, path, began_at))


def _read_rows(stream: BinaryIO, path: Path, label_column: str | None) -> Iterator[SourceDocument]:
    read = json_rows if file_kind(path) == ".jsonl" else parquet_rows
    unit, columns = unit_of(path), [TEXT, *([label_column] if label_column else [])]
    for place, values in read(stream, path, columns, RENAME_THE_COLUMN):
        yield _document(values, f"{path}, {unit} {place:,}", label_column)


def _document(values: dict[str, Any], where: str, label_column: str | None) -> SourceDocument:
    text = values[TEXT]
    if not isinstance(text, str):
        raise InputError(f"{where}: the column {TEXT!r} holds {text!r:.60}, not a string.")
    if len(text) > MAX_DOCUMENT_BYTES:
        raise InputError(f"{where}: the text has {len(text):,} characters; at most {MAX_DOCUMENT_BYTES:,} are read.")
    if label_column is None:
        return SourceDocument(text)
    label = label_of(values[label_column], where)
    if label is None:
        raise InputError(f"{where} has no label: the column {label_column!r} is empty.\nLabel or delete it.")
    return SourceDocument(text, label)


def _read_hub(source: Source, label_column: str | None) -> Iterator[SourceDocument]:
    name, _, config = source.name.removeprefix(HUB).partition(":")
    columns = [TEXT, *([label_column] if label_column else [])]

    def found() -> Iterator[SourceDocument]:
        for place, values in enumerate(_hub_rows(name, config or None), start=1):
            where = f"{source.name}, row {place:,}"
            require_columns(where, columns, values, RENAME_THE_COLUMN)
            yield _document(values, where, label_column)

    return _hashed(source, found())


def _hub_rows(name: str, config: str | None) -> Iterator[dict[str, Any]]:
    from datasets import load_dataset

    try:
        yield from load_dataset(name, config, split="train", streaming=True)  # type: ignore[misc]
    except Exception as error:  # of the network, of the hub, and of whoever wrote the data set
        raise InputError(
            f"cannot read the data set {name!r} (config {config!r}, split 'train'): {first_line(error)}"
        ) from error


def _read_python_docs(source: Source) -> Iterator[SourceDocument]:
    return _hashed(source, (SourceDocument(text, package) for text, package in python_documents()))


def _hashed(source: Source, found: Iterator[SourceDocument]) -> Iterator[SourceDocument]:
    """Passes documents on and leaves the size and hash of their texts: such a source has no bytes of its own."""
    total, size = hashlib.sha256(), 0
    for document in found:
        data = document.text.encode("utf-8", "surrogatepass")
        total.update(len(data).to_bytes(8, "little") + data)
        size += len(data)
        yield document
    source.size, source.sha256 = size, total.hexdigest()
