"""Guesses at what a study costs, from words and the speed of one matrix product; what is counted is in `budget`."""

from __future__ import annotations

import time
from typing import Any

import torch

from maskwise.lab.pretraining.build import bf16_is_fast
from maskwise.lab.pretraining.run_size import CorpusSize, corpus_of
from maskwise.lab.records.record import RunKey
from maskwise.lab.study.declaration import Backbone
from maskwise.lab.study.layout import Layout
from maskwise.lab.study.study_file import Study
from maskwise.lab.tasks.classification import TaskData
from maskwise.lab.tokens.blocks import MANIFEST
from maskwise.models.flops import TRAINING, forward_flops
from maskwise.models.loading import load_tokenizer

START_SECONDS = 10.0  # a job's process: Python, torch, the data, the last evaluation
SHARE_OF_PEAK = 0.35  # what training reaches of the speed of a plain matrix product
TOKENS_A_WORD = 1.4
LIKELY_EPOCHS = 12  # of fine-tuning with early stopping
LIKELY_LENGTH = 64


def seconds_for(flops: float, num_jobs: int, jobs: int, speed: float | None = None) -> float:
    """Returns about how long this many operations in this many jobs take; `speed` is `flops_per_second` by default."""
    return flops / (SHARE_OF_PEAK * (speed or flops_per_second())) + START_SECONDS * num_jobs / jobs


def flops_per_second(size: int = 768, seconds: float = 0.2) -> float:
    """Returns the speed of a matrix product on the device that training would use."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    matrix = torch.ones(size, size, device=device, dtype=torch.bfloat16 if bf16_is_fast() else torch.float32)
    started_at, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - started_at < seconds:
        matrix = (matrix @ matrix).clamp_(max=1)
        count += 1
    matrix.sum().item()
    return 2 * size**3 * count / (time.perf_counter() - started_at)


def expected_corpus(study: Study, key: RunKey, layout: Layout, tasks: dict[str, TaskData]) -> CorpusSize:
    """Returns the figures of a task's blocks: those on disk, or else a guess from its words."""
    assert key.adapted_to is not None
    folder = layout.data(key.backbone, key.adapted_to)
    if (folder / MANIFEST).exists():
        return corpus_of(str(folder))
    data = tasks[key.adapted_to]
    words = sum(len(text.split()) for texts in data.train.texts for text in texts)
    length = min(study.adapt_block, 2 + TOKENS_A_WORD * words / len(data.train))
    vocabulary = len(load_tokenizer(study.backbone(key.backbone).model))
    return CorpusSize(round(0.95 * len(data.train)), study.adapt_block, length, vocabulary)


def tuning_flops(study: Study, backbone: Backbone, task: str, data: Any, pretraining_data: str) -> float:
    """Returns a guess for a classification, else 0: tuning ends by its own rule, and texts are counted in words."""
    if not isinstance(data, TaskData):
        return 0.0
    settings = study.tuning(task)
    words = sum(len(text.split()) for texts in data.train.texts for text in texts)
    tokens = min(TOKENS_A_WORD * words, settings.max_length * len(data.train))
    epochs = min(settings.max_epochs, LIKELY_EPOCHS)
    vocabulary = 2 if study.adapt else corpus_of(pretraining_data).vocabulary
    body = forward_flops(backbone.model, LIKELY_LENGTH, vocabulary).body
    return (1 if settings.freeze else TRAINING) * body * tokens * epochs * len(study.tuning_seeds_of(task))
