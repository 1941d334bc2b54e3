"""What an epoch of fine-tuning costs against the stock way: one process, in turns, medians of ratios.

Stock is what transformers' run_glue example does: every text padded to 128 tokens, the Trainer with its own collator
and evaluation. Ours is `maskwise finetune`'s loop. Both train one epoch and score validation after it, with the same
checkpoint, head, batch size, learning rate, optimizer, and bf16; tokenisation is outside the clock. Round r has seed r
for both, so their scores can be compared.

    python benchmarks/finetune.py CKPT --data glue --tasks cola sst2 --rounds 3
    python benchmarks/finetune.py CKPT --data glue --tasks cola --examples 1024 --rounds 1      # a quick look
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine
from transformers import AutoModelForSequenceClassification, PrinterCallback, Trainer, TrainingArguments

from maskwise.lab.tasks.classification import Split, TaskData, load_task
from maskwise.lab.tasks.table import Task, find_task
from maskwise.lab.tuning.classify import answers
from maskwise.lab.tuning.fit import fit
from maskwise.lab.tuning.load import Loaded, encode_texts, load_with_head
from maskwise.lab.tuning.metrics import selection_score
from maskwise.lab.tuning.settings import TuneSettings
from maskwise.models.hf_logging import only_errors

LENGTH = 128


class Bench:
    """One task's encoded examples, and an epoch over them each way."""

    def __init__(
        self, checkpoint: str, task: Task, data: TaskData, settings: TuneSettings,
        examples: int | None = None, held_out: int | None = None,
    ):  # fmt: skip
        self.checkpoint, self.task, self.settings = checkpoint, task, settings
        self.num_classes = len(data.classes)
        tokenizer = self.load(0).tokenizer
        self.pad_id = tokenizer.pad_token_id
        self.train = _encoded(tokenizer, data.train, examples)
        self.valid = _encoded(tokenizer, data.held_out["validation"], held_out)
        self.labels = data.held_out["validation"].labels[:held_out]
        self.padded = [[self._padded(example) for example in split] for split in (self.train, self.valid)]

    def load(self, seed: int) -> Loaded:
        """Returns the checkpoint under a new head."""
        return load_with_head(
            AutoModelForSequenceClassification, self.checkpoint, seed=seed, freeze=False, num_labels=self.num_classes
        )

    def ours(self, seed: int) -> tuple[float, float]:
        """Returns the seconds of an epoch with its evaluation, and the score after it."""
        model = self.load(seed).model
        with tempfile.TemporaryDirectory() as folder:
            started_at = time.perf_counter()
            fitted = fit(
                model, self.settings, self.train, self.valid, self._score,
                pad_id=self.pad_id, seed=seed, out=Path(folder), show=False,
            )  # fmt: skip
            return time.perf_counter() - started_at, fitted.history[-1]["score"]

    def stock(self, seed: int) -> tuple[float, float]:
        """Returns the same of the Trainer as run_glue sets it up."""
        model, (train, valid) = self.load(seed).model, self.padded
        model.set_attn_implementation("sdpa")  # what from_pretrained chooses
        with tempfile.TemporaryDirectory() as folder:
            args = TrainingArguments(
                folder, seed=seed, num_train_epochs=1, per_device_train_batch_size=self.settings.batch_size,
                per_device_eval_batch_size=self.settings.batch_size, learning_rate=self.settings.learning_rate,
                warmup_steps=self.settings.warmup_share, weight_decay=self.settings.weight_decay,
                optim="adamw_torch_fused", bf16=bool(self.settings.bf16), bf16_full_eval=False,
                use_cpu=not torch.cuda.is_available(), eval_strategy="epoch", save_strategy="no",
                logging_strategy="no", report_to=[], disable_tqdm=True,
            )  # fmt: skip
            trainer = Trainer(
                model, args, train_dataset=train, eval_dataset=valid,
                compute_metrics=lambda found: {"score": self._score(list(found.predictions))},
            )  # fmt: skip
            trainer.remove_callback(PrinterCallback)
            started_at = time.perf_counter()
            trainer.train()
            seconds = time.perf_counter() - started_at
            return seconds, trainer.state.log_history[-2]["eval_score"]

    def _score(self, logits: list[np.ndarray]) -> float:
        return selection_score(self.task, self.labels, answers(self.task, logits).tolist())

    def _padded(self, example: Any) -> dict[str, Any]:
        rows = {key: value for key, value in example.items() if key != "labels"}
        fill = {"input_ids": self.pad_id}
        padded = {key: value + [fill.get(key, 0)] * (LENGTH - len(value)) for key, value in rows.items()}
        return padded | {"labels": example["labels"]}


def _encoded(tokenizer: Any, split: Split, number: int | None) -> list[Any]:
    return encode_texts(tokenizer, [texts[:number] for texts in split.texts], split.labels[:number], LENGTH)[0]


def compare(bench: Bench, rounds: int) -> None:
    """Prints seconds, their ratio, and the scores of both ways."""
    with only_errors():
        bench.ours(0)  # warm
        found = [(bench.ours(seed), bench.stock(seed)) for seed in range(rounds)]
    ratio = statistics.median(stock[0] / ours[0] for ours, stock in found)
    tokens = sum(len(example["input_ids"]) for example in bench.train) / len(bench.train)
    print(
        f"\n{bench.task.name}: {len(bench.train):,} examples of {tokens:.1f} tokens, batch {bench.settings.batch_size}"
    )
    print(f"{'':6} {'median s':>9} {'score x 100, one a seed'}")
    for number, name in enumerate(("ours", "stock")):
        seconds = statistics.median(pair[number][0] for pair in found)
        scores = [100 * pair[number][1] for pair in found]
        print(f"{name:6} {seconds:9.2f} {' '.join(f'{score:.2f}' for score in scores)}")
    print(f"stock / ours: {ratio:.2f} (median over {rounds} rounds)")


def main() -> None:
    """Reads the options and prints one table a task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a masked language model with its tokenizer")
    parser.add_argument("--data", required=True, help="a folder of GLUE task folders")
    parser.add_argument("--tasks", nargs="+", default=["cola", "sst2"])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--examples", type=int, help="only so many of the training set")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{machine()}, {options.threads} threads, bf16, {options.checkpoint}")
    settings = TuneSettings(
        batch_size=options.batch, learning_rate=options.learning_rate, max_epochs=1, bf16=True, checkpoint_seconds=1e9
    )
    for name in options.tasks:
        task = find_task(name)
        compare(
            Bench(options.checkpoint, task, load_task(task, options.data), settings, options.examples), options.rounds
        )


if __name__ == "__main__":
    main()
