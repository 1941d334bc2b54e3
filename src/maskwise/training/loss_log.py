"""The losses a run has not logged yet, kept in its checkpoints: a resumed run logs what an unbroken one does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import Trainer


class LossLog:
    """The sum of the losses since the last log, the step of that log, and the sum of all losses before.

    The Trainer keeps them to itself, and starts them anew when it resumes.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer: Any = trainer
        self._gathered: dict[str, Any] = {}
        self._restored: Mapping[str, Any] | None = None

    def gather(self) -> None:
        """Takes the sums of all processes, on all of them together; call it before `state_dict`."""
        self._gathered = {
            "since_log": self.trainer.accelerator.gather(self.trainer._tr_loss.detach()).reshape(-1).cpu(),
            "logged_step": self.trainer._globalstep_last_logged,
            "total": self.trainer._total_loss_scalar,
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns what was gathered last."""
        return self._gathered

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` returned, for `start`."""
        self._restored = dict(state) or None

    def start(self) -> None:
        """Hands the Trainer what was restored, once; call it when the Trainer has set its own sums to zero."""
        if self._restored is not None:
            trainer, state, self._restored = self.trainer, self._restored, None
            trainer._tr_loss += state["since_log"][trainer.args.process_index].to(trainer._tr_loss.device)
            trainer._globalstep_last_logged = int(state["logged_step"])
            trainer._total_loss_scalar = float(state["total"])
