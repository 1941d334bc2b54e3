"""What each process of a run of several does: `python processes_part.py MODEL OUT`; started by torchrun.

An unbroken run, the same run killed and resumed, and one that is resumed with another batch; what they came to is
printed by the first process.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainingArguments

from maskwise.errors import InputError
from maskwise.masking.linear_loss import linear_mlm_loss
from maskwise.masking.masker import Masker
from maskwise.masking.score import StatefulScore
from maskwise.masking.vocabulary import load_tokenizer
from maskwise.training import trainer as trainer_module
from maskwise.training.trainer import MaskingTrainer


class Seen(StatefulScore):
    """A score by how often each token was seen by all processes; each adds to its own sum."""

    def __init__(self, num_ids: int) -> None:
        self.add_state("seen_V", torch.zeros(num_ids), sum_over_ranks=True)

    def __call__(self, batch: Any) -> torch.Tensor:
        self.seen_V += torch.bincount(batch["input_ids"].flatten(), minlength=len(self.seen_V))
        return (batch["input_ids"] * 37 % 101).float()


class Kill(TrainerCallback):
    """Ends a run after the checkpoint of a step."""

    def on_save(self, args, state, control, **kwargs):
        """Ends it at step 4."""
        if state.global_step == 4:
            raise KeyboardInterrupt


def make(model: str, out: Path, *callbacks: TrainerCallback, batch: int) -> MaskingTrainer:
    """Makes a trainer of 8 steps over 32 rows."""
    tokenizer = load_tokenizer(model)
    rows = [{"input_ids": [2, *range(20 + i % 7, 30 + i), 3]} for i in range(32)]
    args = TrainingArguments(
        str(out), max_steps=8, per_device_train_batch_size=batch, use_cpu=True, report_to=[], disable_tqdm=True,
        save_steps=2, logging_steps=3, learning_rate=1e-3,
    )  # fmt: skip
    masker = Masker(Seen(len(tokenizer)), tokenizer, pick="high")
    return MaskingTrainer(model, args, masker=masker, train_dataset=rows, eval_dataset=rows, callbacks=[*callbacks])


def ended(trainer: MaskingTrainer) -> dict[str, Any]:
    """Returns what a run came to, its score's sum over the processes included."""
    trainer.gather_states()
    losses = [record["loss"] for record in trainer.state.log_history if "loss" in record]
    weights = sum(float(x.double().abs().sum()) for x in trainer.model.state_dict().values())
    seen = float(trainer.masker.score.seen_V.sum())
    return {"losses": losses, "weights": weights, "seen": seen, "loss": trainer.evaluate()["eval_loss"]}


def main(model: str, out: Path) -> dict[str, Any]:
    """Returns what the runs came to."""
    trainer_module.linear_mlm_loss = partial(linear_mlm_loss, compiled=False)
    batch = 8 // int(os.environ.get("WORLD_SIZE", "1"))
    unbroken = make(model, out / "unbroken", batch=batch)
    unbroken.train()
    found = {"processes": unbroken.args.world_size, "unbroken": ended(unbroken)}
    try:
        make(model, out / "killed", Kill(), batch=batch).train()
    except KeyboardInterrupt:
        resumed = make(model, out / "killed", batch=batch)
        resumed.train(resume_from_checkpoint=True)
        found["resumed"] = ended(resumed)
    try:
        make(model, out / "killed", batch=2 * batch).train(resume_from_checkpoint=True)
    except InputError as error:
        found["other batch"] = str(error)
    return found


if __name__ == "__main__":
    result = main(sys.argv[1], Path(sys.argv[2]))
    if os.environ.get("RANK", "0") == "0":
        print("FOUND", json.dumps(result))
