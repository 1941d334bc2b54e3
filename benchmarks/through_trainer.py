"""What some steps of the whole MaskingTrainer take against the stock Trainer with its collator: by turns, both in bf16.

On a GPU both are compiled. Each turn compiles its model anew, so its first steps there do not count.
`python benchmarks/step.py --through-trainer` runs it.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from typing import Any

from common import alternate, bert_tokenizer, compiled_afresh, random_text, wait_for
from transformers import (
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform
from maskwise.models.device import on_one_device
from maskwise.models.presets import preset_config
from maskwise.training.cpu_dropout import use_bit_dropout
from maskwise.training.trainer import MaskingTrainer

OURS, STOCK = "ours", "stock bf16"
STEPS = 30
COMPILING_STEPS = {"cpu": 0, "cuda": 5}
VOCABULARY = 30_522


class Clock(TrainerCallback):
    """The seconds since its start, or since the Trainer took the steps in which its model is compiled."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.start()

    def start(self) -> None:
        """Starts anew."""
        wait_for(self.device)
        self.started_at = time.perf_counter()

    def seconds(self) -> float:
        """Returns the time until the device has done all it was given."""
        wait_for(self.device)
        return time.perf_counter() - self.started_at

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == COMPILING_STEPS[self.device]:
            self.start()


def measure(model: str, batch: int, length: int, turns: int, device: str) -> dict[str, list[float]]:
    """Returns the seconds of `STEPS` steps by turn, ours and stock."""
    tokenizer = bert_tokenizer(VOCABULARY)
    num_steps = STEPS + COMPILING_STEPS[device]
    rows = [{"input_ids": row.tolist()} for row in random_text(tokenizer, batch * (num_steps + 2), length)]
    print(f"whole Trainer, {model} {batch} x {length}, {STEPS} steps")

    def run(way: str, num_steps: int) -> float:
        with tempfile.TemporaryDirectory() as folder, compiled_afresh(device == "cuda"):
            net = BertForMaskedLM(preset_config(model, len(tokenizer)))
            trainer = _trainer(way, net, _arguments(folder, num_steps, batch, device), tokenizer, rows)
            trainer.add_callback(clock := Clock(device))
            trainer.train()
            return clock.seconds()

    for way in (OURS, STOCK):
        run(way, 1)
    return alternate({way: partial(run, way, num_steps) for way in (OURS, STOCK)}, turns)


def _arguments(folder: str, num_steps: int, batch: int, device: str) -> TrainingArguments:
    return on_one_device(
        TrainingArguments(
            folder, max_steps=num_steps, per_device_train_batch_size=batch, bf16=True, use_cpu=device == "cpu",
            torch_compile=device == "cuda", report_to=[], disable_tqdm=True, save_strategy="no",
            logging_strategy="no", optim="adamw_torch_fused",
        )
    )  # fmt: skip


def _trainer(way: str, net: BertForMaskedLM, args: TrainingArguments, tokenizer: Any, rows: Any) -> Trainer:
    if way == STOCK:
        return Trainer(net, args, DataCollatorForLanguageModeling(tokenizer), train_dataset=rows)
    if args.device.type == "cpu":
        use_bit_dropout(net)
    return MaskingTrainer(net, args, masker=Masker(uniform, tokenizer), train_dataset=rows)
