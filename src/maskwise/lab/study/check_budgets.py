"""What is refused of the budgets that a study's arms take from one another."""

from __future__ import annotations

from collections.abc import Mapping

from maskwise.errors import InputError, nearest
from maskwise.lab.config import PretrainSettings


def check_named(equal_to: Mapping[str, str | None], of_all: str | None) -> None:
    """Raises InputError if an arm's `equal_to`, or the study's, names no arm; every arm is a key of `equal_to`."""
    for owner, name in [("", of_all), *((f"The arm {arm!r}: ", name) for arm, name in equal_to.items())]:
        if name is not None and name not in equal_to:
            raise InputError(f"{owner}equal_to is {name!r}, which is not an arm.{nearest(name, equal_to)}")


def check_taken(equal_to: Mapping[str, str | None], taken: Mapping[str, str | None]) -> None:
    """Raises InputError if `equal_to` has no effect, and for a ring of arms; `taken` is whose budget each gets."""
    for arm, name in equal_to.items():
        if name is not None and taken[arm] is None:
            raise InputError(
                f"The arm {arm!r} has equal_to = {name!r}, and nothing is equal: name another arm, and set equal to "
                "'compute' or 'seconds'."
            )
        seen, other = [arm], taken[arm]
        while other is not None:
            if other in seen:
                raise InputError(
                    f"The arms {' -> '.join([*seen, other])} take their budgets from one another. One of them needs "
                    "equal = 'steps'."
                )
            seen.append(other)
            other = taken[other]


def check_timed(arm: str, settings: PretrainSettings) -> None:
    """Raises InputError for an arm whose steps are to be timed and do not hold all that it does."""
    masking = settings.masking
    by_task = masking.typhoon is not None and masking.typhoon.loss == "task"
    if by_task or masking.refresh_epochs is not None:
        raise InputError(
            f"The arm {arm!r} scores between its steps (masking.refresh_epochs, or typhoon by a task's loss), and "
            "equal = 'seconds' times a few steps. Use equal = 'compute'."
        )
