"""Whether training still gives the losses it gave: 100 fixed steps a way of masking, in fp32, eager, on one thread.

The text is a made-up chain of tokens, so that it is the same on every machine; the recorded losses are in
`tests/training/same_losses.json`, with the torch and the processor they were recorded on. Work on speed leaves them
as they are; what is meant to change them records them again.

    python benchmarks/same_losses.py            # the largest difference of each way
    python benchmarks/same_losses.py --record
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import bert_tokenizer
from transformers import PrinterCallback, TrainingArguments

from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform
from maskwise.models.presets import build_model
from maskwise.scores.model import Entropy
from maskwise.training.trainer import MaskingTrainer

RECORDED = Path(__file__).parent.parent / "tests" / "training" / "same_losses.json"
VOCABULARY, LENGTH, BATCH, STEPS = 600, 32, 8, 100


def maskers() -> dict[str, Masker]:
    """Returns the ways that are compared; `self` also scores, and draws replacements."""
    tokenizer = bert_tokenizer(VOCABULARY)
    return {
        "random": Masker(uniform, tokenizer),
        "self": Masker(Entropy(compiled=False), tokenizer, pick="high", corruption=(0.8, 0.1, 0.1)),
    }


def chain_rows(tokenizer: Any, num_rows: int) -> list[dict[str, list[int]]]:
    """Returns rows in which a token is followed by one of its own three successors, mostly by the first."""
    draw = np.random.default_rng(0)
    successors = draw.integers(5, VOCABULARY, (VOCABULARY, 3))
    choices = draw.choice(3, (num_rows, LENGTH), p=(0.7, 0.2, 0.1))
    tokens = draw.integers(5, VOCABULARY, num_rows)
    rows = []
    for token, row_choices in zip(tokens, choices, strict=True):
        body = [token := successors[token, choice] for choice in row_choices[2:]]
        rows.append({"input_ids": [tokenizer.cls_token_id, *map(int, body), tokenizer.sep_token_id]})
    return rows


def losses(masker: Masker) -> list[float]:
    """Returns the training loss in nats of each step."""
    rows = chain_rows(masker.tokenizer, 256)
    with tempfile.TemporaryDirectory() as folder, torch.compiler.set_stance("force_eager"):
        args = TrainingArguments(
            folder, max_steps=STEPS, per_device_train_batch_size=BATCH, learning_rate=3e-3, logging_steps=1,
            use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no", seed=0,
        )  # fmt: skip
        model = build_model("tiny", VOCABULARY, 0, masker.tokenizer.pad_token_id)
        trainer = MaskingTrainer(model, args, masker=masker, train_dataset=rows)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return [record["loss"] for record in trainer.state.log_history if "loss" in record]


def environment() -> dict[str, str]:
    """Returns what rounding depends on."""
    return {"torch": torch.__version__, "processor": torch.backends.cpu.get_cpu_capability()}


def all_losses() -> dict[str, list[float]]:
    """Returns the losses of every way, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: losses(masker) for name, masker in maskers().items()}
    finally:
        torch.set_num_threads(threads)


def largest_difference(now: list[float], before: list[float]) -> float:
    """Returns the largest relative difference over the steps."""
    return max(abs(a - b) / b for a, b in zip(now, before, strict=True))


def main() -> None:
    """Records the losses, or compares them with the recorded ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help=f"write {RECORDED.name}")
    found = all_losses()
    if parser.parse_args().record:
        RECORDED.write_text(json.dumps({"environment": environment(), "losses": found}, indent=1) + "\n")
        return
    recorded = json.loads(RECORDED.read_text())
    if recorded["environment"] != environment():
        print(f"recorded on {recorded['environment']}, here is {environment()}: rounding may differ")
    for name, before in recorded["losses"].items():
        print(f"{name:8} {found[name][0]:.3f} -> {found[name][-1]:.3f}: {largest_difference(found[name], before):.1e}")


if __name__ == "__main__":
    main()
