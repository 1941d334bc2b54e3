"""A task's examples out of a local folder, in any of the layouts people have, or out of the hub.

Layouts: `train.jsonl` or `train*.parquet` (also .csv with a header) with the hub's column names, or the official GLUE
`.tsv` files. Text files may be compressed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwise.errors import InputError, first_line
from maskwise.lab.tasks.columns import SplitTable, find_split, read_table
from maskwise.lab.tasks.labels import (
    LABEL_NAMES,
    ClassNames,
    class_numbers,
    classes_among,
    count_classes,
    label_texts,
    read_class_names,
    shown_names,
)
from maskwise.lab.tasks.table import Task
from maskwise.lab.text.rows import require_columns
from maskwise.lab.text.values import is_missing, text_of

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Split:
    """The examples of one split: their text columns in order, and their labels as numbers. `name` names its source."""

    name: str
    texts: tuple[list[str], ...]
    labels: list[Any]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TaskData:
    """A task's training examples, its held-out ones by split, its classes, and what was repaired while reading."""

    train: Split
    held_out: Mapping[str, Split]
    classes: tuple[str, ...]
    repairs: list[str] = field(default_factory=list)

    @property
    def class_counts(self) -> dict[str, dict[str, int]]:
        """How often each class occurs in each split; empty for a regression."""
        splits = {"train": self.train, **self.held_out} if self.classes else {}
        return {name: count_classes(self.classes, split.labels) for name, split in splits.items()}


def load_task(task: Task, source: str | Path | None) -> TaskData:
    """Returns a task's data from a folder (its own, or one of task folders), or the hub (None, `hub:NAME[:CONFIG]`).

    Texts are cleaned as `prepare` cleans them. Training examples with an empty text, without a label, or on a malformed
    line are left out and counted in `repairs`; held-out ones with an empty text are kept, so that scores are over the
    whole set. A label is the name of a class, or its place among names that are listed (`labels.class_numbers`).

    Args:
        task: The row of the table of tasks.
        source: A folder, or a data set of the hub.

    Raises:
        InputError: For a missing split or column, a label that is missing in a held-out split, outside the classes or
            unclear, and a split that is empty; names the example, and what was found.
    """
    repairs: list[str] = []
    columns = (*task.text_columns, task.label_column)
    tables, listed = read_task_columns(task, source, ("train", *task.held_out), columns, repairs)
    for table in tables.values():
        if not len(table):
            raise InputError(f"{table.name} has no examples.")
    texts = {name: _texts(task, table) for name, table in tables.items()}
    labels, classes = _numbers(tables, task) if task.kind == "regress" else _class_labels(tables, task, listed)
    train = _usable(tables["train"], texts["train"], labels["train"], repairs)
    held_out = {name: Split(tables[name].name, texts[name], labels[name]) for name in task.held_out}
    for split in held_out.values():
        empty = sum(_empty(split.texts))
        if empty:
            repairs.append(f"{split.name}: {empty:,} examples with an empty text are kept, so they count in the scores")
    return TaskData(train, held_out, classes, repairs)


def read_task_columns(
    task: Task, source: str | Path | None, splits: Iterable[str], columns: tuple[str, ...], repairs: list[str]
) -> tuple[dict[str, SplitTable], ClassNames]:
    """Returns the named columns of each split, and the classes as the task or the source lists them, if it does."""
    if source is None or str(source).startswith("hub:"):
        return _from_hub(task, source, splits, columns)
    folder = find_folder(task, Path(source))
    tables = {name: _read_split(task, folder, name, columns, repairs) for name in splits}
    names = folder / LABEL_NAMES
    if task.classes or not names.exists():
        return tables, ClassNames(task.classes)
    return tables, read_class_names(names)


def find_folder(task: Task, source: Path) -> Path:
    """Returns the folder of one task's files: `source` itself, or its sub-folder of the task's name.

    Raises InputError if neither is there.
    """
    if not source.is_dir():
        raise InputError(f"There is no folder {source}. --task-data is the folder of a task, or one of task folders.")
    wanted = {_plain(task.name), _plain(task.folder or task.name)}
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        if _plain(folder.name) in wanted:
            return folder
    if any(path.is_file() for path in source.iterdir()):
        return source
    found = ", ".join(sorted(path.name for path in source.iterdir())[:12]) or "nothing"
    raise InputError(f"{source} has no folder for the task {task.name!r}; found: {found}.")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _read_split(task: Task, folder: Path, split: str, columns: tuple[str, ...], repairs: list[str]) -> SplitTable:
    files, others = find_split(folder, split)
    if not files:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "nothing"
        raise InputError(
            f"{folder} has no {split} file for the task {task.name!r}; found: {found}.\n"
            f"Expected {split}.jsonl, {split}.parquet, {split}.csv, or GLUE's {split.replace('validation', 'dev')}.tsv."
        )
    if others:
        names = ", ".join(path.name for path in others)
        repairs.append(f"{task.name} {split}: read from {files[0].name}; passed over: {names}")
    table = read_table(f"{task.name} {split}", files, columns, task.tsv_columns)
    malformed = [(part.path, number) for part in table.parts for number in part.malformed]
    if malformed and split != "train":
        raise InputError(
            f"{malformed[0][0]} has {len(malformed):,} lines with another number of columns than its header; the first "
            f"is line {malformed[0][1]:,}."
        )
    if malformed:
        repairs.append(f"{task.name} train: {len(malformed):,} malformed lines are left out")
    return table


def _from_hub(
    task: Task, source: str | Path | None, splits: Iterable[str], columns: tuple[str, ...]
) -> tuple[dict[str, SplitTable], ClassNames]:
    import datasets

    name, _, config = (str(source).removeprefix("hub:") if source else task.hub).partition(":")
    if not name:
        raise InputError(f"The task {task.name!r} is not on the hub by that name: give --task-data DIR or hub:NAME.")
    tables: dict[str, SplitTable] = {}
    classes = task.classes
    for split in splits:
        try:
            rows = datasets.load_dataset(name, config or None, split=split)
            require_columns(f"{name} {split}", columns, rows.column_names)
            read = {column: rows[column][:] for column in columns}
        except InputError:
            raise
        except Exception as error:  # of the network, of the hub, and of whoever wrote the data set
            raise InputError(
                f"cannot load {split} of {name!r} from the hub: {first_line(error)}\nGive --task-data DIR."
            ) from None
        names = _class_feature(rows.features[task.label_column])
        classes = classes or names
        if names and not task.classes:
            read[task.label_column] = _with_names(read[task.label_column], names)
        tables[split] = SplitTable(f"{task.name} {split}", read)
    return tables, ClassNames(classes)


def _class_feature(feature: Any) -> tuple[str, ...]:
    """Returns the names of a column of classes, or of lists of classes."""
    return tuple(getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None) or ())


def _with_names(values: Any, names: tuple[str, ...]) -> Any:
    """Returns the hub's numbers of classes as names; -1 is its way to say that there is none."""
    if isinstance(values, list):
        return [_with_names(value, names) for value in values]
    return names[values] if isinstance(values, int) and 0 <= values < len(names) else None


def _texts(task: Task, table: SplitTable) -> tuple[list[str], ...]:
    return tuple(
        [text_of(value, lambda i=i: table.where(i)) for i, value in enumerate(table.columns[column])]
        for column in task.text_columns
    )


def _numbers(tables: Mapping[str, SplitTable], task: Task) -> tuple[dict[str, list[Any]], tuple[str, ...]]:
    """Returns the labels of a regression as numbers, None if one is missing."""
    labels: dict[str, list[Any]] = {}
    for name, table in tables.items():
        values = table.columns[task.label_column]
        labels[name] = [_number(value) for value in values]
        for i, number in enumerate(labels[name]):
            if number is None and (name != "train" or not _is_empty(values[i])):
                raise InputError(f"{table.where(i)}: the label {values[i]!r:.60} is not a number.")
    return labels, ()


def _number(value: Any) -> float | None:
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return None  # Python takes "1_000" and "infinity" for numbers too
    try:
        return float(value) if not isinstance(value, bool) and math.isfinite(float(value)) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _is_empty(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, str) and not value.strip())


def _class_labels(
    tables: Mapping[str, SplitTable], task: Task, listed: ClassNames
) -> tuple[dict[str, list[Any]], tuple[str, ...]]:
    """Returns the labels of each split as the numbers of classes, None if one is missing, and the classes' names."""
    texts = _texts_of_labels(tables, task)
    for name in task.held_out:
        if None in texts[name]:
            where = tables[name].where(texts[name].index(None))
            raise InputError(f"{where} has no label.\nScores are over the whole set: label it, or delete it.")
    known = listed if listed.names else _classes_of(tables["train"], texts["train"], task)
    numbers = class_numbers(known, {label for split in texts.values() for label in split if label}, task.name)
    for name, split in texts.items():
        outside = next((i for i, label in enumerate(split) if label is not None and label not in numbers), None)
        if outside is not None:
            raise InputError(_outside(tables[name], outside, task, known))
    return {name: [label and numbers[label] for label in split] for name, split in texts.items()}, known.names


def _classes_of(table: SplitTable, labels: list[str | None], task: Task) -> ClassNames:
    """Returns the labels of a training set as its classes: a digit is a name here, not another class's place."""
    names = classes_among(label for label in labels if label is not None)
    if not names:
        raise InputError(f"{table.name}: no example has a label in the column {task.label_column!r}.")
    return ClassNames(names, labels=names)


def _texts_of_labels(tables: Mapping[str, SplitTable], task: Task) -> dict[str, list[str | None]]:
    """Returns the texts of the labels by split; a number written in two ways is found across splits too."""
    firsts = [(table, i) for table in tables.values() for i in range(len(table))]
    values = [table.columns[task.label_column][i] for table, i in firsts]
    texts = iter(label_texts(values, lambda i: firsts[i][0].where(firsts[i][1])))
    return {name: [next(texts) for _ in range(len(table))] for name, table in tables.items()}


def _outside(table: SplitTable, i: int, task: Task, known: ClassNames) -> str:
    found = table.columns[task.label_column][i]
    hint = "" if task.classes else f" List all classes in {LABEL_NAMES} if the training set has not all of them."
    numbered = "; numbered from 0" if task.classes else ""
    return (
        f"{table.where(i)}: the label {found!r:.60} is outside the task's {len(known.names)} classes "
        f"({shown_names(known.names)}{numbered}).{hint}"
    )


def _empty(texts: tuple[list[str], ...]) -> list[bool]:
    return [not all(row) for row in zip(*texts, strict=True)]


def _usable(table: SplitTable, texts: tuple[list[str], ...], labels: list[Any], repairs: list[str]) -> Split:
    """Returns the training examples that have texts and a label; how many were left out goes into `repairs`."""
    is_empty, no_label = _empty(texts), [label is None for label in labels]
    for left_out, what in ((is_empty, "with an empty text"), (no_label, "without a label")):
        if any(left_out):
            repairs.append(f"{table.name}: {sum(left_out):,} examples {what} are left out")
    kept = [i for i in range(len(labels)) if not is_empty[i] and not no_label[i]]
    if not kept:
        fault = "every text is empty" if all(is_empty) else "no example has both a text and a label"
        raise InputError(f"{table.name}: {fault}. Name the columns with --text-column and --label-column.")
    return Split(table.name, tuple([column[i] for i in kept] for column in texts), [labels[i] for i in kept])
