"""What a pretraining run's record says before its first step, and after its last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from maskwise.evaluation.held_out import HeldOutResult
from maskwise.files.atomic import atomic_write
from maskwise.lab.config import PretrainSettings
from maskwise.lab.pretraining.early_stopping import StoppingVerdict
from maskwise.lab.pretraining.run_size import RunSize, corpus_figures, run_size
from maskwise.lab.records.content import score_hash, source_file, weights_hash
from maskwise.lab.records.environment import environment
from maskwise.lab.records.record import RunRecord, hash_of, list_files, metrics_of, read_record, write_record
from maskwise.lab.records.recorder import Recorder
from maskwise.lab.records.run_folder import METRICS, open_run, read_metrics
from maskwise.lab.tokens.blocks import DataFolder, open_data
from maskwise.lab.tokens.content import data_hash
from maskwise.lab.tokens.tokenizer import tokenizer_hash
from maskwise.masking.named_score import import_score
from maskwise.masking.named_unit import import_unit
from maskwise.masking.score import Score

SCORE_SOURCE = "score-source.py"  # the file of one's own score function, as it was when the run began
PATHS = (("data", "path"), ("data", "general"), ("model", "checkpoint"), ("teacher",))  # told by content instead


def planned_size(settings: PretrainSettings, data: DataFolder, args: TrainingArguments) -> RunSize | None:
    """Returns the size of a run; None if the operations of its model cannot be counted without running it."""
    try:
        return run_size(settings, corpus_figures(data), args)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError):  # of a foreign architecture
        return None


def open_with_record(
    out: Path,
    settings: PretrainSettings,
    data: DataFolder,
    args: TrainingArguments,
    score: Score | None,
    recorder: Recorder,
    *,
    resume: bool,
    say: Callable[[str], None],
) -> None:
    """Makes or reopens a run folder with the record of the run's start, and the source of one's own score function.

    Raises:
        InputError: See `run_folder.open_run`.
    """
    own = score or own_score(settings)
    open_run(out, settings, first_record(settings, data, args, own, recorder), resume=resume, say=say)
    if own is not None and (source := source_file(own)) is not None:
        atomic_write(out / SCORE_SOURCE, source.read_text(encoding="utf-8"))


def first_record(
    settings: PretrainSettings, data: DataFolder, args: TrainingArguments, own: Score | None, recorder: Recorder
) -> RunRecord:
    """Returns the record of a run that has not taken a step: its settings, and the content of what it depends on.

    `own` is one's own score, if that is what the settings name.
    """
    content = content_of(settings, data, own)
    tree = settings.model_dump(mode="json", exclude_none=True)
    return RunRecord(
        kind="pretrain",
        key=recorder.key,
        settings=tree,
        settings_hash=hash_of([_without_paths(tree), content]),
        content=content,
        environment=environment("bf16" if args.bf16 else "fp16" if args.fp16 else "fp32"),
        files=list_files(Path(args.output_dir or "."), {"metrics": METRICS}, growing=["metrics"]),
    )


def content_of(settings: PretrainSettings, data: DataFolder, own: Score | None) -> dict[str, str]:
    """Returns the hashes of all that a run depends on: data, tokenizer, score, and teacher, checkpoint, own unit."""
    content = {"data": data_hash(data), "tokenizer": tokenizer_hash(data.tokenizer)}
    if settings.data.general is not None:
        content["general data"] = data_hash(open_data(settings.data.general))
    typhoon = settings.masking.typhoon
    if typhoon is not None and typhoon.task_data is not None:
        content["task data"] = data_hash(open_data(typhoon.task_data))
    teacher = settings.teacher if settings.needs_teacher else None
    for what, name in (("teacher", teacher), ("checkpoint", settings.model.checkpoint)):
        if name is not None:
            content[what] = weights_hash(name)
    if isinstance(unit := settings.masking.unit, str) and ":" in unit:
        content["unit"] = score_hash(import_unit(unit))
    content["score"] = f"maskwise {metadata.version('maskwise')}" if own is None else score_hash(own)
    return content


def own_score(settings: PretrainSettings) -> Score | None:
    """Returns one's own score that settings name as `package.module:name`; None for a built-in one."""
    return import_score(settings.masking.score) if ":" in settings.masking.score else None


def finish_record(
    out: Path,
    size: RunSize | None,
    held_out: Mapping[str, HeldOutResult],
    steps: int,
    verdict: StoppingVerdict | None,
    recorder: Recorder,
) -> None:
    """Writes the finished record of a run; one that ended early cost its share of what was planned.

    Args:
        out: The run folder, with the record of its start.
        size: What was planned; None if its flops cannot be counted.
        held_out: The grades by name: the floor's, and the model's by its recipe.
        steps: The optimizer steps that were taken.
        verdict: What the evaluations decided, if they had a say.
        recorder: What keeps the run's attempts.
    """
    record = read_record(out)
    grades = {name: _numbers(grade.as_dict()) for name, grade in held_out.items()}
    metrics = grades.pop(record.settings["recipe"])
    share = steps / size.budget.steps if size else 0.0
    files = {"metrics": METRICS, "score source": SCORE_SOURCE, "log": f"../{out.name}.log"}
    update = {
        "finished": True,
        "steps": steps,
        "tokens": size.tokens * share if size else None,
        "flops": size.flops * share if size else None,
        "training_seconds": training_seconds(out / METRICS),
        "metrics": metrics_of(metrics),
        "baselines": grades,
        "stopping": verdict.as_dict() if verdict else None,
        "notes": () if size else ("flops are not known: this architecture's cannot be counted without running it",),
        "files": list_files(out, files, growing=["log"]),
    }
    write_record(out, record.model_copy(update=update).costing(recorder.cost()))


def training_seconds(metrics: Path) -> float:
    """Returns how long a run trained; every process that resumed it counts its seconds from 0."""
    total = last = 0.0
    for record in read_metrics(metrics):
        total += record["seconds"] - last if record["seconds"] >= last else record["seconds"]
        last = record["seconds"]
    return total


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if name != "tokens" and isinstance(value, int | float)}


def _without_paths(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings without the names of what is told by its content, so that moved folders hash alike."""
    copy = {name: dict(value) if isinstance(value, Mapping) else value for name, value in tree.items()}
    for *section, name in PATHS:
        place = copy[section[0]] if section else copy
        place.pop(name, None)
    if "typhoon" in copy["masking"]:
        copy["masking"]["typhoon"] = {k: v for k, v in copy["masking"]["typhoon"].items() if k != "task_data"}
    return copy
