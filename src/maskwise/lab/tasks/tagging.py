"""Sentences with a tag for each word, out of a local folder or the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.lab.tasks.classification import find_folder, read_task_columns
from maskwise.lab.tasks.columns import SplitTable, find_split
from maskwise.lab.tasks.labels import ClassNames, class_numbers, classes_among, label_texts, shown_names
from maskwise.lab.tasks.table import Task
from maskwise.lab.text.values import is_missing, text_of

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

    @property
    def class_counts(self) -> dict[str, dict[str, int]]:
        """How often each tag occurs in each split."""
        counts = {}
        for name, split in {"train": self.train, **self.held_out}.items():
            counts[name] = dict.fromkeys(self.classes, 0)
            for tag in chain.from_iterable(split.tags):
                counts[name][tag] += 1
        return counts


def load_tagged(task: Task, source: str | Path | None, repair: Repair | None = None) -> TaggedData:
    """Returns a labelling task's data from a folder (its own, or one of task folders) or the hub.

    The test set is read if there is one. Tags may be numbers if the source names them. Words are cleaned as `prepare`
    cleans text; one that has no character left is kept, for its tag, and counted in `repairs`.

    Args:
        task: The row of the table of tasks.
        source: A folder, or a data set of the hub.
        repair: Puts a sentence's tags right; how many it changed is said in `repairs`.

    Raises:
        InputError: For words or tags that are no lists, another number of tags than of words, a word or tag that is
            missing, and a tag outside the named ones; names the sentence.
    """
    repairs: list[str] = []
    columns = (*task.text_columns, task.label_column)
    tables, listed = read_task_columns(task, source, ("train", *_held_out(task, source)), columns, repairs)
    tables = {name: replace(table, row_name="sentence") for name, table in tables.items()}
    words = {name: _words(task, table, repairs) for name, table in tables.items()}
    tags, classes = _tags(task, tables, listed)
    splits = {name: Tagged(table.name, words[name], tags[name]) for name, table in tables.items()}
    if repair:
        splits = {split: _repaired(tagged, repair, repairs) for split, tagged in splits.items()}
    classes = classes or classes_among(tag for tagged in splits.values() for tags in tagged.tags for tag in tags)
    return TaggedData(splits.pop("train"), splits, classes, repairs)


def _held_out(task: Task, source: str | Path | None) -> Iterable[str]:
    if source is None or str(source).startswith("hub:"):
        return task.held_out
    folder = find_folder(task, Path(source))
    return [split for split in task.held_out if split != "test" or find_split(folder, split).files]


def _words(task: Task, table: SplitTable, repairs: list[str]) -> list[list[str]]:
    """Returns the words of each sentence, as many as it has tags."""
    columns = {"words": task.text_columns[0], "tags": task.label_column}
    sentences = [table.columns[column] for column in columns.values()]
    for i, sentence in enumerate(zip(*sentences, strict=True)):
        for column, values in zip(columns.values(), sentence, strict=True):
            if not isinstance(values, list):
                raise InputError(f"{table.where(i)}: {column!r} is not a list of words or tags: {values!r:.60}")
        if len(sentence[0]) != len(sentence[1]):
            raise InputError(f"{table.where(i)} has {len(sentence[0]):,} words and {len(sentence[1]):,} tags.")
        missing = next((place for place, word in enumerate(sentence[0], start=1) if is_missing(word)), None)
        if missing is not None:
            raise InputError(f"{table.where(i)}: word {missing:,} is missing ({sentence[0][missing - 1]!r}).")
    words = [[text_of(word, lambda i=i: table.where(i)) for word in row] for i, row in enumerate(sentences[0])]
    if not any(word for row in words for word in row):
        raise InputError(f"{table.name} has no sentence with a word in it.")
    empty = sum(not word for row in words for word in row)
    if empty:
        repairs.append(f"{table.name}: {empty:,} words without a character are kept, and read as unknown")
    return words


def _tags(
    task: Task, tables: Mapping[str, SplitTable], listed: ClassNames
) -> tuple[dict[str, list[list[str]]], tuple[str, ...]]:
    """Returns the name of each tag by split, and all names if the source lists them."""
    texts = {name: _tag_texts(table, table.columns[task.label_column]) for name, table in tables.items()}
    everywhere = {tag for rows in texts.values() for row in rows for tag in row}
    known = listed if listed.names else ClassNames(found := classes_among(everywhere), labels=found)
    numbers = class_numbers(known, everywhere, task.name)
    for name, rows in texts.items():
        for i, row in enumerate(rows):
            outside = next((tag for tag in row if tag not in numbers), None)
            if outside is not None:
                where = tables[name].where(i)
                raise InputError(f"{where}: {outside!r} is none of the task's tags ({shown_names(known.names)}).")
            rows[i] = [known.names[numbers[tag]] for tag in row]
    return texts, listed.names


def _tag_texts(table: SplitTable, rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    owner = [i for i, row in enumerate(rows) for _ in row]
    texts = label_texts([tag for row in rows for tag in row], lambda place: table.where(owner[place]))
    if None in texts:
        place = texts.index(None)
        i = owner[place]
        number = place - owner.index(i) + 1
        raise InputError(f"{table.where(i)}: the tag of word {number:,} is missing ({rows[i][number - 1]!r}).")
    given = iter(texts)
    return [[str(next(given)) for _ in row] for row in rows]


def _repaired(tagged: Tagged, repair: Repair, repairs: list[str]) -> Tagged:
    tags = [repair(row) for row in tagged.tags]
    changed = sum(old != new for rows in zip(tagged.tags, tags, strict=True) for old, new in zip(*rows, strict=True))
    if changed:
        repairs.append(f"{tagged.name}: {changed:,} tags that begin an entity with I- are read as B-")
    return Tagged(tagged.name, tagged.words, tags)
