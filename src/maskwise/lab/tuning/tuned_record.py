"""What the record of a tuned seed says before its first step, and after its last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from maskwise.lab.records.environment import environment
from maskwise.lab.records.record import RunRecord, hash_of, list_files, metrics_of
from maskwise.lab.records.recorder import Recorder
from maskwise.lab.tasks.table import Task
from maskwise.lab.tuning.fit import uses_bf16
from maskwise.lab.tuning.kinds import TaskKind
from maskwise.lab.tuning.results import PREDICTIONS, RESULT
from maskwise.lab.tuning.settings import TuneSettings

NOTED = ("cut", "long", "invalid_predicted_tags", "pairs")  # what else a result may say of its data


class TunedTask(NamedTuple):
    """A row of the table, its kind, its data with a hash, and the scores that need no model."""

    task: Task
    kind: TaskKind
    data: Any
    data_hash: str
    baselines: Mapping[str, Mapping[str, float]]


def first_tuned_record(
    checkpoint: str | Path,
    weights: str,
    one: TunedTask,
    settings: TuneSettings,
    seed: int,
    recorder: Recorder,
) -> RunRecord:
    """Returns the record of a seed that has not taken a step: its settings, and the content of what it depends on.

    `weights` is the hash of the checkpoint's.
    """
    content = {"checkpoint": weights, "task data": one.data_hash}
    tree = settings.model_dump(mode="json", exclude={"checkpoint_seconds"})
    return RunRecord(
        kind="tune",
        key=recorder.key,
        tuning_seed=seed,
        settings={
            "task": one.task.name,
            "task kind": one.task.kind,
            "held out": list(one.task.held_out),
            "seed": seed,
            "checkpoint path": str(checkpoint),
            **tree,
        },
        settings_hash=hash_of([one.task.name, seed, tree, content]),
        content=content,
        class_counts={
            split: {str(name): number for name, number in counts.items()}
            for split, counts in one.data.class_counts.items()
        },
        baselines={name: dict(scores) for name, scores in one.baselines.items()},
        environment=environment("bf16" if uses_bf16(settings) else "fp32"),
    )


def finished_tuned_record(folder: Path, first: RunRecord, one: TunedTask, result: Mapping[str, Any]) -> RunRecord:
    """Returns the record of a seed that has ended; `result` is what its kind of task wrote to `result.json`."""
    notes = [*one.data.repairs, *(f"{name}: {result[name]}" for name in NOTED if result.get(name))]
    return first.model_copy(
        update={
            "finished": True,
            "steps": result.get("steps"),
            "tokens": result.get("tokens"),
            "flops": result.get("flops"),
            "training_seconds": result.get("seconds"),
            "metrics": metrics_of(result["metrics"]),
            "collapsed": result.get("one_class"),
            "selected_epoch": result.get("epoch"),
            "notes": tuple(notes),
            "files": list_files(folder, {"predictions": PREDICTIONS, "result": RESULT}),
        }
    )


def task_data_hash(data: Any) -> str:
    """Returns a hash of a task's texts, labels and splits, wherever they were read from."""
    text = json.dumps(asdict(data), sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
