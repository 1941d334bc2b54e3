"""The callback through which a run calls the hooks of its scores."""

from __future__ import annotations

from typing import Protocol

from transformers import TrainerCallback

from maskwise.errors import InputError
from maskwise.masking.masker import Masker
from maskwise.masking.score_context import RunPlan, ScoreContext
from maskwise.training.streams import StreamPosition


class HookedTrainer(Protocol):
    """What the hooks need of a trainer."""

    masker: Masker
    stream: StreamPosition | None
    is_fsdp_enabled: bool

    def take_model(self) -> None: ...

    def score_context(self, is_resume: bool = False) -> ScoreContext: ...


class RunHooks(TrainerCallback):
    """Calls the hooks of every score, on every rank.

    Epochs start when a run is resumed, too; a step ends before anything is saved.
    """

    def __init__(self, trainer: HookedTrainer) -> None:
        self.trainer, self.scores = trainer, trainer.masker.scores_inside
        self._is_resume = False

    def on_train_begin(self, args, state, control, **kwargs):
        """Hands over the model as it trains, and checks that the scores can work in a run of this length."""
        if args.fsdp and not self.trainer.is_fsdp_enabled:
            raise InputError(
                "fsdp was asked for, and accelerate trains without sharding here (it takes several processes on GPUs). "
                "Leave out fsdp, or start the run with torchrun on GPUs."
            )
        self.trainer.take_model()
        if self.trainer.stream is not None:
            self.trainer.stream.start()
        self._is_resume = state.global_step > 0
        for score in self.scores:
            score.check_run(RunPlan(state.max_steps, state.num_train_epochs))

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Calls `on_epoch_start`."""
        if self.trainer.stream is not None:
            self.trainer.stream.begin_pass()
        context = self.trainer.score_context(self._is_resume)
        self._is_resume = False
        for score in self.scores:
            score.on_epoch_start(context)

    def on_step_end(self, args, state, control, **kwargs):
        """Calls `on_step_end`."""
        if self.trainer.stream is not None:
            state.epoch = float(self.trainer.stream.number)  # what share of a pass is over, nobody knows
        context = self.trainer.score_context()
        for score in self.scores:
            score.on_step_end(context)
