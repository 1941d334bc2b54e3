"""Every number a study has measured, as one table: `results.parquet`.

One row per arm, backbone, seed, task, tuning seed and metric. The task "held_out" is the held-out evaluation of
pretraining; its rows carry the cost of pretraining, the others that of tuning. Costs are those of the job, alike in all
of its rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from maskwise.errors import InputError
from maskwise.lab.records.run_folder import CONFIG, DONE, METRICS, read_metrics
from maskwise.lab.records.weights_hash import teacher_hash
from maskwise.lab.study.budget import arm_budget
from maskwise.lab.study.jobs_of_a_study import FINETUNED, Place, cost_file, places, tasks_of
from maskwise.lab.study.study_file import HELD_OUT, HELD_OUT_METRICS, Study
from maskwise.lab.tokens.blocks import open_data
from maskwise.recipes import read_toml

RESULTS = "results.parquet"
BASELINES = {"constant": "constant", "word_list": "word list", "bm25": "BM25"}  # a column each; names as tuned
COST_COLUMNS = ("seconds", "peak_memory")
SCHEMA = pa.schema(
    [
        ("arm", pa.string()), ("recipe", pa.string()), ("backbone", pa.string()), ("seed", pa.int64()),
        ("task", pa.string()), ("adapted_to", pa.string()), ("tuning_seed", pa.int64()), ("metric", pa.string()),
        ("value", pa.float64()), ("constant", pa.float64()), ("word_list", pa.float64()), ("bm25", pa.float64()),
        ("one_class", pa.bool_()), ("steps", pa.int64()),
        ("seconds", pa.float64()), ("tokens", pa.float64()), ("flops", pa.float64()), ("peak_memory", pa.int64()),
        ("settings_hash", pa.string()),
    ]
)  # fmt: skip

Row = dict[str, Any]


def collect(study: Study, out: Path) -> list[Row]:
    """Returns the rows of every cell that is finished, in the study's order."""
    return [row for place in places(study) for row in _rows_at(study, place, out)]


def write_results(path: Path, rows: Iterable[Row]) -> None:
    """Writes the table, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), temporary)
    temporary.replace(path)


def read_results(out: Path) -> list[Row]:
    """Returns the rows of a study's `results.parquet`."""
    return pq.read_table(out / RESULTS).to_pylist()


def _rows_at(study: Study, place: Place, out: Path) -> Iterator[Row]:
    folder = place.folder(out)
    if not (folder / DONE).exists():
        return
    keys = {
        "arm": place.arm.name, "recipe": place.arm.recipe or place.arm.name, "backbone": place.backbone.name,
        "seed": place.seed, "adapted_to": place.task,
    }  # fmt: skip
    pretrained = _pretraining(study, place, out)
    held_out = pretrained.pop("held_out")
    for metric in HELD_OUT_METRICS:
        yield {**keys, "task": HELD_OUT, "metric": metric, "value": held_out[metric], **pretrained}
    for task in tasks_of(study, place):
        for row in _tuned_rows(study, place.root(out) / task, task, pretrained["settings_hash"]):
            yield {**keys, "task": task, **row}


def _pretraining(study: Study, place: Place, out: Path) -> Row:
    """Returns the evaluation and the cost of a finished pretraining run; an early end costs its share of the plan."""
    folder = place.folder(out)
    done = json.loads((folder / DONE).read_text(encoding="utf-8"))
    budget = arm_budget(study, place, out)
    share = done["steps"] / budget.steps
    own = {name: figures for name, figures in done["held_out"].items() if name == budget.settings.recipe}
    return {
        "held_out": next(iter(own.values())),
        "steps": done["steps"],
        "tokens": budget.tokens * share,
        "flops": budget.flops * share,
        "seconds": training_seconds(folder / METRICS),
        "peak_memory": _peak_memory(folder),
        "settings_hash": _settings_hash(folder),
    }


def _tuned_rows(study: Study, folder: Path, task: str, pretrained_hash: str) -> Iterator[Row]:
    if not (folder / FINETUNED).exists():
        return
    summary = json.loads((folder / FINETUNED).read_text(encoding="utf-8"))["tasks"][task]
    for seed in study.tuning_seeds:
        result = json.loads((folder / task / f"seed-{seed}" / "result.json").read_text(encoding="utf-8"))
        told = _hash([pretrained_hash, study.tune, task, seed])
        cost = {name: result.get(name) for name in ("seconds", "tokens", "flops")}
        for metric, value in result["metrics"].items():
            yield {
                "tuning_seed": seed, "metric": metric, "value": value,
                **{column: summary["metrics"][metric].get(name) for column, name in BASELINES.items()},
                "one_class": result.get("one_class"),
                **cost, "peak_memory": _peak_memory(folder), "settings_hash": told,
            }  # fmt: skip


def training_seconds(metrics: Path) -> float:
    """Returns how long a run trained; every process that went on with it counts its seconds from 0."""
    total = last = 0.0
    for record in read_metrics(metrics):
        total += record["seconds"] - last if record["seconds"] >= last else record["seconds"]
        last = record["seconds"]
    return total


def _peak_memory(folder: Path) -> int | None:
    path = cost_file(folder)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return max((json.loads(line)["peak_memory"] for line in lines), default=None)


def _settings_hash(folder: Path) -> str:
    """Returns the hash of a run's settings; data and models are told by content, so that moved folders hash alike."""
    settings = read_toml(folder / CONFIG)
    for section, name in ((settings, "teacher"), (settings.get("model", {}), "checkpoint")):
        if name in section:
            section[name] = _weights_of(section[name])
    manifest = open_data(settings["data"].pop("path")).manifest
    content = [source.get("sha256") for source in manifest["sources"]]
    return _hash([settings, content, *(manifest[key] for key in ("tokenizer_sha256", "block", "mode", "counts"))])


@cache
def _weights_of(model: str) -> str:
    """Returns the hash of a checkpoint's weights, or the name of one whose weights are not on this disk."""
    try:
        return teacher_hash(model) if Path(model).is_dir() else model
    except InputError:
        return model


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
