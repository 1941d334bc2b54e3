"""What a label is: the name of a class, or a class's place among names that are listed, and never a bit of both.

A label is taken as the text that it is written as, whatever its type: 1 in JSON and "1" in CSV are one class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from maskwise.errors import InputError
from maskwise.files.json_text import read_json
from maskwise.lab.text.values import label_of

LABEL_NAMES = "label_names.json"
MAX_SHOWN = 12
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)
_WHOLE_NUMBER = re.compile(r"-?\d+", re.ASCII)
LIST_ADVICE = (
    'It lists the names of all classes in the order of their numbers, as ["bad", "good"], or names each label of the '
    'data, as {"0": "bad", "1": "good"}.'
)


class ClassNames(NamedTuple):
    """The classes of a task by name, in the order of their numbers.

    `labels` are what the data has in place of each name, if a source says so; empty: the names or their places.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...] = ()


def read_class_names(path: Path) -> ClassNames:
    """Returns the classes that a `label_names.json` lists.

    Raises:
        InputError: If it is neither a list of different names nor an object that names each label.
    """
    value = read_json(path, advice=LIST_ADVICE)
    labels: list[str] = []
    if isinstance(value, dict):
        labels, value = list(value), list(value.values())
    if not isinstance(value, list) or not value:
        raise InputError(f"{path} holds {value!r:.60}. {LIST_ADVICE}")
    names = [label_of(name, str(path)) or "" for name in value]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None or "" in names:
        fault = "an empty name" if "" in names else f"the name {repeated!r} twice"
        raise InputError(f"{path} holds {fault}. {LIST_ADVICE}")
    return ClassNames(tuple(names), tuple(labels))


def label_texts(values: Sequence[Any], where: Callable[[int], str]) -> list[str | None]:
    """Returns the text of each label, None if it is missing.

    Raises:
        InputError: For a label that is neither text nor number, and for one number written in two ways, as 1 and 1.0.
    """
    texts = [label_of(value, lambda i=i: where(i)) for i, value in enumerate(values)]
    spelled: dict[Decimal, str] = {}
    for text in dict.fromkeys(texts):
        number = _as_number(text)
        if number is not None and spelled.setdefault(number, str(text)) != text:
            i = texts.index(text)
            raise InputError(
                f"{where(i)}: the label {values[i]!r} is the same number as the label {spelled[number]}, written in "
                "another way.\nWrite every label in one way."
            )
    return texts


def _as_number(text: str | None) -> Decimal | None:
    """The number that a label is, if it is written as one: 1 and 1.0 are, 01 is a code. True is 1 in many a table."""
    if text in ("True", "False"):
        return Decimal(text == "True")
    return Decimal(text) if text is not None and _NUMBER.fullmatch(text) else None


def classes_among(labels: Iterable[str]) -> tuple[str, ...]:
    """Returns the different labels in order: numbers by their value, then the others as text.

    >>> classes_among(["10", "2", "unknown", "2"])
    ('2', '10', 'unknown')
    """
    return tuple(sorted(set(labels), key=_order))


def _order(label: str) -> tuple[bool, Decimal, str]:
    is_number = bool(_NUMBER.fullmatch(label) or _WHOLE_NUMBER.fullmatch(label))
    return not is_number, Decimal(label) if is_number else Decimal(0), label


def class_numbers(classes: ClassNames, labels: Collection[str], what: str) -> dict[str, int]:
    """Returns the class's number for each label that the classes have: names by name, other whole numbers by place.

    Args:
        classes: The classes.
        labels: The labels of all splits.
        what: What has these labels, for the message.

    Raises:
        InputError: If some labels can only be places, and others are names of one class and places of another.

    >>> class_numbers(ClassNames(("bad", "good")), {"0", "good"}, "a task")
    {'bad': 0, 'good': 1, '0': 0}
    """
    if classes.labels:
        return {label: i for i, label in enumerate(classes.labels)}
    by_name = {name: i for i, name in enumerate(classes.names)}
    by_place = {str(i): i for i in range(len(classes.names))}
    places = classes_among(label for label in labels if label not in by_name and label in by_place)
    names = classes_among(
        label
        for label in labels
        if label in by_name and _WHOLE_NUMBER.fullmatch(label) and by_place.get(label) != by_name[label]
    )
    if places and names:
        raise InputError(
            f"{what}: the label {places[0]} is a place among the classes ({shown_names(classes.names)}), and "
            f"{names[0]} the name of one of them, so it is not clear which classes the numbers mean.\n"
            f'Say it in {LABEL_NAMES}, with a name for each label of the data: {{"{places[0]}": "...", "{names[0]}": '
            '"..."}.'
        )
    return by_name | {label: by_place[label] for label in places}


def shown_names(names: Sequence[str]) -> str:
    """Returns the first names for a message.

    >>> shown_names(["a", "b"])
    'a, b'
    """
    return ", ".join(names[:MAX_SHOWN]) + (", ..." if len(names) > MAX_SHOWN else "")


def count_classes(classes: Sequence[str], numbers: Iterable[int]) -> dict[str, int]:
    """Returns how often each class occurs.

    >>> count_classes(("bad", "good"), [1, 1])
    {'bad': 0, 'good': 2}
    """
    counts = dict.fromkeys(classes, 0)
    for number in numbers:
        counts[classes[number]] += 1
    return counts


def describe_counts(name: str, counts: Mapping[str, Mapping[str, int]], most: int = 30) -> list[str]:
    """Returns what a task's classes are and how many examples of the training set each has, for people.

    Args:
        name: The task's name.
        counts: For each split, how often each class occurs; empty if there are no classes.
        most: How many classes are named.
    """
    found = counts.get("train", {})
    if not found:
        return []
    parts = [f"{label} ({count:,})" for label, count in list(found.items())[:most]]
    more = f", and {len(found) - most:,} more, in result.json" if len(found) > most else ""
    lines = [f"{name}: {len(found):,} classes, and how often each is in the training set: {', '.join(parts)}{more}"]
    if found.get("-1") and all(_WHOLE_NUMBER.fullmatch(label) for label in found):
        lines.append(
            f"{name}: -1 is trained as a class. In many data sets it stands for a missing label; if it does in this "
            "one, delete those examples."
        )
    return lines
