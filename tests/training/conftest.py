"""Data of short documents, a teacher, and the command that trains."""

from __future__ import annotations

import pydoc_data.topics
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def document_data(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 700 blocks of 5 to 32 tokens, one document each or part of one, with the tokenizer of `tiny_data`."""
    from maskwise.data.prepare import PrepareSettings, prepare

    folder = tmp_path_factory.mktemp("documents")
    topics = sorted(pydoc_data.topics.topics.values())[20:50]
    paragraphs = [paragraph.replace("\n", " ")[:150] for topic in topics for paragraph in topic.split("\n\n")]
    (folder / "text.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
    settings = PrepareSettings(
        sources=(str(folder / "text.txt"),),
        out=folder / "blocks",
        tokenizer=str(tiny_data / "tokenizer"),
        block=32,
        mode="document",
        workers=1,
    )
    prepare(settings, show=False)
    return folder / "blocks"


@pytest.fixture(scope="session")
def teacher(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of the data's vocabulary that is sure of some tokens and not of others."""
    return save_teacher(tiny_data, tmp_path_factory.mktemp("teacher") / "ckpt")


def save_teacher(data: Path, out: Path, scale: float = 10) -> Path:
    """Saves a random tiny model with the tokenizer of a data folder; `scale` multiplies its embeddings."""
    from maskwise.data.blocks import open_data
    from maskwise.models.presets import build_model

    tokenizer = open_data(data).tokenizer
    model = build_model("tiny", len(tokenizer), 1, tokenizer.pad_token_id)
    model.get_input_embeddings().weight.data *= scale
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


@pytest.fixture(scope="session")
def pretrain_command(tiny_data: Path) -> list[str]:
    """A pretraining run of 12 steps that saves at every second one; add `--out`."""
    settings = {
        "trainer.max_steps": 12, "trainer.per_device_train_batch_size": 8, "trainer.bf16": "false",
        "trainer.logging_steps": 1, "trainer.save_steps": 2, "trainer.eval_steps": 4, "data.exam_blocks": 16,
    }  # fmt: skip
    assignments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return ["pretrain", "--data", str(tiny_data), "--model", "tiny", *assignments]


@pytest.fixture(scope="session")
def run_here(exit_code) -> Callable[[Sequence[str]], None]:
    """Runs the command line in this process, on one thread as in the others, and expects that it goes well."""
    import torch

    def run(arguments: Sequence[str]) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        code = exit_code(arguments)
        torch.set_num_threads(threads)
        assert not code

    return run
