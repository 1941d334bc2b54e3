"""How a study tunes each of its tasks: what `[tune]` sets for all, and what the table of one task changes.

[tune]
max_epochs = 3

[tune.pos]
max_epochs = 1
seeds = [0]         # default: the study's tuning_seeds
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maskwise.errors import InputError, nearest
from maskwise.lab.config import Tree
from maskwise.lab.study.seeds import read_seeds
from maskwise.lab.tuning.settings import TuneSettings, resolve_tuning

SEEDS = "seeds"


def task_tuning(tune: Tree, task: str) -> TuneSettings:
    """Returns the settings that a task is tuned with; raises InputError that names the key at fault.

    >>> task_tuning({"max_epochs": 3, "pos": {"max_epochs": 1, "seeds": [0]}}, "pos").max_epochs
    1
    """
    shared = {name: value for name, value in tune.items() if not isinstance(value, Mapping)}
    own = {name: value for name, value in _table(tune, task).items() if name != SEEDS}
    return resolve_tuning(shared, own)


def task_tuning_seeds(tune: Tree, task: str, default: Sequence[int]) -> tuple[int, ...]:
    """Returns the seeds that a task is tuned with.

    >>> task_tuning_seeds({"ner": {"seeds": "0-2"}}, "ner", [0])
    (0, 1, 2)
    """
    own = _table(tune, task).get(SEEDS)
    return tuple(default if own is None else read_seeds(own))


def check_tuning(tune: Tree, tasks: Sequence[str]) -> None:
    """Raises InputError for settings of tuning that cannot work, and for a table of something that is not a task."""
    for name, value in tune.items():
        if isinstance(value, Mapping) and name not in tasks:
            raise InputError(
                f"[tune.{name}] is not a task of the study that is tuned.{nearest(name, tasks)} Tasks: "
                f"{', '.join(tasks) or 'none'}."
            )
    resolve_tuning({name: value for name, value in tune.items() if not isinstance(value, Mapping)})
    for task in tasks:
        task_tuning(tune, task)
        try:
            task_tuning_seeds(tune, task, ())
        except ValueError as error:
            raise InputError(f"Setting 'tune.{task}.seeds': {error}.") from None


def _table(tune: Tree, task: str) -> Mapping[str, Any]:
    own = tune.get(task, {})
    return own if isinstance(own, Mapping) else {}
