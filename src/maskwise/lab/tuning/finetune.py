"""The fine-tuning job: a checkpoint, tasks and seeds in, a table of scores out."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise, product
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.files.disk_full import disk_full_as_input_error
from maskwise.files.path_names import checked_path_name, path_text
from maskwise.files.writable import check_writable
from maskwise.lab.records.attempts import ATTEMPTS
from maskwise.lab.records.content import weights_hash
from maskwise.lab.records.record import RECORD, RunRecord, read_record, write_record
from maskwise.lab.records.recorder import Recorder
from maskwise.lab.seeds import check_seeds
from maskwise.lab.tasks.labels import describe_counts
from maskwise.lab.tasks.table import Task, find_task
from maskwise.lab.tuning.kinds import kind_of
from maskwise.lab.tuning.results import read_result
from maskwise.lab.tuning.scores import FinetuneResult, TaskScores
from maskwise.lab.tuning.settings import TuneSettings, tune_settings
from maskwise.lab.tuning.tuned_record import TunedTask, finished_tuned_record, first_tuned_record, task_data_hash
from maskwise.progress import printer, silent_if_not_shown

_RESULTS = "results.json"


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
    recorder: Recorder | None = None,
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
        recorder: What keeps the attempts and the place in a study, if there is one.

    Returns:
        The scores, seed by seed, with their means.

    Raises:
        InputError: For tasks, data, a checkpoint or a folder that cannot work, for a full disk, and if what `out` was
            begun with has changed.

    Example:
        ```python
        from maskwise.lab import finetune

        finetune("runs/random", ["cola", "mrpc"], task_data="glue", seeds=range(5), out="tuned").table()
        ```
    """
    out, settings, say = Path(out), tune_settings(settings), printer(show)
    checkpoint = path_text(checkpoint, "checkpoint")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. --out is the folder for scores and models.")
    check_writable(out)
    asked = [tasks] if isinstance(tasks, str | Task) else tasks
    if not isinstance(asked, Iterable):
        raise InputError(f"Tasks are names, such as 'mrpc' or ['cola', 'mrpc']; found {asked!r:.80}.")
    rows = [_checked_task(task, tuple(text_columns), label_column) for task in asked]
    check_seeds(seeds)
    loaded = [_load(task, task_data) for task in rows]
    first = _first_records(out, checkpoint, loaded, settings, seeds, recorder or Recorder())
    scores = []
    for one in loaded:
        for line in (*one.data.repairs, *describe_counts(one.task.name, one.data.class_counts)):
            say(line)
        results = {}
        for seed in seeds:
            begun = first[one.task.name, seed]
            results[seed] = read_result(begun.folder) or _tune(checkpoint, one, settings, seed, begun, show=show)
        _require_same_metrics(out / one.task.name, results)
        scores.append(TaskScores(one.task, results, one.baselines, one.data.repairs))
    result = FinetuneResult(out, str(checkpoint), settings, scores)
    with disk_full_as_input_error(out / _RESULTS):
        atomic_write(out / _RESULTS, result.as_json() + "\n")
    return result


class _Begun(NamedTuple):
    folder: Path
    record: RunRecord
    recorder: Recorder


def _load(task: Task, task_data: str | Path | None) -> TunedTask:
    kind = kind_of(task)
    data = kind.load(task, task_data)
    return TunedTask(task, kind, data, task_data_hash(data), kind.baselines(task, data))


def _first_records(
    out: Path,
    checkpoint: str | Path,
    loaded: Sequence[TunedTask],
    settings: TuneSettings,
    seeds: Sequence[int],
    recorder: Recorder,
) -> dict[tuple[str, int], _Begun]:
    """Returns each seed's folder and the record of its start, which agrees with what is in the folder already."""
    weights = weights_hash(str(checkpoint))
    first: dict[tuple[str, int], _Begun] = {}
    for one, seed in product(loaded, seeds):
        folder = _folder(out, one.task, seed)
        record = first_tuned_record(checkpoint, weights, one, settings, seed, recorder)
        _check_same(folder, record)
        first[one.task.name, seed] = _Begun(folder, record, recorder.part())
    return first


def _tune(
    checkpoint: str | Path, one: TunedTask, settings: TuneSettings, seed: int, begun: _Begun, *, show: bool
) -> dict[str, Any]:
    """Tunes with one seed; its record is there from the first step, and finished when the result is."""
    folder, record, recorder = begun
    with disk_full_as_input_error(folder), _nothing_left_when_refused(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_record(folder, record)
        with recorder.attempt_in(folder / ATTEMPTS):
            result = one.kind.tune(str(checkpoint), one.task, one.data, settings, seed, folder, show=show)
            write_record(folder, finished_tuned_record(folder, record, one, result).costing(recorder.cost()))
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
def _nothing_left_when_refused(folder: Path) -> Iterator[None]:
    """A folder that was only begun would take the next checkpoint, the right one, for another than its own."""
    try:
        yield
    except InputError:
        if {path.name for path in folder.iterdir()} <= {RECORD, ATTEMPTS}:
            shutil.rmtree(folder)
            with suppress(OSError):
                for empty in folder.parents[:2]:
                    empty.rmdir()
        raise


def _check_same(folder: Path, now: RunRecord) -> None:
    """Raises InputError if a folder was begun with other settings, on other data, or from another checkpoint."""
    if not (folder / RECORD).exists():
        return
    before = read_record(folder)
    for told, found in ((before.settings, now.settings), (before.content, now.content)):
        changed = [key for key in found if key != "checkpoint path" and told.get(key) != found[key]]
        if changed:
            raise InputError(
                f"{folder} was tuned with another {changed[0]}: {_short(told, changed[0])}, now "
                f"{_short(found, changed[0])}. Choose another --out, or delete the folder."
            )


def _short(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return value[:16] if isinstance(value, str) and len(value) > 40 else repr(value)
