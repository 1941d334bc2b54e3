"""A trainer over short sentences, made in one call."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from maskwise.masking.linear_loss import linear_mlm_loss
from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform
from maskwise.training import trainer as trainer_module
from maskwise.training.trainer import MaskingTrainer

TEXT = "the girl walked by the river and a dog was quickly playing in her green garden on a good day"
QUIET = {"use_cpu": True, "report_to": [], "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1}
SIZE = {"max_steps": 4, "per_device_train_batch_size": 8, "learning_rate": 1e-3}


@pytest.fixture
def sentences(tiny_tokenizer) -> list[dict[str, Any]]:
    """32 sentences of 3 to 18 words."""
    return [{"input_ids": tiny_tokenizer(" ".join(TEXT.split()[: 3 + i % 16]))["input_ids"]} for i in range(32)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The folder that trainers of `make_trainer` write to."""
    return tmp_path / "out"


@pytest.fixture
def make_trainer(tiny_model, tiny_tokenizer, sentences, out, monkeypatch) -> Callable[..., MaskingTrainer]:
    """Makes a trainer of a copy of `tiny_model` for 4 steps; `trainer` is for its constructor, options for its args.

    The loss is not compiled: its tests compare both, and to compile it takes seconds for every shape.
    """
    monkeypatch.setattr(trainer_module, "linear_mlm_loss", partial(linear_mlm_loss, compiled=False))

    def make(trainer: dict[str, Any] | None = None, score: Any = uniform, **options: Any) -> MaskingTrainer:
        args = TrainingArguments(**{"output_dir": str(out)} | QUIET | SIZE | options)
        given = {"train_dataset": sentences} | (trainer or {})
        if "model" not in given and "model_init" not in given:
            given["model"] = copy.deepcopy(tiny_model)
        given.setdefault("masker", Masker(score, tiny_tokenizer))
        return MaskingTrainer(args=args, **given)

    return make


def logged(trainer: MaskingTrainer, name: str = "loss") -> list[float]:
    """Returns the values of a figure in a trainer's history."""
    return [record[name] for record in trainer.state.log_history if name in record]
