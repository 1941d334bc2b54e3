"""Every number a study has measured, as one table, read from the records of its runs and nothing else.

One row per arm, backbone, seed, task, tuning seed and metric. The task "held_out" is the held-out evaluation of
pretraining; its rows carry the cost of pretraining, the others that of tuning. Costs are those of the run, alike in all
of its rows. Models without pretraining and a seed's teacher are rows of the arms "not-pretrained" (or "as-given") and
"teacher".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from maskwise.errors import InputError
from maskwise.files.path_names import path_text
from maskwise.lab.records.record import HELD_OUT, RECORD, RunKey, RunRecord, check_files, read_record
from maskwise.lab.study.declaration import TEACHER
from maskwise.lab.study.layout import Layout, is_pretrained, is_tuned, result_keys, run_name
from maskwise.lab.study.study_file import HELD_OUT_METRICS, Study
from maskwise.recipes import read_toml

KEY_COLUMNS = ("arm", "recipe", "backbone", "seed", "task", "adapted_to", "tuning_seed")
COST_COLUMNS = ("seconds", "training_seconds", "peak_memory")
# What needs no pretrained model, by the column that has its score: the name that records have for it.
BASELINE_NAMES = {
    "constant": "constant",
    "word_list": "word list",
    "bm25": "BM25",
    "unigram_floor": "unigram floor",
    "chance": "chance",
}
SCHEMA = pa.schema(
    [
        ("arm", pa.string()), ("recipe", pa.string()), ("backbone", pa.string()), ("seed", pa.int64()),
        ("task", pa.string()), ("adapted_to", pa.string()), ("tuning_seed", pa.int64()), ("metric", pa.string()),
        ("value", pa.float64()), *((name, pa.float64()) for name in BASELINE_NAMES), ("one_class", pa.bool_()),
        ("steps", pa.int64()), ("seconds", pa.float64()), ("training_seconds", pa.float64()), ("tokens", pa.float64()),
        ("flops", pa.float64()), ("peak_memory", pa.int64()), ("settings_hash", pa.string()),
    ]
)  # fmt: skip
DTYPES = {"int64": "Int64", "bool": "boolean", "double": "float64", "string": "object"}


@dataclass(frozen=True)
class StudyRun:
    """A run that was begun: its key, its folder, and the records in it: one, or one for each tuning seed."""

    key: RunKey
    folder: Path
    records: Mapping[int | None, RunRecord]
    is_finished: bool = True


@dataclass(frozen=True)
class StudyRuns:
    """What is in a study's folder: the study, its runs, and what is wrong with those that are damaged."""

    study: Study
    layout: Layout
    runs: tuple[StudyRun, ...]
    damaged: Mapping[str, str]

    @property
    def finished(self) -> list[StudyRun]:
        """The runs that are finished."""
        return [run for run in self.runs if run.is_finished]


def read_study(out: str | Path) -> Study:
    """Returns the study that a folder belongs to, as it was resolved when it began.

    Raises:
        InputError: There is none, or its file is damaged.
    """
    path = Layout(Path(out)).study_file
    if not path.exists():
        raise InputError(f"{out} is not the folder of a study: there is no {path.name}.")
    try:
        return Study.recorded(read_toml(path))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise InputError(f"{path} is damaged: {where}: {fault['msg']}. Restore it from the study's own file.") from None


def read_runs(out: str | Path) -> StudyRuns:
    """Returns all that was begun in a study's folder; a damaged run is named, and counts as unfinished.

    Raises:
        InputError: The folder is not a study's, or its study file is damaged.
    """
    study, layout = read_study(out), Layout(Path(out))
    runs: list[StudyRun] = []
    damaged: dict[str, str] = {}
    for key in result_keys(study):
        try:
            run = _read_run(study, layout, key)
        except InputError as error:
            damaged[run_name(key)] = " ".join(str(error).split())
        else:
            runs += [run] if run is not None else []
    return StudyRuns(study, layout, tuple(runs), damaged)


def collect(out: str | Path) -> pd.DataFrame:
    """Returns every number that the finished runs in a study's folder have measured, as a data frame.

    Columns: arm, recipe, backbone, seed, task, adapted_to, tuning_seed, metric, value, then the scores of what needs no
    model, whether a tuned model gives one answer to everything, steps, seconds of all attempts and of training,
    tokens, flops, peak memory (bytes) and a hash of the settings.

    Args:
        out: The study's folder.

    Returns:
        A frame with a row per value.

    Raises:
        InputError: The folder is not a study's, or its study file is damaged.

    Example:
        ```python
        from maskwise.lab import collect

        collect("out").groupby(["arm", "task", "metric"])["value"].mean()
        ```
    """
    return results_frame(read_runs(path_text(out, "folder of a study")))


def results_frame(runs: StudyRuns) -> pd.DataFrame:
    """Returns the results of these runs; see `collect`."""
    return to_frame(row for run in runs.finished for row in _rows(runs.study, run))


def to_frame(rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> pd.DataFrame:
    """Returns rows, or a frame from anywhere, as a frame with every column of results; what is missing is empty.

    Raises:
        InputError: A column is missing that says what a value is of.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=SCHEMA.names)
    needed = [name for name in ("arm", "backbone", "seed", "task", "metric", "value") if name not in frame.columns]
    if needed:
        raise InputError(f"The results have no column {needed[0]!r}. Found: {', '.join(map(str, frame.columns))}.")
    kinds = {field.name: DTYPES[str(field.type)] for field in SCHEMA}
    return frame.reindex(columns=SCHEMA.names).astype(kinds)


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns a frame's rows as plain values; None is where there is none."""
    return pa.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False).to_pylist()


def write_results(path: Path, frame: pd.DataFrame) -> None:
    """Writes the table, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(pa.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False), temporary)
    temporary.replace(path)


def read_results(out: str | Path) -> pd.DataFrame:
    """Returns a study's `results.parquet`.

    Raises:
        InputError: It is not there, or damaged.
    """
    path = Layout(Path(out)).results
    try:
        return to_frame(pq.read_table(path).to_pandas())
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read: {error}. `collect` makes it again from the records.") from None


def _read_run(study: Study, layout: Layout, key: RunKey) -> StudyRun | None:
    """Returns a run with its records; None if it was not begun, or is one of tuning that is not finished."""
    folder = layout.folder(key)
    if not layout.done(key).exists():
        begun = is_pretrained(key) and (folder / RECORD).exists()
        return StudyRun(key, folder, {None: read_record(folder)}, is_finished=False) if begun else None
    if is_tuned(key):
        places = {seed: layout.tuned(key, seed) for seed in study.tuning_seeds_of(key.task)}
    else:
        places = {None: folder}
    records: dict[int | None, RunRecord] = {}
    for seed, place in places.items():
        records[seed] = record = read_record(place)
        if not record.finished or record.key != key:
            raise InputError(f"{place} holds the record of another run, or of one that is not finished.")
        check_files(place, record)
    return StudyRun(key, folder, records)


def _rows(study: Study, run: StudyRun) -> Iterator[dict[str, Any]]:
    key, is_arm = run.key, run.key.arm in {arm.name for arm in study.arms}
    recipe = study.arm(key.arm).recipe_name if is_arm else None
    if study.teacher is not None and key.arm == TEACHER:
        recipe = study.teacher.recipe
    names = {"arm": key.arm, "recipe": recipe, "backbone": key.backbone, "seed": key.seed}
    for tuning_seed, record in run.records.items():
        shared = names | {
            "task": key.task,
            "adapted_to": key.adapted_to,
            "tuning_seed": tuning_seed,
            "one_class": record.collapsed,
            **{name: getattr(record, name) for name in ("steps", *COST_COLUMNS, "tokens", "flops", "settings_hash")},
        }
        for metric in HELD_OUT_METRICS if key.task == HELD_OUT else record.metrics:
            scores = {column: record.baselines.get(name, {}).get(metric) for column, name in BASELINE_NAMES.items()}
            yield shared | {"metric": metric, "value": record.metrics[metric].value} | scores
