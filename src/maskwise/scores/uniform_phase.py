"""The start of a run in which every token is worth the same, before a learned score has learned anything."""

from __future__ import annotations

from typing import NamedTuple

from maskwise.errors import InputError
from maskwise.masking.score_context import RunPlan, TrainState


class UniformPhase(NamedTuple):
    """How long it lasts: so many epochs, optimizer steps, or this share of the run; at most one of them is given.

    >>> UniformPhase(share=0.3).covers(TrainState(epoch=0, step=20, progress=0.2))
    True
    """

    epochs: int | None = None
    steps: int | None = None
    share: float | None = None

    def check(self) -> UniformPhase:
        """Returns itself; raises InputError if it is given twice, or is out of range."""
        given = {name: value for name, value in self._asdict().items() if value is not None}
        if len(given) > 1:
            raise InputError(f"Give the uniform phase once: epochs, steps or share of the run; found {given}.")
        for name, value in given.items():
            if value < 0 or (name == "share" and value >= 1):
                raise InputError(f"A uniform phase lasts 0 or more, a share below 1; found {name} = {value!r}.")
        return self

    def covers(self, state: TrainState) -> bool:
        """Returns whether a point of the run is in the phase."""
        if self.epochs is not None:
            return state.epoch < self.epochs
        if self.steps is not None:
            return state.step < self.steps
        return self.share is not None and state.progress < self.share

    def check_run(self, plan: RunPlan, name: str) -> None:
        """Raises InputError if the run would end inside the phase."""
        if (self.epochs or 0) >= plan.epochs or (self.steps or 0) >= plan.steps:
            raise InputError(
                f"The run of {plan.steps:,} steps ({plan.epochs:g} epochs) would end before {name}'s uniform phase "
                "does. Train longer, or shorten the phase."
            )
