"""A study of minutes made seconds: two arms, two seeds, a made-up task, a model of 2 layers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

NOUNS = ("bird", "city", "day", "dog", "fish", "garden", "girl", "house", "man", "river", "song", "tree", "word")


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the task cola: whether "good" is in the sentence."""
    folder = tmp_path_factory.mktemp("study-tasks") / "glue"
    (folder / "cola").mkdir(parents=True)
    for split, number, seed in (("train", 96, 1), ("validation", 32, 2)):
        random, lines = np.random.default_rng(seed), []
        for i in range(number):
            words = random.choice(NOUNS, random.integers(3, 9)).tolist()
            words.insert(int(random.integers(len(words))), "good" if i % 3 else "old")
            lines.append(json.dumps({"sentence": " ".join(words), "label": int(i % 3 > 0)}))
        (folder / "cola" / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def study_tables(tiny_data: Path, tasks: Path) -> dict[str, Any]:
    """The tables of a study that can run; do not change them."""
    trainer = {
        "max_steps": 4, "per_device_train_batch_size": 4, "bf16": False, "save_steps": 2, "eval_steps": 2,
        "logging_steps": 1, "report_to": [],
    }  # fmt: skip
    return {
        "question": "Does it run?",
        "seeds": [0, 1],
        "tuning_seeds": [0, 1],
        "tasks": ["cola"],
        "task_data": str(tasks),
        "pretrain": {"data": {"path": str(tiny_data), "exam_blocks": 8}, "trainer": trainer},
        "tune": {"max_epochs": 1, "batch_size": 16, "bf16": False, "learning_rate": 1e-3},
        "backbones": [{"name": "tiny", "preset": "tiny"}],
        "arms": [{"name": "random"}, {"name": "cold", "recipe": "entropy-self-cold"}],
        "statistics": {"family": [["cold", "random"]], "margin": 0.01},
    }


@pytest.fixture
def tree(study_tables: dict[str, Any]) -> dict[str, Any]:
    """A copy of `study_tables`."""
    return copy.deepcopy(study_tables)


@pytest.fixture(scope="session")
def checkpoint(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny model with the tokenizer of `tiny_data`."""
    from maskwise.data.blocks import open_data
    from maskwise.models.presets import build_model

    folder = tmp_path_factory.mktemp("study-checkpoint")
    tokenizer = open_data(tiny_data).tokenizer
    build_model("tiny", len(tokenizer), 0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Writes the tables of a study as its file."""

    def write(tables: dict[str, Any]) -> Path:
        path = tmp_path / "study.toml"
        path.write_text(tomli_w.dumps(tables), encoding="utf-8")
        return path

    return write
