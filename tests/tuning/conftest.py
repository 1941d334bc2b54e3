"""A checkpoint, and made-up tasks in the folders and files that people have."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

QUICK = {"learning_rate": 3e-3, "batch_size": 16, "max_epochs": 6, "bf16": "false", "checkpoint_seconds": 0}
NOUNS = ("bird", "city", "day", "dog", "fish", "garden", "girl", "house", "man", "river", "song", "tree", "word")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer) -> Path:
    """A masked language model of 2 layers of 32, with dropout, its tokenizer beside it; nothing was learnt."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("checkpoint")
    config = BertConfig(
        vocab_size=len(tiny_tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, pad_token_id=tiny_tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForMaskedLM(config).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


def sentences(number: int, seed: int) -> list[tuple[str, int]]:
    """Sentences of 3 to 12 words; the label says whether "good" is among them."""
    random = np.random.default_rng(seed)
    made = []
    for i in range(number):
        words = random.choice(NOUNS, random.integers(2, 12)).tolist()
        words.insert(int(random.integers(len(words))), "good" if i % 3 else "old")
        made.append((" ".join(words), int(i % 3 > 0)))
    return made


def write_jsonl(path: Path, rows: Sequence[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="session")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of task folders, as jsonl: sst2 and cola of `sentences`, and stsb, where the score counts "good"."""
    folder = tmp_path_factory.mktemp("glue")
    for split, number, seed in (("train", 240, 1), ("validation", 60, 2)):
        made = sentences(number, seed)
        for task in ("sst2", "cola"):
            write_jsonl(folder / task / f"{split}.jsonl", [{"sentence": text, "label": y} for text, y in made])
        pairs = [{"sentence1": text, "sentence2": "the sun", "label": 5.0 * y} for text, y in made]
        write_jsonl(folder / "stsb" / f"{split}.jsonl", pairs)
    return folder


@pytest.fixture(scope="session")
def command(checkpoint: Path, glue: Path) -> Callable[..., list[str]]:
    """The command that tunes the checkpoint on a task, quickly; other settings may be given."""

    def make(task: str, out: Path, *more: str, **settings) -> list[str]:
        assigned = [part for key, value in (QUICK | settings).items() for part in ("--set", f"tune.{key}={value}")]
        where = ["--task", task, "--task-data", str(glue), "--out", str(out)]
        return ["finetune", str(checkpoint), *where, *assigned, *more]

    return make
