"""A retrieval data set in the layout of BEIR (Thakur et al. 2021): documents, queries, and judgements of pairs of both.

`corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`), `qrels/SPLIT.tsv` (query, document, grade,
under a header); each may be compressed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from maskwise.errors import InputError
from maskwise.lab.text.compressed import COMPRESSIONS, open_source
from maskwise.lab.text.rows import json_rows, tab_rows
from maskwise.lab.text.values import text_of

Judgements = dict[str, dict[str, int]]
HEADER = ("query-id", "corpus-id", "score")
# What the three columns of judgements are called, letters alone.
_HEADER_NAMES = (
    {"queryid", "qid", "query", "topic", "topicid"},
    {"corpusid", "docid", "documentid", "pid", "passageid", "did", "doc", "document", "corpus"},
    {"score", "relevance", "rel", "grade", "label", "relevancy"},
)
_GRADE = re.compile(r"-?\d+", re.ASCII)
THE_LAYOUT = "Expected the layout of BEIR: corpus.jsonl, queries.jsonl, qrels/test.tsv."


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

    @cached_property
    def own_documents(self) -> frozenset[str]:
        """The ids of the queries that are documents too, as all are in ArguAna and Quora: the same id and text.

        BEIR leaves such a document out of its query's results (`ignore_identical_ids`), since it would find itself
        first. The id alone is not enough: where both are numbered from 1 on, as in Cranfield, it means nothing.
        """
        return frozenset(query for query, text in self.queries.items() if self._is_document(query, text))

    def _is_document(self, key: str, text: str) -> bool:
        document = self.documents.get(key)
        return document is not None and text.split() in (document.text.split(), document.whole.split())

    def without_itself(self, query: str, found: Sequence[str], depth: int) -> list[str]:
        """Returns the first `depth` documents found for a query, the query itself left out."""
        is_document = query in self.own_documents
        return [key for key in found if not is_document or key != query][:depth]

    @property
    def class_counts(self) -> dict[str, dict[str, int]]:
        """How many judgements of each split have each grade."""
        counts = {}
        for split, judged in self.judgements.items():
            grades = Counter(grade for by_document in judged.values() for grade in by_document.values())
            counts[split] = {str(grade): grades[grade] for grade in sorted(grades)}
        return counts


def load_beir(folder: Path, splits: Sequence[str]) -> Collection:
    """Returns the collection in a folder, with the judgements of `splits`, and of `train` if there are any.

    Texts are cleaned as `prepare` cleans them. What is out of the ordinary is said in `repairs`: queries without a
    relevant document, which are left out of a split; documents and queries without a word, which are kept; queries that
    are documents too.

    Args:
        folder: The folder.
        splits: The splits whose judgements are needed.

    Raises:
        InputError: For a missing file, a malformed line, an id that is missing or there twice, a pair that is judged
            in two ways, and judgements of unknown queries or documents.
    """
    repairs: list[str] = []
    corpus, asked = _find(folder, "corpus.jsonl", repairs), _find(folder, "queries.jsonl", repairs)
    documents = {
        key: Document(text_of(row.get("title"), where), text_of(row["text"], where))
        for where, key, row in _read_rows(corpus)
    }
    queries = {key: text_of(row["text"], where) for where, key, row in _read_rows(asked)}
    wanted = [*splits, *(["train"] if "train" not in splits and _candidates(folder, "qrels/train.tsv") else [])]
    files = {split: _find(folder, f"qrels/{split}.tsv", repairs) for split in wanted}
    if empty := sum(not document.whole for document in documents.values()):
        repairs.append(f"{folder.name}: {empty:,} documents without a word are kept, and can be found by nothing")
    if empty := sum(not text for text in queries.values()):
        repairs.append(f"{folder.name}: {empty:,} queries without a word are kept, and find nothing by their words")
    judgements = {
        split: _relevant(f"{folder.name} {split}", _read_judgements(path, documents, queries), repairs)
        for split, path in files.items()
    }
    collection = Collection(folder.name, documents, queries, judgements, repairs)
    if own := len(collection.own_documents):
        repairs.append(
            f"{folder.name}: {own:,} queries are documents too, with the same id and text; each is left out of its own "
            "results, as BEIR does"
        )
    return collection


def _relevant(name: str, judged: Judgements, repairs: list[str]) -> Judgements:
    relevant = {query: grades for query, grades in judged.items() if max(grades.values()) > 0}
    if not relevant:
        raise InputError(f"{name}: no judgement is above 0, so nothing is to be found.")
    if len(relevant) < len(judged):
        repairs.append(f"{name}: {len(judged) - len(relevant):,} queries without a relevant document are left out")
    return relevant


def _candidates(folder: Path, name: str) -> list[Path]:
    paths = [folder / (name + compression) for compression in ("", *COMPRESSIONS)]
    return [path for path in paths if path.exists()]


def _find(folder: Path, name: str, repairs: list[str]) -> Path:
    found = _candidates(folder, name)
    if not found:
        within = (folder / name).parent
        names = ", ".join(sorted(path.name for path in within.iterdir())[:12]) if within.is_dir() else "no folder"
        raise InputError(f"{folder} has no {name}; found: {names or 'nothing'}.\n{THE_LAYOUT}")
    if len(found) > 1:
        others = ", ".join(path.name for path in found[1:])
        repairs.append(f"{folder.name}: read from {found[0].name}; passed over: {others}")
    return found[0]


def _read_rows(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields the place, the id and the fields of each line."""
    seen: set[str] = set()
    with open_source(path) as (stream, _):
        for number, row in json_rows(stream, path, ("_id", "text"), THE_LAYOUT):
            where = f"{path}, line {number:,}"
            key = _id_of(row["_id"], where)
            if key in seen:
                raise InputError(f"{where}: the id {key!r} is there twice.")
            seen.add(key)
            yield where, key, row
    if not seen:
        raise InputError(f"{path} is empty.")


def _id_of(value: Any, where: str) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    key = str(value) if isinstance(value, str) or is_number else ""
    if not key or key != key.strip() or not key.isprintable():
        raise InputError(f"{where}: the id is {value!r:.60}; it is a text without white space around it, or a number.")
    return key


def _read_judgements(path: Path, documents: Mapping[str, Document], queries: Mapping[str, str]) -> Judgements:
    judged: Judgements = {}
    unknown: list[str] = []
    places: Sequence[int] | None = None
    with open_source(path) as (stream, _):
        for number, fields in tab_rows(stream, path):
            if places is None:
                is_header = not _GRADE.fullmatch(fields[-1].strip())
                places = _header_places(path, fields) if is_header else (0, 1, 2)
                if is_header:
                    continue
            if len(fields) != 3 or not _GRADE.fullmatch(fields[places[2]].strip()):
                raise InputError(f"{path}, line {number:,} is not {', '.join(HEADER)} between tabs: {fields!r:.80}")
            query, document, grade = (fields[place] for place in places)
            if query not in queries:
                unknown.append(f"the query {query!r} (line {number:,})")
            elif document not in documents:
                unknown.append(f"the document {document!r} (line {number:,})")
            elif judged.setdefault(query, {}).setdefault(document, int(grade)) != int(grade):
                raise InputError(f"{path}, line {number:,} judges {query!r} and {document!r} again, in another way.")
    if unknown:
        raise InputError(f"{path} judges what is not there: {unknown[0]}, and {len(unknown) - 1:,} more.")
    if not judged:
        raise InputError(f"{path} has no judgements.")
    return judged


def _header_places(path: Path, header: Sequence[str]) -> list[int]:
    """Returns where the query, the document and the grade stand; columns may have another order or like names."""
    plain = [re.sub(r"[^a-z]", "", name.lower()) for name in header]
    places = [[i for i, name in enumerate(plain) if name in names] for names in _HEADER_NAMES]
    if len(header) != len(HEADER) or any(len(found) != 1 for found in places):
        raise InputError(
            f"{path} begins with {header!r:.120}, which is neither a judgement nor a header.\nExpected the columns "
            f"{', '.join(HEADER)} between tabs."
        )
    return [found[0] for found in places]
