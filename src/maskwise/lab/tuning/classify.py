"""Fine-tuning on the class, or the number, of a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from transformers import AutoModelForSequenceClassification

from maskwise.lab.tasks.classification import Split, TaskData, load_task
from maskwise.lab.tasks.table import Task
from maskwise.lab.tuning.batches import Example
from maskwise.lab.tuning.fit import Fitted, fit, uses_bf16
from maskwise.lab.tuning.holdout import set_aside
from maskwise.lab.tuning.load import Loaded, encode_texts, load_with_head
from maskwise.lab.tuning.majority_baseline import constant_scores
from maskwise.lab.tuning.metrics import score_split, selection_score
from maskwise.lab.tuning.predict import predict
from maskwise.lab.tuning.results import PREDICTIONS, write_predictions, write_result
from maskwise.lab.tuning.settings import TuneSettings
from maskwise.progress import printer


class Classification:
    """The kind of task that gives a text, or a pair of texts, a class or a number: a `TaskKind`."""

    def load(self, task: Task, source: str | Path | None) -> TaskData:
        """Returns the task's data; see `load_task`."""
        return load_task(task, source)

    def baselines(self, task: Task, data: TaskData) -> dict[str, dict[str, float]]:
        """Returns the scores of the constant classifier."""
        return {"constant": constant_scores(task, data)}

    def tune(
        self,
        checkpoint: str,
        task: Task,
        data: TaskData,
        settings: TuneSettings,
        seed: int,
        out: Path,
        *,
        show: bool = True,
    ) -> dict[str, Any]:
        """Tunes a checkpoint on a task with one seed, and returns what `out/result.json` holds.

        The seed draws the new head, the share of the training set that selects, and the order of the examples. Run
        again on an unfinished folder, it resumes from its last checkpoint. Raises InputError for a checkpoint that
        cannot be tuned.
        """
        loaded = load_with_head(
            AutoModelForSequenceClassification, checkpoint, seed=seed, freeze=settings.freeze, **_head(task, data)
        )
        examples = encode_task(loaded, data, settings)
        if loaded.head_note:
            printer(show)(f"{task.name}: {loaded.head_note}")
        if show and examples.num_cut:
            printer(show)(f"{task.name}: {examples.num_cut:,} texts are cut to {examples.max_length} tokens")
        train, select = _selection(examples, settings, seed)
        labels = [example["labels"] for example in select]
        fitted = fit(
            loaded.model, settings, train, select,
            lambda logits: selection_score(task, labels, answers(task, logits).tolist()),
            pad_id=loaded.tokenizer.pad_token_id, seed=seed, out=out, title=f"{task.name}, seed {seed}", show=show,
        )  # fmt: skip
        metrics, one_class = _grade_held_out(fitted, task, data, settings, examples, loaded.tokenizer.pad_token_id, out)
        return write_result(
            out, fitted, loaded.tokenizer, metrics, one_class=one_class, cut=examples.num_cut,
            class_counts=data.class_counts, head="new" if loaded.new else "the checkpoint's",
            trained=loaded.new if settings.freeze else "all",
        )  # fmt: skip


class Encoded(NamedTuple):
    """The encoded training set and held-out splits, and how many texts of both were cut."""

    train: list[Example]
    held_out: Mapping[str, list[Example]]
    max_length: int
    num_cut: int


def encode_task(loaded: Loaded, data: TaskData, settings: TuneSettings) -> Encoded:
    """Returns a task's examples in tokens, cut to `max_length` or to what the model takes."""
    max_length = min(settings.max_length, loaded.window)

    def encode_split(split: Split) -> tuple[list[Example], int]:
        return encode_texts(loaded.tokenizer, split.texts, split.labels, max_length)

    train, num_cut = encode_split(data.train)
    held_out = {name: encode_split(split) for name, split in data.held_out.items()}
    num_cut += sum(cut for _, cut in held_out.values())
    return Encoded(train, {name: examples for name, (examples, _) in held_out.items()}, max_length, num_cut)


def _selection(examples: Encoded, settings: TuneSettings, seed: int) -> tuple[list[Example], list[Example]]:
    """Returns what is trained on and what selects the epoch: a random share of the training set, or the held-out set.

    Raises InputError if the training set is too small to give a share away.
    """
    if settings.select_on == "validation":
        return examples.train, [example for split in examples.held_out.values() for example in split]
    train, select = set_aside(len(examples.train), settings.select_share, seed)
    return [examples.train[i] for i in train], [examples.train[i] for i in select]


def answers(task: Task, logits: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the predicted class of each example, or the predicted number."""
    logits_NC = np.stack(logits)
    return logits_NC[:, 0] if task.kind == "regress" else logits_NC.argmax(-1)


def _grade_held_out(
    fitted: Fitted, task: Task, data: TaskData, settings: TuneSettings, examples: Encoded, pad_id: int, out: Path
) -> tuple[dict[str, float], bool]:
    """Returns the metrics over all held-out splits, and whether one answer was given throughout; keeps predictions."""
    metrics: dict[str, float] = {}
    kept: dict[str, list[Any]] = {key: [] for key in ("split", "index", "label", "prediction", "scores")}
    for name, encoded in examples.held_out.items():
        labels = data.held_out[name].labels
        logits = predict(
            fitted.model, encoded, pad_id=pad_id, most_tokens=settings.micro_batch_tokens, bf16=uses_bf16(settings)
        ).logits
        predictions = answers(task, logits)
        metrics |= score_split(task, name, labels, predictions.tolist())
        rows = ([name] * len(labels), range(len(labels)), labels, predictions.tolist(), logits)
        for column, values in zip(kept.values(), rows, strict=True):
            column += values
    write_predictions(out / PREDICTIONS, kept)
    return metrics, len(set(kept["prediction"])) == 1


def _head(task: Task, data: TaskData) -> dict[str, Any]:
    if task.kind == "regress":
        return {"num_labels": 1, "problem_type": "regression"}
    names = dict(enumerate(data.classes))
    return {
        "num_labels": len(names),
        "problem_type": "single_label_classification",
        "id2label": names,
        "label2id": {name: i for i, name in names.items()},
    }
