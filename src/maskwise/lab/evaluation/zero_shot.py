"""Zero-shot evaluations as the tasks of a study: by name, with one number that decides and the predictions kept.

| task | what `task_data` holds | primary metric |
|---|---|---|
| `pairs:NAME` | a folder or file NAME of pairs or completions, entity tracking included | `accuracy`, over paradigms |
| `reading` | `reading_data.csv` | `gain`: eye tracking, nats per word, held out |
| `word-formation:NAME` | a JSON lines file NAME, or a folder NAME with it | `correlation`, Spearman's |
| `pseudo-perplexity:NAME` | a text file NAME | `perplexity` per word; less is better |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from maskwise.errors import InputError, nearest
from maskwise.evaluation.pseudo_likelihood import Metric
from maskwise.files.atomic_folder import atomic_folder
from maskwise.lab.evaluation.figures import (
    Figures,
    figures_of_perplexity,
    figures_of_reading,
    figures_of_set,
    figures_of_word_formation,
)
from maskwise.lab.evaluation.pairs import evaluate_pairs
from maskwise.lab.evaluation.perplexity import evaluate_perplexity
from maskwise.lab.evaluation.reading_times import evaluate_reading
from maskwise.lab.evaluation.scored_model import Counts, open_model
from maskwise.lab.evaluation.word_formation import evaluate_word_formation
from maskwise.lab.printed import Printed
from maskwise.lab.records.record import LESS_IS_BETTER
from maskwise.progress import silent_if_not_shown

ZERO_SHOT_RESULT, ZERO_SHOT_PREDICTIONS = "zero_shot.json", "predictions.parquet"
TOO_SMALL_ALONE = ("supplement_fast",)


@dataclass(frozen=True)
class ZeroShotResult(Printed):
    """The metrics of one task for one checkpoint, next to what a model that reads nothing would have.

    `baselines` has the floor of `primary`: by counts (`unigram`, nan if they are not known), by `chance`, or by
    `permuted` surprisals. `predictions` has a row per item.
    """

    task: str
    model: str
    primary: str
    higher_is_better: bool
    metrics: Mapping[str, float]
    baselines: Mapping[str, float]
    predictions: pd.DataFrame = field(repr=False)
    json: str = field(repr=False)

    def __repr__(self) -> str:
        lines = [f"{self.task} of {self.model}", *(f"  {name}: {value:.4f}" for name, value in self.metrics.items())]
        floors = (f"  {self.primary} of {name}: {value:.4f}" for name, value in self.baselines.items())
        return "\n".join([*lines, *floors])

    def write(self, folder: str | Path) -> Path:
        """Writes `zero_shot.json` and `predictions.parquet` into a new folder, both or none."""
        with atomic_folder(Path(folder)) as made:
            (made / ZERO_SHOT_RESULT).write_text(self.json + "\n", encoding="utf-8")
            self.predictions.to_parquet(made / ZERO_SHOT_PREDICTIONS, index=False)
        return Path(folder)


class ZeroShotTask(NamedTuple):
    """A task's kind and the name of its data, empty for a kind that has one set only."""

    kind: str
    name: str

    def __str__(self) -> str:
        """Returns the task as it is written in a study file."""
        return f"{self.kind}:{self.name}" if self.name else self.kind


def is_zero_shot(task: str) -> bool:
    """Returns True if a task of a study is evaluated without tuning.

    >>> is_zero_shot("pairs:blimp"), is_zero_shot("ner")
    (True, False)
    """
    return task.partition(":")[0] in _KINDS


def parse_zero_shot(task: str) -> ZeroShotTask:
    """Returns the kind of a task and its data's name.

    Raises:
        InputError: If there is no such kind, or the name is missing or one too many.
    """
    kind, _, name = task.partition(":")
    if kind not in _KINDS:
        raise InputError(f"There is no zero-shot task {task!r}.{nearest(kind, _KINDS)} Known: {', '.join(_KINDS)}.")
    if kind == "reading" and name:
        raise InputError(f"The task {task!r} takes no name: write 'reading'.")
    if kind != "reading" and not name:
        raise InputError(f"The task {task!r} needs the name of its data, such as '{kind}:{_KINDS[kind].example}'.")
    return ZeroShotTask(kind, name)


def primary_metric(task: str) -> str:
    """Returns the metric that comparisons on a zero-shot task are about.

    >>> primary_metric("pairs:blimp")
    'accuracy'
    """
    return _KINDS[parse_zero_shot(task).kind].primary


def check_zero_shot_metric(task: str, metric: str) -> None:
    """Raises InputError if a zero-shot task has no such metric."""
    known = _KINDS[parse_zero_shot(task).kind].metrics
    if metric not in known:
        raise InputError(
            f"The task {task!r} has no metric {metric!r}.{nearest(metric, known)} Known: {', '.join(known)}."
        )


def check_zero_shot_tasks(tasks: Sequence[str]) -> None:
    """Raises InputError if the only pairs among a study's tasks are too few to be read alone."""
    pairs = [task.name for task in map(parse_zero_shot, filter(is_zero_shot, tasks)) if task.kind == "pairs"]
    if pairs and all(Path(name).name in TOO_SMALL_ALONE for name in pairs):
        raise InputError(
            f"pairs:{pairs[0]} has 250 pairs, a standard error of 3 points: add another set, such as pairs:blimp."
        )


@silent_if_not_shown
def evaluate_zero_shot(
    model: Any,
    task: str,
    task_data: str | Path,
    *,
    metric: Metric = "within-word",
    tokenizer: Any = None,
    token_counts: Counts | None = None,
    seed: int = 0,
    show: bool = True,
) -> ZeroShotResult:
    """Returns one zero-shot task's result for one checkpoint.

    Args:
        model: A run folder, a checkpoint, a hub name, or a masked language model with its `tokenizer`.
        task: A task as a study file names it, such as `pairs:blimp`.
        task_data: The folder that holds the task's data, at any depth.
        metric: `within-word` (Kauf & Ivanova 2023) or `original` (Salazar et al. 2020).
        tokenizer: The model's tokenizer or its name, if it is not the checkpoint's own.
        token_counts: The data folder that the model was trained on, or its counts [V], for the unigram floor.
        seed: Of bootstrap, folds and permutations.
        show: Show the progress on stderr.

    Returns:
        The task's metrics, and the result they are from.

    Raises:
        InputError: If there is no such task, its data are not there, or the model does not load.

    Example:
        ```python
        from maskwise.lab import evaluate_zero_shot

        evaluate_zero_shot("run", "pairs:blimp", "evaluation_data")
        ```
    """
    parsed = parse_zero_shot(task)
    path = find_task_data(parsed, Path(task_data))
    opened = open_model(model, tokenizer, token_counts)
    return _KINDS[parsed.kind].evaluate(str(parsed), opened, path, metric, seed, show)


def find_task_data(task: ZeroShotTask, folder: Path) -> Path:
    """Returns a task's file or folder: the only one of its name in or below `folder`.

    Raises:
        InputError: If there is none, or more than one.
    """
    wanted = task.name or "reading_data.csv"
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}, which should hold the data of {str(task)!r}.")
    direct = folder / wanted
    found = [direct] if direct.exists() else sorted(path for path in folder.rglob("*") if _is_called(path, wanted))
    if len(found) != 1:
        shown = f"; found: {', '.join(map(str, found[:4]))}" if found else ""
        raise InputError(f"{folder} has {len(found) or 'no'} files or folders called {wanted!r} in or below it{shown}.")
    return found[0]


def _is_called(path: Path, name: str) -> bool:
    return path.name == name or (path.is_file() and path.name.split(".")[0] == name and path.parent.name != name)


def _result(task: str, result: Any, figures: Figures) -> ZeroShotResult:
    higher_is_better = figures.primary not in LESS_IS_BETTER
    return ZeroShotResult(
        task, result.model, figures.primary, higher_is_better, figures.metrics, figures.floors, result.items,
        result.as_json(),
    )  # fmt: skip


def _pairs(task: str, opened: Any, path: Path, metric: Metric, seed: int, show: bool) -> ZeroShotResult:
    result = evaluate_pairs(opened, [path], metric=metric, seed=seed, show=show)
    if len(result.sets) != 1:
        raise InputError(f"{path} holds {len(result.sets)} sets of pairs; name one of them in the task.")
    return _result(task, result, figures_of_set(result.sets[0]))


def _reading(task: str, opened: Any, path: Path, metric: Metric, seed: int, show: bool) -> ZeroShotResult:
    result = evaluate_reading(opened, path, seed=seed, show=show)
    return _result(task, result, figures_of_reading(result))


def _word_formation(task: str, opened: Any, path: Path, metric: Metric, seed: int, show: bool) -> ZeroShotResult:
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if len(files) != 1:
        raise InputError(f"{path} has {len(files)} .jsonl files, and one is expected.")
    result = evaluate_word_formation(opened, files[0], metric=metric, seed=seed, show=show)
    return _result(task, result, figures_of_word_formation(result))


def _perplexity(task: str, opened: Any, path: Path, metric: Metric, seed: int, show: bool) -> ZeroShotResult:
    result = evaluate_perplexity(opened, [str(path)], metric=metric, seed=seed, show=show)
    return _result(task, result, figures_of_perplexity(result))


class _Kind(NamedTuple):
    evaluate: Callable[[str, Any, Path, Metric, int, bool], ZeroShotResult]
    metrics: tuple[str, ...]  # the primary one first
    example: str = ""

    @property
    def primary(self) -> str:
        return self.metrics[0]


_KINDS = {
    "pairs": _Kind(_pairs, ("accuracy", "accuracy_per_token", "reordered_accuracy"), "blimp"),
    "reading": _Kind(_reading, ("gain", "gain_self_paced", "partial_r2", "partial_r2_self_paced")),
    "word-formation": _Kind(_word_formation, ("correlation",), "wug_adj_nominalization"),
    "pseudo-perplexity": _Kind(_perplexity, ("perplexity",), "held_out.txt"),
}
