"""What one tuned seed leaves in its folder: the model, its predictions, and `result.json` last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.files.checksums import record_files
from maskwise.files.json_text import read_json_object
from maskwise.files.marked_folders import damage_by_marker
from maskwise.lab.records.record import RECORD
from maskwise.lab.records.strict_json import to_json
from maskwise.lab.tuning.fit import Fitted, delete_checkpoints
from maskwise.models.hf_logging import only_errors

RESULT, PREDICTIONS = "result.json", "predictions.parquet"
WEIGHTS = ("model.safetensors",)  # what a study deletes of a tuned model


def write_result(
    out: Path, fitted: Fitted, tokenizer: Any, metrics: Mapping[str, float], *, one_class: bool, **more: Any
) -> dict[str, Any]:
    """Saves the model with its tokenizer, deletes the checkpoints, writes `result.json`, and returns what it says."""
    with only_errors():
        fitted.model.save_pretrained(out)
        tokenizer.save_pretrained(out)
    delete_checkpoints(out)
    result = {
        "metrics": dict(metrics),
        "one_class": one_class,
        "epoch": fitted.epoch,
        "epochs": len(fitted.history),
        "seconds": fitted.seconds,
        "tokens": fitted.tokens,
        "flops": fitted.flops,
        "steps": fitted.steps,
        **more,
        "history": fitted.history,
        "files": record_files(out, [path.name for path in out.iterdir() if path.is_file() and path.name != RECORD]),
    }
    atomic_write(out / RESULT, to_json(result))
    return result


def read_result(out: Path) -> dict[str, Any] | None:
    """Returns the result of a finished seed, or None.

    Raises:
        InputError: If its `result.json` is damaged: not JSON, or without metrics that are numbers. If a file is not
            as it was written; the weights may have been deleted.
    """
    if not (out / RESULT).exists():
        return None
    advice = f"Delete {out} to tune this seed again."
    result = read_json_object(out / RESULT, advice=advice)
    metrics = result.get("metrics")
    is_whole = isinstance(metrics, dict) and metrics and all(type(value) in (int, float) for value in metrics.values())
    if not is_whole:
        raise InputError(f"{out / RESULT} has no metrics that are numbers; found {metrics!r:.80}. {advice}")
    if found := damage_by_marker(out / RESULT, read_all=False, may_lack=WEIGHTS):
        raise InputError(f"The tuned model in {out} is damaged: {found[0]}. {advice}")
    return result


def write_predictions(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Writes one row an example; `scores` are lists of the class scores."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: _plain(values) for name, values in columns.items()}), path)


def _plain(values: Sequence[Any]) -> list[Any]:
    return [value.tolist() if isinstance(value, np.ndarray | np.generic) else value for value in values]
