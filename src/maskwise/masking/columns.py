"""Which columns of the rows a batch has, who gets them, and which names are taken.

A row has `input_ids`, and may have `word_ids`, `example_id`, `attention_mask`. Columns that a score, a unit or a rate
declares are handed to those and never leave the Masker; the model gets others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from maskwise.errors import InputError

NO_ID = -1  # in `word_ids` and other columns of whole numbers: at special tokens and padding
ADDED_KEYS = frozenset({"eligible", "state", "rate", "mask_token_id"})  # by `Masker.prepare`
MASKING_KEYS = frozenset({"input_ids", "attention_mask", "word_ids", "example_id"})
KEEP_COLUMNS = (
    "A plain Trainer removes columns that the model does not take, unless it is told otherwise: "
    "TrainingArguments(..., remove_unused_columns=False)."
)
NOT_FOR_THE_MODEL = ADDED_KEYS | {"word_ids", "example_id", "special_tokens_mask", "offset_mapping"}


def declared_columns(columns: Any, parts: Iterable[Any]) -> tuple[str, ...]:
    """Returns the columns that a `Masker` was given and those that its parts declare, each once.

    Raises InputError for a name that the library uses itself, and for one text in place of several.
    """
    if isinstance(columns, str):
        raise InputError(f"columns are names of columns; found the text {columns!r}. Write columns=({columns!r},).")
    names = [*columns, *(name for part in parts for name in getattr(part, "columns", ()))]
    for name in names:
        if name in ADDED_KEYS or name == "labels":
            raise InputError(
                f"The column {name!r} cannot be declared: a batch has {name!r} from the masking itself. "
                "Rename the column."
            )
    return tuple(dict.fromkeys(name for name in names if name not in MASKING_KEYS))


def checked_model_inputs(inputs: Any, columns: Collection[str]) -> frozenset[str] | None:
    """Returns the names of what the model gets; None stays None.

    Raises InputError for one text in place of several, and for a declared column, which never leaves the masker.
    """
    if inputs is None:
        return None
    if isinstance(inputs, str):
        raise InputError(f"model_inputs are names of columns; found {inputs!r}. Write model_inputs=({inputs!r},).")
    if both := sorted(set(inputs) & (set(columns) | NOT_FOR_THE_MODEL)):
        raise InputError(
            f"The column {both[0]!r} is for the masking, and the model does not get it: leave it out of model_inputs, "
            "or give the score a copy of it under another name."
        )
    return frozenset(inputs)


def check_no_added_keys(names: Iterable[str], where: str) -> None:
    """Raises InputError if `where` has a name that a prepared batch has from the masking."""
    if taken := sorted(ADDED_KEYS.intersection(names)):
        raise InputError(
            f"{where} {taken[0]!r}, which is what the masking itself adds to a batch "
            f"({', '.join(sorted(ADDED_KEYS))}). Rename the column."
        )


def check_has_columns(batch: Mapping[str, Any], columns: Collection[str], who: str) -> None:
    """Raises InputError if a batch lacks a declared column."""
    missing = [name for name in columns if name not in batch]
    if missing:
        raise InputError(missing_column(missing[0], batch, who))


def missing_column(name: str, found: Iterable[str], who: str) -> str:
    """Returns what to say of a column that is not there, with what takes it away most often."""
    return f"{who} needs the column {name!r}; found {', '.join(found)}. {KEEP_COLUMNS}"


def model_inputs(batch: Mapping[str, Any], columns: Collection[str], inputs: Collection[str] | None) -> dict[str, Any]:
    """Returns what of a prepared batch the model gets: `inputs`, or everything that is nobody else's."""
    kept = {key: value for key, value in batch.items() if key not in NOT_FOR_THE_MODEL and key not in columns}
    if inputs is None:
        return kept
    return {key: value for key, value in kept.items() if key in inputs or key in ("input_ids", "attention_mask")}
