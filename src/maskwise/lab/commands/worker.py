"""The worker: runs one job of a study in a process of its own, and has the table from kind of job to function.

    python -m maskwise.lab.commands.worker SETTINGS

SETTINGS is a `<job>.json`. The attempt's start line is written before anything heavy is imported, its end line last.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.lab.jobs.job import JobFile, read_job_file
from maskwise.lab.jobs.local import END_WITH_PARENT
from maskwise.lab.jobs.process import end_with_parent, set_up_process
from maskwise.lab.records.attempts import Attempt
from maskwise.lab.records.record import HELD_OUT, RunRecord, hash_of, list_files, metrics_of, write_record
from maskwise.lab.records.recorder import Recorder, exit_code_of, message_of

INITIAL = "initial-model"  # the weights that are tuned without pretraining, while they are


def run_worker(arguments: list[str]) -> int:
    """Runs the job whose settings are named; returns the exit code."""
    set_up_process()
    if END_WITH_PARENT in arguments:
        end_with_parent()
    (settings,) = (argument for argument in arguments if argument != END_WITH_PARENT)
    return run_job(Path(settings), own_process=True)


def run_job(settings: Path, *, own_process: bool, objects: Mapping[str, Any] | None = None) -> int:
    """Runs a job as an attempt of its own.

    Args:
        settings: The job's `<job>.json`.
        own_process: Whether this process runs the job alone; then its peak memory is known.
        objects: Functions by name that no file can hold; given by an executor of this process.

    Returns:
        The exit code: 0, 2 for a user's mistake, 1 for any other error. KeyboardInterrupt comes through.
    """
    try:
        job = read_job_file(settings)
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    attempt = Attempt(own_process=own_process)
    attempt.begin(Path(job.attempts))
    try:
        JOB_KINDS[job.kind](job, Recorder(job.key, attempt), objects or {})
    except BaseException as error:
        code = exit_code_of(error)
        if isinstance(error, InputError):
            print(f"Error: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
        attempt.end(code, message_of(error))
        if isinstance(error, KeyboardInterrupt):
            raise
        return code
    attempt.end(0)
    return 0


def _prepare(job: JobFile, recorder: Recorder, objects: Mapping[str, Any]) -> None:
    from maskwise.lab.study.job_settings import TaskText
    from maskwise.lab.study.task_text import write_task_text
    from maskwise.lab.tokens.describe import describe
    from maskwise.lab.tokens.prepare import prepare

    settings = write_task_text(TaskText.model_validate(job.settings), Path(job.folder))
    print(describe(prepare(settings, recorder=recorder)))


def _pretrain(job: JobFile, recorder: Recorder, objects: Mapping[str, Any]) -> None:
    from maskwise.lab.config import PretrainSettings
    from maskwise.lab.pretraining.pretrain import pretrain
    from maskwise.progress import hide_library_bars

    hide_library_bars()
    settings = PretrainSettings.model_validate(job.settings)
    score = objects.get(settings.masking.score)
    result = pretrain(settings, job.folder, resume=True, score=score, recorder=recorder)
    print(result.table())
    if result.stopping:
        print(result.stopping)


def _annotate(job: JobFile, recorder: Recorder, objects: Mapping[str, Any]) -> None:
    from maskwise.lab.pretraining.annotate import annotate
    from maskwise.lab.records.record import read_record
    from maskwise.lab.study.job_settings import Annotation
    from maskwise.progress import hide_library_bars

    hide_library_bars()
    settings = Annotation.model_validate(job.settings)
    scores = annotate(settings.data, settings.teacher, statistic=settings.statistic, recorder=recorder)
    print(f"The scores are in {scores}.")
    write_record(Path(job.folder), read_record(scores).model_copy(update={"key": job.key}))


def _tune(job: JobFile, recorder: Recorder, objects: Mapping[str, Any]) -> None:
    from maskwise.lab.study.job_settings import Tuning
    from maskwise.lab.tuning.finetune import finetune
    from maskwise.progress import hide_library_bars

    hide_library_bars()
    settings, folder = Tuning.model_validate(job.settings), Path(job.folder)
    with _checkpoint(settings.start, folder) as checkpoint:
        result = finetune(
            checkpoint, [settings.task], out=folder, task_data=settings.task_data, seeds=settings.seeds,
            settings=settings.settings, recorder=recorder,
        )  # fmt: skip
    print(result.table())


def _evaluate(job: JobFile, recorder: Recorder, objects: Mapping[str, Any]) -> None:
    from maskwise.lab.records.content import weights_hash
    from maskwise.lab.records.environment import environment
    from maskwise.lab.study.job_settings import EvaluationSettings
    from maskwise.progress import hide_library_bars

    hide_library_bars()
    settings, folder = EvaluationSettings.model_validate(job.settings), Path(job.folder)
    with _checkpoint(settings.start, folder) as checkpoint:
        measured = _held_out if settings.task == HELD_OUT else _zero_shot
        content = {"checkpoint": weights_hash(checkpoint), **_evaluated_on(settings)}
        found = measured(settings, checkpoint, folder)
    record = RunRecord(
        kind="evaluate",
        finished=True,
        key=job.key,
        settings=job.settings,
        settings_hash=hash_of([settings.task, content]),
        content=content,
        environment=environment("fp32"),
        **found,
    )
    write_record(folder, record.costing(recorder.cost()))


def _evaluated_on(settings: Any) -> dict[str, str]:
    """Returns the hash of the data that a checkpoint is evaluated on."""
    from maskwise.lab.evaluation.zero_shot import find_task_data, parse_zero_shot
    from maskwise.lab.records.content import path_hash
    from maskwise.lab.tokens.blocks import open_data
    from maskwise.lab.tokens.content import data_hash

    if settings.task == HELD_OUT:
        return {"data": data_hash(open_data(settings.data))}
    return {"task data": path_hash(find_task_data(parse_zero_shot(settings.task), Path(settings.task_data)))}


def _zero_shot(settings: Any, checkpoint: str, folder: Path) -> dict[str, Any]:
    """Returns what the record says of a zero-shot task; its predictions are in the job's folder."""
    from maskwise.lab.evaluation.figures import Figures
    from maskwise.lab.evaluation.zero_shot import ZERO_SHOT_PREDICTIONS, ZERO_SHOT_RESULT, evaluate_zero_shot

    result = evaluate_zero_shot(checkpoint, settings.task, settings.task_data, token_counts=Path(settings.data))
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        written = result.write(Path(made) / "written")
        for name in (ZERO_SHOT_PREDICTIONS, ZERO_SHOT_RESULT):
            (written / name).replace(folder / name)
    return {
        "metrics": metrics_of(result.metrics),
        "baselines": Figures(result.primary, result.metrics, result.baselines).baselines(),
        "files": list_files(folder, {"predictions": ZERO_SHOT_PREDICTIONS, "result": ZERO_SHOT_RESULT}),
    }


def _held_out(settings: Any, checkpoint: str, folder: Path) -> dict[str, Any]:
    """Returns what the record says of the held-out evaluation, on the data that a run from these weights trains on."""
    from maskwise.lab.evaluation.side_by_side import evaluate, grade_figures

    blocks = settings.start.initial.data.held_out_blocks
    results = evaluate([checkpoint], Path(settings.data), blocks=blocks).results
    figures = {name: grade_figures(result) for name, result in results.items()}
    return {"metrics": metrics_of(figures.pop(checkpoint)), "baselines": figures}


@contextmanager
def _checkpoint(start: Any, folder: Path) -> Iterator[str]:
    """Yields the path of a job's model; weights without pretraining are there for the block alone."""
    if start.checkpoint is not None:
        yield start.checkpoint
        return
    from maskwise.lab.pretraining.initial_model import save_initial_model

    initial = folder / INITIAL
    try:
        yield str(save_initial_model(start.initial, initial))
    finally:
        shutil.rmtree(initial, ignore_errors=True)


JOB_KINDS: Mapping[str, Callable[[JobFile, Recorder, Mapping[str, Any]], None]] = {
    "prepare": _prepare,
    "pretrain": _pretrain,
    "time": _pretrain,
    "annotate": _annotate,
    "tune": _tune,
    "evaluate": _evaluate,
}

if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1:]))
