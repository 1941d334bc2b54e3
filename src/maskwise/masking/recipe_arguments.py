"""From a recipe's `[masking]` table to the arguments of a `Masker`; laboratory and scripts read recipes by it alike.

`maskwise.recipes.masking_keys` describes the keys that belong to the score; all others are arguments of `Masker`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from maskwise.errors import InputError, nearest
from maskwise.masking.named_score import make_score
from maskwise.masking.named_unit import make_unit
from maskwise.masking.rates import read_rate
from maskwise.masking.score import Score
from maskwise.masking.units import MAX_WORD_PIECES
from maskwise.recipes.masking_keys import (
    OF_MODEL_SCORES,
    SWITCHES,
    check_keys_of_score,
    is_model_score,
    short_score,
)

REFRESHED = "maskwise.scores.refreshed:RefreshedScores"
OF_TASK_TYPHOON = ("task_data", "task_learning_rate", "task_batch_size", "refresh_steps", "refresh_batches")


def masker_arguments(masking: Mapping[str, Any], known: Iterable[str], **supplied: Any) -> dict[str, Any]:
    """Returns the keyword arguments of a `Masker`, its `score` among them.

    Args:
        masking: The table; keys whose value is None are left out, but for `max_word_pieces`, where it means no limit.
        known: The names of the arguments of `Masker`.
        supplied: `tokenizer`, `teacher` and `token_counts`, for scores that need them; None if there is none.

    Raises:
        InputError: For unknown keys, keys of another score, and a score that cannot be made.
    """
    given = {key: value for key, value in masking.items() if value is not None}
    names = set(known)
    _check_keys(given, names)
    check_keys_of_score(given)
    arguments = {key: value for key, value in given.items() if key in names} | {"score": read_score(given, **supplied)}
    if masking.get("max_word_pieces", MAX_WORD_PIECES) is None:
        arguments["max_word_pieces"] = None
    if "rate" in given:
        arguments["rate"] = read_rate(given["rate"])
    if "unit" in given or "unit_arguments" in given:
        arguments["unit"] = make_unit(given.get("unit", "token"), given.get("unit_arguments"), **supplied)
    return arguments


def read_score(masking: Mapping[str, Any], **supplied: Any) -> Score:
    """Returns the score that a table describes; the parameters are those of `masker_arguments`."""
    score = short_score(masking.get("score", "uniform"))
    if is_model_score(score):
        return _model_score(score, masking, supplied.get("teacher"))
    if isinstance(score, str) and score == "typhoon":
        return make_score(score, _typhoon_arguments(masking.get("typhoon", {})), **supplied)
    return make_score(score, masking.get("score_arguments"), **supplied)


def _model_score(score: str, masking: Mapping[str, Any], teacher: Any) -> Score:
    source = masking.get("source", "self")
    arguments = {"folds": masking["folds"]} if "folds" in masking else {}
    if source != "self":
        if teacher is None:
            raise InputError(
                f"This recipe scores with a teacher (source = {source!r}). Give teacher=: a model that shares the "
                "tokenizer, or its Stored(folder)."
            )
        arguments["teacher"] = teacher
    arguments |= {key.removeprefix("teacher_"): masking[key] for key in SWITCHES if key in masking}
    live = make_score(score, arguments)
    refreshed = masking.get("refresh_epochs")
    return live if refreshed is None else make_score(REFRESHED, {"score": live, "refresh_epochs": refreshed})


def _typhoon_arguments(table: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in table.items() if value is not None}
    if given.pop("loss", "mlm") != "mlm":
        raise InputError(
            "Typhoon with loss = 'task' needs labelled text. Make the score yourself: "
            "Masker(TaskTyphoon(tokenizer, counts, LabelledRows(rows, pad_token_id)), tokenizer, budget='from-scores')."
        )
    return {key: value for key, value in given.items() if key not in OF_TASK_TYPHOON}


def _check_keys(masking: Mapping[str, Any], known: set[str]) -> None:
    names = sorted({*known, *OF_MODEL_SCORES, "score_arguments", "unit_arguments", "typhoon"} - {"self", "tokenizer"})
    for key in masking:
        if key not in names:
            raise InputError(f"Unknown masking setting {key!r}.{nearest(key, names)} Known: {', '.join(names)}.")
    if masking.get("stored"):
        raise InputError(
            "stored = true is for data folders of the laboratory. In a script leave it out, and give the stored scores "
            "as the teacher: teacher=Stored(folder)."
        )
