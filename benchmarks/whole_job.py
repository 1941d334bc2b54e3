"""One whole job: prepare text, train self-masked steps, evaluate, fine-tune on CoLA; and the same job stock.

Stock is what transformers' examples do: run_mlm's blocks, random masks and dense head, its evaluation, and run_glue's
texts padded to 128. Ours also scores every token before it masks. Both tune one epoch, with evaluation.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import finetune
import prepare
from common import Work
from floors import Cost, step_cost
from held_out import stock_trainer
from material import Material
from memory import Peak
from transformers import BertForMaskedLM

from maskwise.lab.config import resolve
from maskwise.lab.pretraining.pretrain import pretrain
from maskwise.lab.tasks.table import find_task
from maskwise.lab.tokens.tokenizer import open_tokenizer
from maskwise.lab.tuning.settings import TuneSettings
from maskwise.models.presets import preset_config
from maskwise.recipes import load_recipe

RECIPE = "entropy-self-cold"
VALID_SHARE = 0.05


class Job(NamedTuple):
    """How large the job is; `examples` is how many of the task's training set are tuned on (None: all)."""

    material: Material
    model: str
    precision: str
    device: str
    batch: int
    steps: int
    held_out_blocks: int
    examples: int | None
    processes: int


def measured(work: Callable[[Job, Path], None], job: Job, peaks: list[int | None]) -> Work:
    """Returns work that does the job in an empty folder, and notes its memory at the height."""

    def turn() -> float:
        with tempfile.TemporaryDirectory(prefix="bench-job-") as folder, Peak(job.device) as peak:
            started_at = time.perf_counter()
            work(job, Path(folder))
            seconds = time.perf_counter() - started_at
        peaks.append(peak.bytes)
        return seconds

    return turn


def ours(job: Job, folder: Path) -> None:
    """`maskwise prepare`, `pretrain` and an epoch of `finetune`."""
    prepare.ours(job.material.corpus, job.material.vocabulary, folder, job.processes)
    trainer = {
        "max_steps": job.steps, "per_device_train_batch_size": job.batch, "bf16": job.precision == "bf16",
        "eval_strategy": "no", "save_strategy": "no", "report_to": [], "torch_compile": job.device == "cuda",
    }  # fmt: skip
    data = {"path": str(folder / "data"), "held_out_blocks": job.held_out_blocks}
    settings = resolve(load_recipe(RECIPE), {"data": data, "model": {"preset": job.model}, "trainer": trainer})
    pretrain(settings, folder / "run", show=False)
    tuning(job, folder / "run").ours(seed=0)


def stock(job: Job, folder: Path) -> None:
    """The examples' way to the same ends."""
    tokenizer = open_tokenizer(str(job.material.vocabulary))
    blocks, _ = prepare.stock_blocks(job.material.corpus, job.material.vocabulary, folder, job.processes)
    num_train = int(len(blocks) * (1 - VALID_SHARE))
    valid = blocks.select(range(num_train, min(len(blocks), num_train + job.held_out_blocks)))
    trainer = stock_trainer(
        BertForMaskedLM(preset_config(job.model, len(tokenizer))), tokenizer, str(folder / "trainer"),
        bf16=job.precision == "bf16", train=blocks.select(range(num_train)), valid=valid, max_steps=job.steps,
        per_device_train_batch_size=job.batch, optim="adamw_torch_fused", torch_compile=job.device == "cuda",
    )  # fmt: skip
    trainer.train()
    trainer.evaluate()
    trainer.save_model(str(folder / "run"))
    tokenizer.save_pretrained(folder / "run")
    tuning(job, folder / "run").stock(seed=0)


def tuning(job: Job, checkpoint: Path) -> finetune.Bench:
    """Returns an epoch of CoLA each way, from a checkpoint."""
    settings = TuneSettings(batch_size=job.batch, max_epochs=1, bf16=job.precision == "bf16", checkpoint_seconds=1e9)
    return finetune.Bench(str(checkpoint), find_task("cola"), job.material.cola, settings, job.examples, job.examples)


def cost(job: Job, vocabulary: int) -> Cost:
    """Returns the cost of our self-masked steps, which is nearly all there is to it in principle."""
    tokens = job.batch * prepare.BLOCK
    return step_cost("self", job.model, vocabulary, prepare.BLOCK, tokens, num_weights=0).times(job.steps)
