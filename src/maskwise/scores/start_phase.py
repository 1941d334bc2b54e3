"""The start of a run in which something else scores: a teacher, or nobody, so that all tokens weigh the same."""

from __future__ import annotations

from typing import NamedTuple

from maskwise.errors import InputError
from maskwise.masking.score_context import RunPlan, TrainState


class StartPhase(NamedTuple):
    """How long it lasts: so many epochs, optimizer steps, or this share of the run; at most one of them is given.

    >>> StartPhase(share=0.3).covers(TrainState(epoch=0, step=20, progress=0.2))
    True
    """

    epochs: int | None = None
    steps: int | None = None
    share: float | None = None

    @property
    def given(self) -> dict[str, float]:
        """What was given, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    def covers(self, state: TrainState) -> bool:
        """Returns whether a point of the run is in the phase; none is if nothing was given."""
        where = {"epochs": state.epoch, "steps": state.step, "share": state.progress}
        return any(where[name] < length for name, length in self.given.items())

    def outlasts(self, plan: RunPlan) -> bool:
        """Returns whether a run would end inside the phase."""
        lengths = {"epochs": plan.epochs, "steps": plan.steps, "share": 1}
        return any(length >= lengths[name] for name, length in self.given.items())


def uniform_phase(epochs: int | None, steps: int | None, share: float | None) -> StartPhase:
    """Returns the phase in which all tokens weigh the same; raises InputError if it is given twice or out of range."""
    phase = StartPhase(epochs, steps, share)
    if len(phase.given) > 1:
        raise InputError(f"Give the uniform phase once: epochs, steps or share of the run; found {phase.given}.")
    for name, value in phase.given.items():
        if value < 0 or (name == "share" and value >= 1):
            raise InputError(f"A uniform phase lasts 0 or more, a share below 1; found {name} = {value!r}.")
    return phase


def check_uniform_phase(phase: StartPhase, plan: RunPlan, name: str) -> None:
    """Raises InputError if the run would end before the score `name` has a say."""
    if phase.outlasts(plan):
        raise InputError(
            f"The run of {plan.steps:,} steps ({plan.epochs:g} epochs) would end before {name}'s uniform phase "
            "does. Train longer, or shorten the phase."
        )
