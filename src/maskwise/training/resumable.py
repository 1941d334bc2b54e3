"""A Trainer whose checkpoints are complete, undamaged and finite, and are resumed by the run that wrote them only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerState

from maskwise.errors import InputError
from maskwise.files.checkpoint_folders import TRAINER_STATE, newest_undamaged, read_marker, whats_wrong
from maskwise.progress import printer
from maskwise.training.checkpoints import Checkpoints, Stateful
from maskwise.training.cpu_allocator import kept_buffers
from maskwise.training.finite import LossWatch, all_finite, bad_weights, trained_tensors
from maskwise.training.loss_log import LossLog
from maskwise.training.run_identity import check_same_run


class ResumableTrainer(Trainer):
    """A `Trainer` that resumes exactly, or says why it cannot.

    - A checkpoint is complete when its marker is written, last, with the checksums of its files. Before that the
      weights and the optimizer's moments are looked at: what is not finite is never kept as the last good state.
    - `train(resume_from_checkpoint=True)` takes the newest checkpoint that is marked and undamaged, a path only such a
      one; states are loaded, losses that were not logged yet included. A run with other data, another model, other
      settings or another number of processes is refused.
    - `save_total_limit` never deletes the best checkpoint under `load_best_model_at_end`, and each best model is saved
      when it is found.

    Call `keep_states` when the Trainer is built; override `run_identity`, and `gather_states` for what processes share.
    """

    model: Any
    advice = "Try a lower learning rate or more warm-up."

    def keep_states(self, states: Mapping[str, Stateful], keep: int | None) -> None:
        """Names what else a checkpoint holds, and how many are kept (None: all)."""
        self.loss_log, self.losses = LossLog(self), LossWatch()
        self.checkpoints = Checkpoints({**states, "loss_log": self.loss_log}, keep)
        self.resumed_from: str | None = None
        self.say: Callable[[str], None] = printer(self.args.should_log)
        self.add_callback(_Watch(self))

    def run_identity(self) -> dict[str, str]:
        """Returns what the losses of the run depend on, by name; see `maskwise.training.run_identity`."""
        return {}

    def gather_states(self) -> None:
        """Called on all processes before a checkpoint's states are written: brings what they share to the first."""

    def train(self, resume_from_checkpoint: str | Path | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Trains as the `Trainer` does; on a CPU the buffers of a step are kept for the next.

        Args:
            resume_from_checkpoint: True for the newest undamaged checkpoint of `output_dir`, or the path of one.
            args: The `Trainer`'s.
            kwargs: The `Trainer`'s.

        Raises:
            InputError: If there is no such checkpoint, it is damaged, or it is of another run.
        """
        self.losses = LossWatch()
        checkpoint = self._to_resume(resume_from_checkpoint)
        if checkpoint is not None:
            self.take_up(checkpoint)
        self.resumed_from = str(checkpoint) if checkpoint else None
        with kept_buffers(self.args.device):
            output = super().train(self.resumed_from, *args, **kwargs)
        return output._replace(training_loss=output.metrics.get("train_loss", output.training_loss))

    def take_up(self, checkpoint: Path) -> None:
        """Loads the states of a checkpoint, though not the weights; raises InputError if it is of another run."""
        marker = read_marker(checkpoint)
        check_same_run(marker.get("run", {}), self.run_identity(), checkpoint)
        if not _has_optimizer(marker):
            raise InputError(
                f"{checkpoint} cannot be resumed from: it holds the model alone (save_only_model), and a new optimizer "
                "would change the losses. Start a new run from its weights."
            )
        self._check_best_of(checkpoint)
        self.checkpoints.restore(checkpoint)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device):
        """Returns the micro-batches of a step; none if the run was resumed at its last step."""
        is_over = 0 < self.state.max_steps <= self.state.global_step
        return ([], None) if is_over else super().get_batch_samples(epoch_iterator, num_batches, device)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Logs figures; the mean training loss is that of all steps, those before a resume too.

        A figure that is not a number, such as the loss of a fifth without tokens, is left out: the logs are JSON.
        """
        if "train_loss" in logs:
            logs["train_loss"] = self._total_loss_scalar / max(self.state.global_step, 1)
        super().log({name: value for name, value in logs.items() if _is_written(value)}, *args, **kwargs)

    def note_loss(self, loss: Tensor) -> None:
        """Notes on the device whether a loss is finite."""
        self.losses.note(loss, self.state.global_step)

    def raise_if_not_finite(self, *, weights: bool = False) -> None:
        """Raises InputError naming the first step whose loss was not finite; costs one look at the device.

        Args:
            weights: Whether the weights and the optimizer's moments are looked at too, in one pass over them, on all
                processes together. A finite loss can have an update that is not.
        """
        step = self.losses.first_bad_step()
        if step is not None:
            raise InputError(f"The loss was not finite at step {step}, and the run was stopped. {self._last_good()}")
        if weights and not self._weights_are_finite():
            raise InputError(
                f"The weights were not finite after step {self.state.global_step}, and the run was stopped before they "
                f"were saved. {self._last_good()}"
            )

    def _weights_are_finite(self) -> bool:
        is_finite = all_finite(trained_tensors(self.model, self.optimizer))
        everywhere: Any = self.accelerator.gather(torch.tensor(int(is_finite), device=self.args.device))
        return bool(everywhere.all())

    def _last_good(self) -> str:
        last = self.checkpoints.newest(self.args.output_dir)
        kept = f"The last good checkpoint is {last}." if last else "No checkpoint had been written."
        return f"{kept} {self.advice}"

    def _to_resume(self, given: str | Path | bool | None) -> Path | None:
        if given is None or given is False:
            return None
        if given is not True:
            if not isinstance(given, str | Path):
                raise InputError(f"resume_from_checkpoint is True or the path of a checkpoint; found {given!r}.")
            checkpoint = Path(given)
            if reason := _why_not(checkpoint):
                raise InputError(f"{checkpoint} cannot be resumed from: {reason}.")
            return checkpoint
        out = Path(str(self.args.output_dir))
        if self.args.should_save:
            newest_undamaged(out, self.say, bad_weights)
        self.accelerator.wait_for_everyone()
        newest = self.checkpoints.newest(out)
        if newest is None:
            raise InputError(f"There is no complete checkpoint in {out} to resume from. Call train() to start the run.")
        return newest

    def _check_best_of(self, checkpoint: Path) -> None:
        """Raises InputError if the best model so far, which `load_best_model_at_end` asks for, is not there whole."""
        if not self.args.load_best_model_at_end:
            return
        step = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE)).best_global_step
        best = checkpoint.parent / f"checkpoint-{step}"
        if step and (reason := _why_not(best)):
            raise InputError(
                f"{checkpoint} cannot be resumed with load_best_model_at_end: the best model so far is {best}, and "
                f"{reason}."
            )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.raise_if_not_finite(weights=True)
        step = self.state.global_step
        folder = Path(self._get_output_dir(trial)) / f"checkpoint-{step}"
        if self.args.should_save:
            self.checkpoints.begin(folder)
        super()._save_checkpoint(model, trial)
        self.gather_states()
        self.loss_log.gather()
        if self.args.load_best_model_at_end and (best := self.state.best_model_checkpoint):
            self.checkpoints.kept_step = int(best.rpartition("-")[2])
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            self.checkpoints.finish(folder, step, self.run_identity())
        self.accelerator.wait_for_everyone()

    def _determine_best_metric(self, *args: Any, **kwargs: Any) -> bool:
        """Asks for a checkpoint of a model that is the best so far, whatever `save_steps`."""
        is_best = super()._determine_best_metric(*args, **kwargs)
        if is_best and self.args.load_best_model_at_end:
            self.control.should_save = True
        return is_best


class _Watch(TrainerCallback):
    """Looks for losses that are not finite when figures are logged, and hands a resumed run what it had not logged."""

    def __init__(self, trainer: ResumableTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        """Takes up the sums of a checkpoint; finds the best checkpoint again in a folder that was moved."""
        self.trainer.loss_log.start()
        best = Path(str(args.output_dir)) / f"checkpoint-{state.best_global_step}"
        if state.best_global_step and best.is_dir():
            state.best_model_checkpoint = str(best)

    def on_step_end(self, args, state, control, **kwargs):
        """Looks at the losses."""
        if control.should_log or control.should_training_stop:
            self.trainer.raise_if_not_finite()

    def on_train_end(self, args, state, control, **kwargs):
        """Looks at the losses and the weights: a run does not end well with a model that is not finite."""
        self.trainer.raise_if_not_finite(weights=True)


def _is_written(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _why_not(checkpoint: Path) -> str | None:
    if not checkpoint.is_dir():
        return "there is no such folder"
    return whats_wrong(checkpoint) or bad_weights(checkpoint)


def _has_optimizer(marker: Mapping[str, Any]) -> bool:
    """Returns whether a checkpoint holds an optimizer's state; every kind of training names its files after it."""
    return any("optim" in name for name in marker.get("files", {}))
