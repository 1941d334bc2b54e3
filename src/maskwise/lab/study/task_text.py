"""A task's own training texts, written as a source that `prepare` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.lab.study.job_settings import TaskText
from maskwise.lab.tasks.classification import TaskData
from maskwise.lab.tasks.table import find_task
from maskwise.lab.tokens.prepare import PrepareSettings
from maskwise.lab.tuning.kinds import kind_of

LABEL = "label"  # the column of a task's classes, if an arm asks for them


def write_task_text(settings: TaskText, folder: Path) -> PrepareSettings:
    """Writes a task's texts next to the folder they will be prepared in; returns how they are prepared.

    Raises:
        InputError: The task is not there, or is not one of texts and their classes.
    """
    task = find_task(settings.task)
    data: Any = kind_of(task).load(task, settings.task_data)
    check_adaptable(settings.task, data, with_labels=settings.with_labels)
    rows: list[dict[str, Any]] = [{"text": "\n".join(pair)} for pair in zip(*data.train.texts, strict=True)]
    if settings.with_labels:
        rows = [row | {LABEL: label} for row, label in zip(rows, data.train.labels, strict=True)]
    text = folder.with_name(folder.name + ".jsonl")
    text.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(text, "".join(json.dumps(row) + "\n" for row in rows))
    return PrepareSettings(
        sources=(str(text),),
        out=folder,
        tokenizer=settings.tokenizer,
        mode="document",
        block=settings.block,
        min_words=1,
        workers=1,
        label_column=LABEL if settings.with_labels else None,
    )


def check_adaptable(name: str, data: Any, *, with_labels: bool) -> None:
    """Raises InputError if a task's texts cannot be pretrained on, or have no classes where these are asked for."""
    if not isinstance(data, TaskData):
        raise InputError(f"adapt = true pretrains on texts that are classified; {name!r} is another kind of task.")
    if with_labels and not data.classes:
        raise InputError(f"An arm takes Typhoon's loss from the task itself, which needs classes; {name!r} has none.")
