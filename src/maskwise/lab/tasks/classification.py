"""A task's examples out of a local folder, in any of the layouts people have, or out of the hub.

Layouts: `train.jsonl` or `train*.parquet` (also .csv with a header) with the hub's column names, or the official GLUE
`.tsv` files. Text files may be compressed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwise.errors import InputError, first_line
from maskwise.lab.tasks.columns import Columns, find_files, read_table, require_columns
from maskwise.lab.tasks.table import Task

LABEL_NAMES = "label_names.json"


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


def load_task(task: Task, source: str | Path | None) -> TaskData:
    """Returns a task's data from a folder (its own, or one of task folders), or the hub (None, `hub:NAME[:CONFIG]`).

    Training examples with an empty text or a malformed line are left out and counted in `repairs`; held-out ones with
    an empty text are kept, so that scores are over the whole set. Raises InputError, naming what was found, for a
    missing split or column, a label outside the classes, and a split that is empty.
    """
    names = ("train", *task.held_out)
    columns = (*task.text_columns, task.label_column)
    repairs: list[str] = []
    tables, classes = read_task_columns(task, source, names, columns, repairs)
    classes = classes or _classes_in(task, tables["train"])
    splits = {name: _split(task, classes, f"{task.name} {name}", table) for name, table in tables.items()}
    train = _without_empty_texts(splits.pop("train"), repairs)
    for split in splits.values():
        empty = sum(_empty(split))
        if empty:
            repairs.append(f"{split.name}: {empty:,} examples with an empty text are kept, so they count in the scores")
    return TaskData(train, splits, classes, repairs)


def read_task_columns(
    task: Task, source: str | Path | None, splits: Iterable[str], columns: tuple[str, ...], repairs: list[str]
) -> tuple[dict[str, Columns], tuple[str, ...]]:
    """Returns the named columns of each split, and the names of the classes where the source tells them."""
    if source is None or str(source).startswith("hub:"):
        return _from_hub(task, source, splits, columns)
    folder = find_folder(task, Path(source))
    tables = {name: _read_split(task, folder, name, columns, repairs) for name in splits}
    names = folder / LABEL_NAMES
    return tables, task.classes or (tuple(json.loads(names.read_text(encoding="utf-8"))) if names.exists() else ())


def find_folder(task: Task, source: Path) -> Path:
    """Returns the folder of one task's files: `source` itself, or its sub-folder of the task's name.

    Raises InputError where neither is there.
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


def _read_split(task: Task, folder: Path, split: str, columns: tuple[str, ...], repairs: list[str]) -> Columns:
    files = find_files(folder, split)
    if not files:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "nothing"
        raise InputError(
            f"{folder} has no {split} file for the task {task.name!r}; found: {found}.\n"
            f"Expected {split}.jsonl, {split}.parquet, {split}.csv, or GLUE's {split.replace('validation', 'dev')}.tsv."
        )
    parts = [read_table(path, columns, task.tsv_columns) for path in files]
    malformed = sum(part.num_malformed for part in parts)
    if malformed and split != "train":
        raise InputError(f"{files[0]} has {malformed:,} lines with another number of columns than its header.")
    if malformed:
        repairs.append(f"{task.name} train: {malformed:,} malformed lines are left out")
    return {name: [value for part in parts for value in part.columns[name]] for name in columns}


def _from_hub(
    task: Task, source: str | Path | None, splits: Iterable[str], columns: tuple[str, ...]
) -> tuple[dict[str, Columns], tuple[str, ...]]:
    import datasets

    name, _, config = (str(source).removeprefix("hub:") if source else task.hub).partition(":")
    if not name:
        raise InputError(f"The task {task.name!r} is not on the hub by that name: give --task-data DIR or hub:NAME.")
    tables: dict[str, Columns] = {}
    classes = task.classes
    for split in splits:
        try:
            rows = datasets.load_dataset(name, config or None, split=split)
        except (OSError, ValueError) as error:
            raise InputError(
                f"cannot load {split} of {name!r} from the hub: {first_line(error)}\nGive --task-data DIR."
            ) from None
        require_columns(f"{name} {split}", columns, rows.column_names)
        tables[split] = {column: rows[column][:] for column in columns}
        classes = classes or tuple(getattr(rows.features[task.label_column], "names", ()))
    return tables, classes


def _classes_in(task: Task, train: Columns) -> tuple[str, ...]:
    """The classes of a set of yours: 0 to the largest where labels are whole numbers, else the names in order."""
    labels = set(train[task.label_column])
    if task.kind != "classify" or not labels:
        return ()
    if all(re.fullmatch(r"\d{1,4}", str(label)) for label in labels):
        return tuple(map(str, range(max(map(int, labels)) + 1)))
    return tuple(sorted(map(str, labels)))


def _split(task: Task, classes: tuple[str, ...], name: str, table: Columns) -> Split:
    if not table[task.label_column]:
        raise InputError(f"{name} has no examples.")
    texts = tuple([str(text or "") for text in table[column]] for column in task.text_columns)
    numbers = {key: i for i, label in enumerate(classes) for key in (str(i), label)}
    read = _number if task.kind == "regress" else lambda label: numbers.get(str(label))
    labels = [read(label) for label in table[task.label_column]]
    if None in labels:
        row = labels.index(None)
        found = table[task.label_column][row]
        if task.kind == "regress":
            raise InputError(f"{name}, example {row + 1:,}: the label {found!r} is not a number.")
        hint = "" if task.classes else f" List all classes in {LABEL_NAMES} if the training set has not all of them."
        raise InputError(
            f"{name}, example {row + 1:,}: the label {found!r} is outside the task's {len(classes)} classes "
            f"({', '.join(classes[:12])}; numbered from 0).{hint}"
        )
    return Split(name, texts, labels)


def _number(label: Any) -> float | None:
    try:
        return float(label) if math.isfinite(float(label)) else None
    except (TypeError, ValueError):
        return None


def _empty(split: Split) -> list[bool]:
    return [not all(text.strip() for text in texts) for texts in zip(*split.texts, strict=True)]


def _without_empty_texts(train: Split, repairs: list[str]) -> Split:
    empty = _empty(train)
    if not any(empty):
        return train
    kept = [i for i, is_empty in enumerate(empty) if not is_empty]
    if not kept:
        raise InputError(f"{train.name}: every text is empty. Name the columns with --text-column.")
    repairs.append(f"{train.name}: {sum(empty):,} examples with an empty text are left out")
    return Split(train.name, tuple([texts[i] for i in kept] for texts in train.texts), [train.labels[i] for i in kept])
