"""The fine-tuning job: a checkpoint, tasks and seeds in, a table of scores out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.files.disk_full import disk_full_as_input_error
from maskwise.files.json_text import read_json_object
from maskwise.files.path_names import checked_path_name
from maskwise.lab.seeds import check_seeds
from maskwise.lab.tasks.labels import describe_counts
from maskwise.lab.tasks.table import Task, find_task
from maskwise.lab.tuning.kinds import kind_of
from maskwise.lab.tuning.results import read_result
from maskwise.lab.tuning.scores import FinetuneResult, TaskScores
from maskwise.lab.tuning.settings import TuneSettings, tune_settings
from maskwise.progress import printer, silent_if_not_shown

STARTED, RESULTS = "started.json", "results.json"


@silent_if_not_shown
def finetune(
    checkpoint: str | PathLike[str],
    tasks: str | Task | Sequence[str | Task],
    *,
    out: str | Path,
    task_data: str | Path | None = None,
    seeds: Sequence[int] = (0,),
    settings: TuneSettings | Mapping[str, Any] | None = None,
    text_columns: Sequence[str] = (),
    label_column: str | None = None,
    show: bool = True,
) -> FinetuneResult:
    """Tunes a checkpoint on every task with every seed, and returns all scores next to the constant classifier's.

    Each goes to `out/<task>/seed-<n>`; finished ones are skipped, unfinished ones resume. The classes of each task are
    printed once, with how many training examples each has, and kept in every `result.json`.

    Args:
        checkpoint: A run folder, a checkpoint, or a name on the Hugging Face hub.
        tasks: A task or several: names of the table, or `Task`s of your own.
        out: The folder for scores and models.
        task_data: The folder of one task, a folder of task folders, or `hub:NAME`; None takes each task from the hub.
        seeds: The seeds that each task is tuned with.
        settings: How: a `TuneSettings`, or a mapping of some of its fields, such as `{"learning_rate": 1e-4}`.
        text_columns: The text column, or two for pairs, of a data set of your own.
        label_column: Its label column.
        show: Whether progress and findings are printed to stderr.

    Returns:
        The scores, seed by seed, with their means.

    Raises:
        InputError: For tasks, data, a checkpoint or a folder that cannot work, and for a full disk.

    Example: `finetune("runs/random", ["cola", "mrpc"], task_data="glue", seeds=range(5), out="tuned").table()`
    """
    out, settings, say = Path(out), tune_settings(settings), printer(show)
    checkpoint = fspath(checkpoint)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. --out is the folder for scores and models.")
    asked = [tasks] if isinstance(tasks, str | Task) else list(tasks)
    rows = [_checked_task(task, tuple(text_columns), label_column) for task in asked]
    check_seeds(seeds)
    kinds = [kind_of(task) for task in rows]
    loaded = [kind.load(task, task_data) for kind, task in zip(kinds, rows, strict=True)]
    for task in rows:
        for seed in seeds:
            _check_same(_folder(out, task, seed), checkpoint, settings)
    scores = []
    for task, kind, data in zip(rows, kinds, loaded, strict=True):
        for line in (*data.repairs, *describe_counts(task.name, data.class_counts)):
            say(line)
        results = {}
        for seed in seeds:
            folder = _folder(out, task, seed)
            results[seed] = read_result(folder)
            if results[seed] is None:
                with _started(folder, checkpoint, settings):
                    results[seed] = kind.tune(str(checkpoint), task, data, settings, seed, folder, show=show)
        _require_same_metrics(out / task.name, results)
        scores.append(TaskScores(task, results, kind.baselines(task, data), data.repairs))
    result = FinetuneResult(out, str(checkpoint), settings, scores)
    with disk_full_as_input_error(out / RESULTS):
        atomic_write(out / RESULTS, result.as_json() + "\n")
    return result


def _checked_task(task: str | Task, text_columns: tuple[str, ...], label_column: str | None) -> Task:
    found = find_task(task, text_columns=text_columns, label_column=label_column) if isinstance(task, str) else task
    checked_path_name(found.name, "task")
    return found


def _folder(out: Path, task: Task, seed: int) -> Path:
    return out / task.name / f"seed-{seed}"


def _require_same_metrics(folder: Path, results: Mapping[int, Any]) -> None:
    names = {seed: ", ".join(sorted(result["metrics"])) for seed, result in results.items()}
    for seed, other in pairwise(names):
        if names[seed] != names[other]:
            raise InputError(
                f"In {folder} seed {seed} has the metrics {names[seed]}, and seed {other} has {names[other]}.\n"
                "Delete the folder of the one that is not of this task."
            )


@contextmanager
def _started(folder: Path, checkpoint: str | Path, settings: TuneSettings) -> Iterator[None]:
    """Makes the folder of a seed, which says what it is tuned with; a full disk and a refusal end as they should."""
    with disk_full_as_input_error(folder), _nothing_left_when_refused(folder):
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(folder / STARTED, json.dumps(_identity(checkpoint, settings), indent=2) + "\n")
        yield


@contextmanager
def _nothing_left_when_refused(folder: Path) -> Iterator[None]:
    """A folder that was only begun would take the next checkpoint, the right one, for another than its own."""
    try:
        yield
    except InputError:
        if [path.name for path in folder.iterdir()] == [STARTED]:
            (folder / STARTED).unlink()
            with suppress(OSError):
                for empty in (folder, *folder.parents[:2]):
                    empty.rmdir()
        raise


def _identity(checkpoint: str | Path, settings: TuneSettings) -> dict[str, Any]:
    return {"checkpoint": str(checkpoint), **settings.model_dump(mode="json", exclude={"checkpoint_seconds"})}


def _check_same(folder: Path, checkpoint: str | Path, settings: TuneSettings) -> None:
    if not (folder / STARTED).exists():
        return
    before = read_json_object(folder / STARTED, advice=f"Delete {folder} to tune it again.")
    now = _identity(checkpoint, settings)
    changed = [key for key in now if before.get(key) != now[key]]
    if changed:
        raise InputError(
            f"{folder} was tuned with another {changed[0]}: {before.get(changed[0])!r}, now {now[changed[0]]!r}. "
            "Choose another --out, or delete the folder."
        )
