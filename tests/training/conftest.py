"""A small prepared data folder, and real runs of the command line on it."""

from __future__ import annotations

import os
import pydoc_data.topics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of the Python language reference: a 600-token vocabulary, blocks of 32."""
    from maskwise.data.prepare import PrepareSettings, prepare

    folder = tmp_path_factory.mktemp("data")
    text = folder / "topics.txt"
    topics = sorted(pydoc_data.topics.topics.values())[:60]
    text.write_text("\n\n".join(topic.replace("\n\n", "\n") for topic in topics), encoding="utf-8")
    settings = PrepareSettings(sources=(str(text),), out=folder / "blocks", train_tokenizer=600, block=32, workers=1)
    prepare(settings, show=False)
    return folder / "blocks"


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
def environment() -> dict[str, str]:
    """The environment of a run: one thread, no network."""
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@pytest.fixture(scope="session")
def run_maskwise(environment: dict[str, str]) -> Run:
    """Runs the command line in a process of its own; `launcher` comes before `-m maskwise.cli`."""

    def run(arguments: Sequence[str], *, fails: bool = False, launcher: Sequence[str] = (sys.executable,)):
        command = [*launcher, "-m", "maskwise.cli", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
        assert fails or result.returncode == 0, result.stderr
        return result

    return run


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[Sequence[str]], str]:
    """Runs the command line in this process, expects exit code 2 and no traceback, and returns what stderr says."""
    from maskwise.cli import main

    def run(arguments: Sequence[str]) -> str:
        monkeypatch.setattr(sys, "argv", ["maskwise", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        text = capsys.readouterr().err
        assert stopped.value.code == 2, text
        assert "Traceback" not in text
        return text

    return run
