"""The record of stored scores: whose they are, of which tokens, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskwise.lab.pretraining.run_size import corpus_figures
from maskwise.lab.records.environment import environment
from maskwise.lab.records.record import RunRecord, hash_of, metrics_of, write_record
from maskwise.lab.records.recorder import Recorder
from maskwise.lab.tokens.blocks import DataFolder
from maskwise.lab.tokens.content import data_hash
from maskwise.lab.tokens.tokenizer import tokenizer_hash
from maskwise.models.flops import forward_flops
from maskwise.scores.stored import VALUES


def write_scores_record(folder: Path, manifest: Mapping[str, Any], data: DataFolder, recorder: Recorder) -> None:
    """Writes the record of finished scores into their folder; the metric is their mean over all tokens, in nats."""
    values_X = np.memmap(folder / VALUES, np.float32, "r")
    content = {
        "teacher": manifest["teacher_sha256"],
        "data": data_hash(data),
        "tokenizer": tokenizer_hash(data.tokenizer),
    }
    record = RunRecord(
        kind="annotate",
        finished=True,
        key=recorder.key,
        tokens=len(values_X),
        flops=_scoring_flops(manifest["teacher"], data, len(values_X)),
        metrics=metrics_of({manifest["statistic"]: float(values_X.mean(dtype=np.float64))}),
        settings={
            "statistic": manifest["statistic"],
            "teacher": manifest["teacher"],
            "data": str(data.path),
            "scores": str(folder),
        },
        settings_hash=hash_of([manifest["statistic"], content]),
        content=content,
        environment=environment("fp32"),
    )
    write_record(folder, record.costing(recorder.cost()))


def _scoring_flops(teacher: str, data: DataFolder, num_tokens: int) -> float | None:
    """Returns the counted operations of one pass; None if this architecture's cannot be counted."""
    size = corpus_figures(data)
    try:
        model = forward_flops(teacher, max(2, round(size.mean_length)), size.vocabulary)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError):
        return None
    return (model.body + model.head) * num_tokens
