"""Sentences with a tag for each word, out of a local folder or the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.lab.tasks.classification import find_folder, read_task_columns
from maskwise.lab.tasks.columns import Columns, find_files
from maskwise.lab.tasks.table import Task

Repair = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class Tagged:
    """The sentences of one split: their words, and as many tags. `name` names its source."""

    name: str
    words: list[list[str]]
    tags: list[list[str]]

    def __len__(self) -> int:
        return len(self.words)


@dataclass(frozen=True)
class TaggedData:
    """A task's training sentences, its held-out ones by split, its tags in order, and what was repaired in reading."""

    train: Tagged
    held_out: Mapping[str, Tagged]
    classes: tuple[str, ...]
    repairs: list[str] = field(default_factory=list)


def load_tagged(task: Task, source: str | Path | None, repair: Repair | None = None) -> TaggedData:
    """Returns a labelling task's data from a folder (its own, or one of task folders) or the hub.

    The test set is read where there is one. Tags may be numbers where the source names them. `repair` puts a
    sentence's tags right; how many it changed is said in `repairs`. Raises InputError, naming the sentence, for words
    or tags that are no lists, another number of tags than of words, and a tag without a name.
    """
    repairs: list[str] = []
    columns = (*task.text_columns, task.label_column)
    tables, names = read_task_columns(task, source, ("train", *_held_out(task, source)), columns, repairs)
    splits = {split: _tagged(task, f"{task.name} {split}", table, names) for split, table in tables.items()}
    if repair:
        splits = {split: _repaired(tagged, repair, repairs) for split, tagged in splits.items()}
    classes = names or tuple(sorted({tag for tagged in splits.values() for tags in tagged.tags for tag in tags}))
    return TaggedData(splits.pop("train"), splits, classes, repairs)


def _held_out(task: Task, source: str | Path | None) -> Iterable[str]:
    if source is None or str(source).startswith("hub:"):
        return task.held_out
    folder = find_folder(task, Path(source))
    return [split for split in task.held_out if split != "test" or find_files(folder, split)]


def _tagged(task: Task, name: str, table: Columns, names: tuple[str, ...]) -> Tagged:
    columns = {"words": task.text_columns[0], "tags": task.label_column}
    words, tags = table[columns["words"]], table[columns["tags"]]
    for i, sentence in enumerate(zip(words, tags, strict=True), start=1):
        for column, values in zip(columns.values(), sentence, strict=True):
            if not isinstance(values, list):
                raise InputError(f"{name}, sentence {i:,}: {column!r} is not a list of words or tags: {values!r:.60}")
        if len(sentence[0]) != len(sentence[1]):
            raise InputError(f"{name}, sentence {i:,} has {len(sentence[0]):,} words and {len(sentence[1]):,} tags.")
    if not any(words):
        raise InputError(f"{name} has no sentence with a word in it.")
    known = {key: tag for i, tag in enumerate(names) for key in (i, tag)}
    named = [[_name(f"{name}, sentence {i:,}", tag, known) for tag in row] for i, row in enumerate(tags, start=1)]
    return Tagged(name, [[str(word) for word in row] for row in words], named)


def _name(where: str, tag: Any, known: Mapping[Any, str]) -> str:
    if known and tag not in known:
        raise InputError(f"{where}: {tag!r} is none of the task's tags ({', '.join(dict.fromkeys(known.values()))}).")
    return known[tag] if known else str(tag)


def _repaired(tagged: Tagged, repair: Repair, repairs: list[str]) -> Tagged:
    tags = [repair(row) for row in tagged.tags]
    changed = sum(old != new for rows in zip(tagged.tags, tags, strict=True) for old, new in zip(*rows, strict=True))
    if changed:
        repairs.append(f"{tagged.name}: {changed:,} tags that begin an entity with I- are read as B-")
    return Tagged(tagged.name, tagged.words, tags)
