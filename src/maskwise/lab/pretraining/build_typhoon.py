"""From settings to the Typhoon they describe, with its task where it has one."""

from __future__ import annotations

from maskwise.errors import InputError
from maskwise.lab.masking_settings import TyphoonSettings
from maskwise.lab.tokens.blocks import TOKENIZER, DataFolder, open_data
from maskwise.masking.score import Score
from maskwise.masking.vocabulary import padding_id
from maskwise.scores.task_labels import LabelledRows
from maskwise.scores.task_typhoon import TaskTyphoon
from maskwise.scores.typhoon import Typhoon


def build_typhoon(settings: TyphoonSettings, data: DataFolder) -> Score:
    """Returns the Typhoon that settings describe, by how often types occur in a data folder.

    Raises InputError if the task's folder has another tokenizer, or rows without a label.
    """
    of_task = {"task_data", "task_learning_rate", "task_batch_size", "refresh_steps", "refresh_batches"}
    table = settings.model_dump(exclude={"loss", *of_task})
    if settings.loss == "mlm":
        return Typhoon(data.tokenizer, data.token_counts, **table)
    labelled = open_data(settings.task_data) if settings.task_data else data
    if labelled.manifest["tokenizer_sha256"] != data.manifest["tokenizer_sha256"]:
        raise InputError(
            f"{labelled.path} and {data.path} were prepared with different tokenizers. Prepare the task's text again: "
            f"maskwise prepare SOURCE... --tokenizer {data.path / TOKENIZER} --out DIR"
        )
    rows = labelled.rows("train")
    if "label" not in rows.column_names:
        raise InputError(
            f"The rows of {labelled.path} have no label; found {', '.join(rows.column_names)}.\nPrepare labelled text "
            "with --mode document --label-column NAME, and name the folder by masking.typhoon.task_data."
        )
    task = LabelledRows(
        rows, padding_id(data.tokenizer),
        batch_size=settings.task_batch_size, learning_rate=settings.task_learning_rate,
    )  # fmt: skip
    looks = {"refresh_steps": settings.refresh_steps, "refresh_batches": settings.refresh_batches}
    return TaskTyphoon(data.tokenizer, data.token_counts, task, **looks, **table)
