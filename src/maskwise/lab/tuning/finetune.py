"""The fine-tuning job: a checkpoint, tasks and seeds in, a table of scores out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.files.disk_full import disk_full_as_input_error
from maskwise.lab.tasks.table import Task, find_task
from maskwise.lab.tuning.results import read_result
from maskwise.lab.tuning.scores import FinetuneResult, TaskScores
from maskwise.lab.tuning.settings import TuneSettings
from maskwise.progress import printer

# The module of each kind of task. It has `load(task, source)`, whose result has `repairs` (what was put right, in
# words); `tune(checkpoint, task, data, settings, seed, out, *, show)`, which returns what it wrote to `result.json`;
# and `baselines(task, data)`: scores without a model, by name, such as the constant classifier's.
KINDS = {"classify": "classify", "regress": "classify", "tag": "tag", "retrieve": "retrieve"}
STARTED, RESULTS = "started.json", "results.json"


def finetune(
    checkpoint: str | Path,
    tasks: Sequence[str | Task],
    *,
    out: str | Path,
    task_data: str | Path | None = None,
    seeds: Sequence[int] = (0,),
    settings: TuneSettings | None = None,
    show: bool = True,
) -> FinetuneResult:
    """Tunes a checkpoint on every task with every seed, and returns all scores beside the constant classifier's.

    Each goes to `out/<task>/seed-<n>`; finished ones are skipped, unfinished ones go on. `task_data` is the folder of
    one task, a folder of task folders, or `hub:NAME`; None takes the task from the Hugging Face hub. Raises InputError
    for tasks, data, a checkpoint or a folder that cannot work, and for a full disk.

    Example: `finetune("runs/random", ["cola", "mrpc"], task_data="glue", seeds=range(5), out="tuned").table()`
    """
    out, settings, say = Path(out), settings or TuneSettings(), printer(show)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. --out is the folder for scores and models.")
    rows = [find_task(task) if isinstance(task, str) else task for task in tasks]
    kinds = [import_module(f"maskwise.lab.tuning.{KINDS[task.kind]}") for task in rows]
    loaded = [kind.load(task, task_data) for kind, task in zip(kinds, rows, strict=True)]
    for task in rows:
        for seed in seeds:
            _check_same(_folder(out, task, seed), checkpoint, settings)
    scores = []
    for task, kind, data in zip(rows, kinds, loaded, strict=True):
        for repair in data.repairs:
            say(repair)
        results = {}
        for seed in seeds:
            folder = _folder(out, task, seed)
            results[seed] = read_result(folder)
            if results[seed] is None:
                with disk_full_as_input_error(folder), _nothing_left_when_refused(folder):
                    folder.mkdir(parents=True, exist_ok=True)
                    atomic_write(folder / STARTED, json.dumps(_identity(checkpoint, settings), indent=2) + "\n")
                    results[seed] = kind.tune(str(checkpoint), task, data, settings, seed, folder, show=show)
        scores.append(TaskScores(task, results, kind.baselines(task, data), data.repairs))
    result = FinetuneResult(out, str(checkpoint), settings, scores)
    with disk_full_as_input_error(out / RESULTS):
        atomic_write(out / RESULTS, result.as_json() + "\n")
    return result


def _folder(out: Path, task: Task, seed: int) -> Path:
    return out / task.name / f"seed-{seed}"


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
    before = json.loads((folder / STARTED).read_text(encoding="utf-8"))
    now = _identity(checkpoint, settings)
    changed = [key for key in now if before.get(key) != now[key]]
    if changed:
        raise InputError(
            f"{folder} was tuned with another {changed[0]}: {before.get(changed[0])!r}, now {now[changed[0]]!r}. "
            "Choose another --out, or delete the folder."
        )
