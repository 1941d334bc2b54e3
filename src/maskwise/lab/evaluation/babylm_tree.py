"""The folder tree that BabyLM's evaluation pipeline leaves, and its collating script reads.

`results/<model>/<revision>/zero_shot/mlm/<task>/<dataset>/predictions.json` and
`results/<model>/<revision>/finetune/<task>/predictions.json`, each `{UID: {"predictions": [...]}}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.lab.evaluation.babylm_sets import (
    AGE_OF_ACQUISITION,
    FINETUNE_SIZES,
    BabylmSet,
    babylm_sets,
    revision_names,
)
from maskwise.lab.evaluation.item_files import ItemSet

_PREDICTIONS = "predictions.json"
BabylmPredictions = dict[str, dict[str, list[dict[str, Any]]]]


def zero_shot_file(results: Path, model: str, revision: str, one: BabylmSet) -> Path:
    """Returns where a data set's predictions belong."""
    return results / model / revision / "zero_shot" / "mlm" / one.place / _PREDICTIONS


def finetune_file(results: Path, model: str, revision: str, task: str) -> Path:
    """Returns where a tuned task's predictions belong."""
    return results / model / revision / "finetune" / task / _PREDICTIONS


def of_items(item_set: ItemSet, counted: pd.DataFrame) -> BabylmPredictions:
    """Returns the chosen completion of each item, as the data have it."""
    found: BabylmPredictions = {}
    for uid, number, chosen in zip(counted["uid"], counted["item"], counted["chosen"], strict=True):
        completion = item_set.paradigms[uid][number].completions[chosen]
        found.setdefault(uid, {"predictions": []})["predictions"].append({"id": f"{uid}_{number}", "pred": completion})
    return found


def of_word_forms(task: str, sentences: Sequence[tuple[str, str]], frame: pd.DataFrame) -> BabylmPredictions:
    """Returns the chosen sentence of each pair of forms, and the model's share `prob` of the first."""
    rows = zip(sentences, frame["first"], frame["second"], frame["prob"], strict=True)
    listed = [
        {"id": f"{task}_{number}", "pred": pair[0] if first >= second else pair[1], "prob": float(prob)}
        for number, (pair, first, second, prob) in enumerate(rows)
    ]
    return {task: {"predictions": listed}}


def of_reading(words: pd.DataFrame) -> BabylmPredictions:
    """Returns the surprisals of each word and of the one before, in nats; NaN if the file names none."""
    rows = zip(words["pred"], words["prev_pred"], strict=True)
    listed = [{"id": i, "pred": float(pred), "prev_pred": float(before)} for i, (pred, before) in enumerate(rows)]
    return {"reading": {"predictions": listed}}


def of_classes(task: str, answers: Sequence[int]) -> BabylmPredictions:
    """Returns the class number that a tuned model gives each validation example.

    Raises:
        InputError: If the task is none of BabyLM's, or has another number of examples.
    """
    if task not in FINETUNE_SIZES:
        raise InputError(f"BabyLM tunes on {', '.join(FINETUNE_SIZES)}; {task!r} is none of them.")
    if len(answers) != FINETUNE_SIZES[task]:
        raise InputError(
            f"{task} has {len(answers):,} validation examples, and BabyLM's has {FINETUNE_SIZES[task]:,}. "
            "Tune on the files of BabyLM's evaluation data."
        )
    return {task: {"predictions": [{"id": f"{task}_{i}", "pred": int(answer)} for i, answer in enumerate(answers)]}}


def read_answers(path: Path, task: str) -> list[int]:
    """Returns the answers in a `predictions.parquet` of `maskwise finetune`, in the order of the validation file."""
    frame = pd.read_parquet(path, columns=["split", "index", "prediction"])
    split = "validation_matched" if task == "mnli" else "validation"
    rows = frame.loc[frame["split"].to_numpy() == split]
    order = np.argsort(rows["index"].to_numpy(), kind="stable")
    return rows["prediction"].to_numpy()[order].astype(int).tolist()


def require_sizes(one: BabylmSet, sizes: Mapping[str, int]) -> None:
    """Raises InputError that names the first UID with another size than BabyLM's, or that should not be there."""
    for uid, size in sizes.items():
        expected = one.sizes if isinstance(one.sizes, int) else one.sizes.get(uid.lower())
        if expected is None:
            raise InputError(f"{one.name} has {uid!r}, which is not in BabyLM's {one.name}.")
        if size != expected:
            raise InputError(
                f"{one.name}, {uid}: {size:,} items, and BabyLM's has {expected:,}. Take the files of BabyLM's "
                "evaluation data; its collating script refuses others. `maskwise evaluate --pairs` takes any."
            )
    absent = set(one.sizes) - {uid.lower() for uid in sizes} if not isinstance(one.sizes, int) else set()
    if absent:
        raise InputError(f"{one.name} lacks {len(absent)} of BabyLM's UIDs, the first is {sorted(absent)[0]!r}.")


def write_babylm_predictions(path: Path, predictions: BabylmPredictions) -> None:
    """Writes a file of predictions, its folder too; a reader finds the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(predictions, ensure_ascii=False))


def missing_files(results: Path, model: str, *, fast: bool = True) -> list[str]:
    """Returns what the collating script of a strict-small entry asks for and does not find, from `results/<model>`."""
    here = results / model
    wanted = [zero_shot_file(results, model, "main", one) for one in babylm_sets() if one.is_full]
    wanted += [here / "main" / "zero_shot" / "mlm" / AGE_OF_ACQUISITION]
    wanted += [finetune_file(results, model, "main", task) for task in FINETUNE_SIZES]
    for revision in revision_names() if fast else ():
        wanted += [zero_shot_file(results, model, revision, one) for one in babylm_sets() if one.is_fast]
    return [str(path.relative_to(here)) for path in wanted if not path.exists()]
