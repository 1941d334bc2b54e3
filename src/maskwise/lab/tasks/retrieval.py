"""A retrieval data set in the layout of BEIR (Thakur et al. 2021): documents, queries, and judgements of pairs of both.

`corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`), `qrels/SPLIT.tsv` (query, document, grade,
under a header); each may be compressed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from maskwise.errors import InputError
from maskwise.lab.text.compressed import COMPRESSIONS, open_source

Judgements = dict[str, dict[str, int]]


class Document(NamedTuple):
    """A document; its title may be empty."""

    title: str
    text: str

    @property
    def whole(self) -> str:
        """Title and text, as they are indexed."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True)
class Collection:
    """Documents and queries by id, and for each split and query the grades of its judged documents."""

    name: str
    documents: Mapping[str, Document]
    queries: Mapping[str, str]
    judgements: Mapping[str, Judgements]
    repairs: list[str] = field(default_factory=list)


def load_beir(folder: Path, splits: Sequence[str]) -> Collection:
    """Returns the collection in a folder, with the judgements of `splits`, and of `train` where there are any.

    Queries without a relevant document are left out of a split, and documents without a word are kept; both are said in
    `repairs`. Raises InputError for a missing file, a malformed line, an id that is there twice, and judgements of
    unknown queries or documents.
    """
    documents = {
        key: Document(str(row.get("title") or "").strip(), str(row["text"] or "").strip())
        for key, row in _read_rows(_find(folder, "corpus.jsonl"))
    }
    queries = {key: str(row["text"] or "").strip() for key, row in _read_rows(_find(folder, "queries.jsonl"))}
    wanted = [*splits, *(["train"] if "train" not in splits and _has(folder, "qrels/train.tsv") else [])]
    files = {split: _find(folder, f"qrels/{split}.tsv") for split in wanted}
    repairs = [] if all(d.whole for d in documents.values()) else [_count_empty(folder.name, documents)]
    judgements = {
        split: _relevant(f"{folder.name} {split}", _read_judgements(path, documents, queries), repairs)
        for split, path in files.items()
    }
    return Collection(folder.name, documents, queries, judgements, repairs)


def _count_empty(name: str, documents: Mapping[str, Document]) -> str:
    empty = sum(not document.whole for document in documents.values())
    return f"{name}: {empty:,} documents without a word are kept, and can be found by nothing"


def _relevant(name: str, judged: Judgements, repairs: list[str]) -> Judgements:
    relevant = {query: grades for query, grades in judged.items() if max(grades.values()) > 0}
    if not relevant:
        raise InputError(f"{name}: no judgement is above 0, so nothing is to be found.")
    if len(relevant) < len(judged):
        repairs.append(f"{name}: {len(judged) - len(relevant):,} queries without a relevant document are left out")
    return relevant


def _has(folder: Path, name: str) -> bool:
    return any((folder / (name + compression)).exists() for compression in ("", *COMPRESSIONS))


def _find(folder: Path, name: str) -> Path:
    if not _has(folder, name):
        within = (folder / name).parent
        found = ", ".join(sorted(path.name for path in within.iterdir())[:12]) if within.is_dir() else "no folder"
        raise InputError(
            f"{folder} has no {name}; found: {found or 'nothing'}.\n"
            "Expected the layout of BEIR: corpus.jsonl, queries.jsonl, qrels/test.tsv."
        )
    paths = (folder / (name + compression) for compression in ("", *COMPRESSIONS))
    return next(path for path in paths if path.exists())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not empty, with their numbers."""
    with open_source(path) as (stream, _):
        for number, line in enumerate(stream, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}, line {number:,} is not UTF-8: its byte {error.start:,} is {line[error.start]:#04x}."
                ) from None
            if text.strip():
                yield number, text


def _read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    seen: set[str] = set()
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number:,} is not JSON: {error.msg}.") from None
        missing = {"_id", "text"} - (row.keys() if isinstance(row, dict) else set())
        if missing:
            found = ", ".join(row) if isinstance(row, dict) else type(row).__name__
            raise InputError(f"{path}, line {number:,} has no {min(missing)!r}; found: {found}.")
        key = str(row["_id"])
        if key in seen:
            raise InputError(f"{path}, line {number:,}: the id {key!r} is there twice.")
        seen.add(key)
        yield key, row
    if not seen:
        raise InputError(f"{path} is empty.")


def _read_judgements(path: Path, documents: Mapping[str, Document], queries: Mapping[str, str]) -> Judgements:
    judged: Judgements = {}
    unknown: list[str] = []
    for number, line in _lines(path):
        fields = line.split("\t")
        if number == 1 and not _is_whole(fields[-1]):
            continue
        if len(fields) != 3 or not _is_whole(fields[-1]):
            raise InputError(f"{path}, line {number:,} is not 'query, document, grade' between tabs: {line!r:.80}")
        query, document, grade = fields
        if query not in queries:
            unknown.append(f"the query {query!r} (line {number:,})")
        elif document not in documents:
            unknown.append(f"the document {document!r} (line {number:,})")
        else:
            judged.setdefault(query, {})[document] = int(grade)
    if unknown:
        raise InputError(f"{path} judges what is not there: {unknown[0]}, and {len(unknown) - 1:,} more.")
    if not judged:
        raise InputError(f"{path} has no judgements.")
    return judged


def _is_whole(text: str) -> bool:
    return text.strip().lstrip("-").isdecimal()
