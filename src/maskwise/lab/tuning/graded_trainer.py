"""The end of an epoch of fine-tuning, the same for every trainer: a grade, and the best weights kept."""

from __future__ import annotations

import time
from typing import Any

from transformers import PrinterCallback

from maskwise.lab.tuning.best_weights import BestWeights
from maskwise.models.weights_sample import weights_sample
from maskwise.training.resumable import ResumableTrainer
from maskwise.training.run_identity import model_identity, options_identity, rows_identity


class GradedTrainer(ResumableTrainer):
    """A Trainer whose `evaluate` ends in `keep_grade`, and which is silent but for its callbacks.

    Call `start_grading` when it is built, `note_loss` after each step, and `raise_if_not_finite` before a grade is
    asked for.
    """

    model: Any
    advice = "Try a smaller --set tune.learning_rate, or --set tune.bf16=false."

    def start_grading(self, best: BestWeights) -> None:
        """Starts the clock, from the time of the last epoch if `best` has a history."""
        self.best = best
        self.keep_states({"best": best}, keep=1)
        self.remove_callback(PrinterCallback)
        self._begun_with = f"{model_identity(self.model)}, {weights_sample(self.model)}"
        self._seconds_before = best.history[-1]["seconds"] if best.history else 0.0
        self._started_at = time.monotonic()

    def run_identity(self) -> dict[str, str]:
        """Returns what the losses depend on: settings, data, and the weights that tuning began with."""
        data = {"training examples": rows_identity(self.train_dataset), "selection": rows_identity(self.eval_dataset)}
        return options_identity(self.args) | data | {"checkpoint": self._begun_with}

    @property
    def seconds(self) -> float:
        """The time spent on the run, before a resume too."""
        return self._seconds_before + time.monotonic() - self._started_at

    def keep_grade(self, score: float, loss: float, seconds: float) -> dict[str, float]:
        """Returns an epoch's score and loss as metrics, told to the callbacks; the best weights are kept."""
        self.best.add(score, loss, seconds=round(seconds, 3))
        metrics = {"eval_score": score, "eval_loss": loss}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
