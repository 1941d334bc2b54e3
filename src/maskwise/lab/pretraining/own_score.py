"""Your own score: a function, or its name as `package.module:function`."""

from __future__ import annotations

from types import FunctionType
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from maskwise.errors import InputError
from maskwise.recipes.masking_keys import score_text


def check_importable(arm: str, score: Any) -> None:
    """Raises InputError if another process could not import an arm's score."""
    name = score_text(score)
    module, _, path = name.partition(":")
    is_named = isinstance(score, str | FunctionType) and "<" not in path
    if module == "__main__" or not is_named:
        what = "has no name of its own" if not is_named else "is of the program that runs"
        raise InputError(
            f"The score of the arm {arm!r}, {name}, {what}, so no other process can import it. Put it into a module, "
            "such as mine.py, and import it from there; or run the jobs in this process: "
            "run_study(..., executor=InProcessExecutor())."
        )


def _checked(score: Any) -> Any:
    if score is None or callable(score):
        return score
    if isinstance(score, str) and score.rpartition(":")[0] and score.rpartition(":")[2]:
        return score
    raise ValueError("a score is a function, or its name as package.module:function or path/to/file.py:function")


OwnScore = Annotated[
    Any,
    BeforeValidator(_checked),
    PlainSerializer(lambda score: None if score is None else score_text(score), return_type=str | None),
]
