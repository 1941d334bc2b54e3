"""The verbs that adapt a checkpoint to tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from maskwise.errors import InputError
from maskwise.files.checkpoint_names import checkpoint_on_purpose
from maskwise.lab.seeds import parse_seeds
from maskwise.progress import hide_library_bars

_TaskNames = Annotated[list[str], Option("--task", metavar="NAME", help="A task of the table; may be given again.")]
_TaskData = Annotated[
    str | None,
    Option(metavar="DIR", help="The task's folder, a folder of task folders, or hub:NAME[:CONFIG]. [default: the hub]"),
]
_TextColumns = Annotated[list[str] | None, Option(help="A text column, twice for pairs: for your own data set.")]
_Assignments = Annotated[
    list[str] | None, Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. tune.learning_rate=1e-4.")
]


def finetune_command(
    checkpoint: Annotated[str, Argument(metavar="CKPT", help="A run folder, a checkpoint, or hub:NAME.")],
    task: _TaskNames,
    out: Annotated[Path, Option(help="Where scores and models go; run again, it resumes.")],
    task_data: _TaskData = None,
    seeds: Annotated[str, Option(help="0-4, or 0,2,5.")] = "0",
    freeze: Annotated[bool, Option("--freeze", help="Train only what is new: classifier and pooler, 1 epoch.")] = False,
    select_on: Annotated[str, Option(help="train-share, or validation as in the paper.")] = "train-share",
    text_column: _TextColumns = None,
    label_column: Annotated[str | None, Option(help="The label column, for your own data set.")] = None,
    set_: _Assignments = None,
    json_: Annotated[bool, Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Fine-tune a checkpoint on tasks and score it, next to what a model that reads nothing would score."""
    from maskwise.lab.config import parse_assignments
    from maskwise.lab.tuning.settings import resolve_tuning

    assigned = parse_assignments(set_ or [])
    tune = assigned.pop("tune", {})
    if assigned or not isinstance(tune, dict):
        raise InputError(f"finetune's settings are under 'tune.'; found {next(iter(assigned or ['tune']))!r}.")
    flags = {"select_on": select_on} | ({"freeze": True} if freeze else {})
    settings, numbers = resolve_tuning(flags, tune), distinct_seeds(seeds)
    hide_library_bars()
    from maskwise.lab.tuning.finetune import finetune

    result = finetune(
        checkpoint_on_purpose(checkpoint), task, out=out, task_data=task_data, seeds=numbers, settings=settings,
        text_columns=text_column or (), label_column=label_column,
    )  # fmt: skip
    print(result.as_json() if json_ else result.table())


def distinct_seeds(text: str) -> list[int]:
    """Returns the seeds that `--seeds` names; raises InputError if it names none, or one twice.

    >>> distinct_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    try:
        seeds = parse_seeds(text)
    except ValueError:
        raise InputError(f"--seeds takes a range such as 0-4, or a list such as 0,2,5; found {text!r}.") from None
    if len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds names a seed twice: {text!r}.")
    return seeds


def drift_command(
    checkpoint: Annotated[str, Argument(metavar="CKPT", help="The checkpoint that was tuned.")],
    tuned: Annotated[list[str], Argument(metavar="TUNED...", help="What tuning made of it.")],
    csv: Annotated[Path | None, Option(metavar="FILE", help="Write the figures as CSV too.")] = None,
    picture: Annotated[Path | None, Option(metavar="FILE", help="Write a heat map too: .svg or .png.")] = None,
    json_: Annotated[bool, Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure how far each part of the network moved in tuning."""
    from maskwise.files.writable import check_writable
    from maskwise.lab.weight_changes.picture import check_picture, draw_drift
    from maskwise.lab.weight_changes.report import drift

    if picture:
        check_picture(picture)
    for file in filter(None, (csv, picture)):
        check_writable(file.parent)
    report = drift(checkpoint_on_purpose(checkpoint), [checkpoint_on_purpose(name) for name in tuned])
    if csv:
        report.write_csv(csv)
    if picture:
        draw_drift(report, picture)
    print(report.as_json() if json_ else report.table())
