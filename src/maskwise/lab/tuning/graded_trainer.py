"""The end of an epoch of fine-tuning, the same for every trainer: a grade, and the best weights kept."""

from __future__ import annotations

import time

import torch
from transformers import PrinterCallback, Trainer

from maskwise.errors import InputError
from maskwise.lab.tuning.best_weights import BestWeights


class GradedTrainer(Trainer):
    """A Trainer whose `evaluate` ends in `keep_grade`, and which is silent but for its callbacks.

    Call `start_grading` when it is built, `note_loss` after each step, and `raise_if_not_finite` before a grade is
    asked for.
    """

    def start_grading(self, best: BestWeights) -> None:
        """Starts the clock, where `best` has a history from the time of its last epoch."""
        self.best = best
        self.remove_callback(PrinterCallback)
        self._all_finite = torch.ones((), dtype=torch.bool, device=self.args.device)
        self._seconds_before = best.history[-1]["seconds"] if best.history else 0.0
        self._started_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """The time spent on the run, before a resume too."""
        return self._seconds_before + time.monotonic() - self._started_at

    def note_loss(self, loss: torch.Tensor) -> None:
        """Notes on the device whether a loss is finite: a look at each would stall a GPU."""
        self._all_finite &= loss.detach().isfinite()

    def raise_if_not_finite(self) -> None:
        """Raises InputError where a loss has not been finite since the start."""
        if not self._all_finite:
            raise InputError(
                f"The loss is not finite at step {self.state.global_step}. Try a smaller --set tune.learning_rate, "
                "or --set tune.bf16=false."
            )

    def keep_grade(self, score: float, loss: float, seconds: float) -> dict[str, float]:
        """Returns an epoch's score and loss as metrics, told to the callbacks; the best weights are kept."""
        self.best.add(score, loss, seconds=round(seconds, 3))
        metrics = {"eval_score": score, "eval_loss": loss}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
