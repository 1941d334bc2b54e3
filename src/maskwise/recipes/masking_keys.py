"""The keys of a recipe's `[masking]` table that belong to its score, and what changing one of them means for others.

source              whose entropy or surprisal: "self" is the model in training, "teacher" is the teacher, and
                    "teacher-then-self" the one after the other, with one of teacher_epochs, teacher_steps and
                    teacher_share, which tell how long the teacher scores
folds               entropy and surprisal of tokens that are masked, in so many passes
refresh_epochs      entropy and surprisal of the model as it was up to so many epochs ago
stored              the laboratory reads the teacher's scores from a data folder
typhoon             Typhoon's arguments, as a table
score_arguments     the arguments of any other score, as a table
unit                token, word, span, a table of the fields of `Spans`, or package.module:function
unit_arguments      the arguments of a unit of your own, as a table
rate                a share, "one" (one unit of each sequence), or a table of a schedule: see `maskwise.masking.rates`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskwise.errors import InputError
from maskwise.recipes import SCORES, Tree

UNITS = ("token", "word", "span")
RATE_KINDS = ("schedule", "steps", "points")  # of a table of a rate
MODEL_SCORES = ("entropy", "surprisal")
SWITCHES = ("teacher_epochs", "teacher_steps", "teacher_share")
OF_MODEL_SCORES = ("source", *SWITCHES, "folds", "refresh_epochs", "stored")


def short_score(score: Any) -> Any:
    """Returns the short name of a score that is named as text in full; anything else as it is.

    >>> short_score("maskwise.scores.model:Entropy"), short_score("mine:rare")
    ('entropy', 'mine:rare')
    """
    return next((name for name, text in SCORES.items() if text == score), score)


def score_text(score: Any) -> str:
    """Returns the text that names a score: `package.module:name`.

    >>> score_text(short_score)
    'maskwise.recipes.masking_keys:short_score'
    """
    if isinstance(score, str):
        return score
    named = getattr(score, "func", score)  # of functools.partial
    named = named if hasattr(named, "__qualname__") else type(named)
    return f"{named.__module__}:{named.__qualname__}"


def change_masking(masking: Mapping[str, Any], changes: Mapping[str, Any]) -> Tree:
    """Returns a `[masking]` table with changes laid over it, without the keys that a change replaces.

    Another score than entropy and surprisal takes away their keys, another score at all its arguments, another unit
    those of the unit; another source, or another way to tell how long the teacher scores, the one that was told before.
    Tables are merged, but a rate of another kind (schedule, steps, points) replaces the one before.

    >>> change_masking({"score": "entropy", "source": "teacher", "rate": 0.3}, {"score": "mine:rare"})
    {'score': 'mine:rare', 'rate': 0.3}
    >>> change_masking({"source": "teacher-then-self", "teacher_share": 0.04}, {"teacher_steps": 100})
    {'source': 'teacher-then-self', 'teacher_steps': 100}
    """
    replaced: set[str] = set()
    if "score" in changes and short_score(changes["score"]) != short_score(masking.get("score")):
        replaced |= {"score_arguments"}
        replaced |= set() if is_model_score(changes["score"]) else set(OF_MODEL_SCORES)
    if "unit" in changes and changes["unit"] != masking.get("unit"):
        replaced |= {"unit_arguments"}
    if changes.get("source", "teacher-then-self") != "teacher-then-self" or changes.keys() & set(SWITCHES):
        replaced |= set(SWITCHES)
    changed = {key: value for key, value in masking.items() if key not in replaced}
    for key, value in changes.items():
        old = changed.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and not _is_other_rate(key, old, value):
            value = {**old, **value}
        changed[key] = value
    return changed


def _is_other_rate(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a table of a rate says another kind of schedule than the one before."""
    kinds = [set(table) & set(RATE_KINDS) for table in (old, new)]
    return key == "rate" and bool(kinds[1]) and kinds[0] != kinds[1]


def is_model_score(score: Any) -> bool:
    """Returns True for entropy and surprisal, by their short names or in full."""
    return isinstance(score, str) and short_score(score) in MODEL_SCORES


def check_keys_of_score(masking: Mapping[str, Any]) -> None:
    """Raises InputError for settings of another score than the table's, which would be ignored."""
    score, off = short_score(masking.get("score", "uniform")), {"source": "self", "stored": False}
    given = {key: value for key, value in masking.items() if value is not None and value != off.get(key)}
    by_model, is_typhoon = is_model_score(score), isinstance(score, str) and score == "typhoon"
    for key in OF_MODEL_SCORES:
        if key in given and not by_model:
            raise InputError(
                f"The setting {key} = {given[key]!r} is for entropy and surprisal; the score is {score_text(score)}."
            )
    told = [key for key in SWITCHES if key in given]
    if (given.get("source") == "teacher-then-self") != (len(told) == 1) or len(told) > 1:
        raise InputError(
            f"source = 'teacher-then-self' goes with one of {', '.join(SWITCHES)}; found source = "
            f"{masking.get('source', 'self')!r} and {', '.join(told) or 'none of them'}."
        )
    if "typhoon" in given and not is_typhoon:
        raise InputError(f"[masking.typhoon] belongs to score = 'typhoon'; the score is {score_text(score)}.")
    if given.get("score_arguments") and (by_model or is_typhoon):
        own = "[masking.typhoon]" if is_typhoon else ", ".join(OF_MODEL_SCORES)
        raise InputError(f"score_arguments is for other scores; {score} is set by {own}.")
