"""The programs of examples/: short, and run as they are on a tiny model and a small text."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from fixtures.tuned import QUICK

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))
MAX_LINES = 24
PACKAGES = ("json", "numpy", "tkinter")
SENTENCE = "the girl saw the old river of the city and a dog was playing by the sea in the garden"


@pytest.fixture
def load(monkeypatch):
    """Imports an example by its name; a name of its own lets loader workers find it."""

    def load_example(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load_example


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    words = SENTENCE.split()
    path.write_text("\n".join(" ".join(words[i % 9 : i % 9 + 9]) for i in range(64)), encoding="utf-8")
    return path


@pytest.fixture
def small_docs(monkeypatch):
    """Stands for the documentation of Python: sentences of three packages, whose first word tells which."""
    words = SENTENCE.split()

    def documents():
        for number in range(360):
            text = " ".join(words[(number + i * 7) % len(words)] for i in range(12))
            yield f"{PACKAGES[number % 3].capitalize()} is where {text} {number}.", PACKAGES[number % 3]

    monkeypatch.setattr("maskwise.lab.text.sources.python_documents", documents)


def code_lines(path):
    """Lines of code: neither blank, nor a comment, nor the docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstring = tree.body[0]
    lines = path.read_text(encoding="utf-8").splitlines()[docstring.end_lineno :]
    return [line for line in lines if line.strip() and not line.strip().startswith("#")]


def test_every_program_is_short():
    assert len(PROGRAMS) >= 4
    assert {path.name: len(code_lines(path)) for path in PROGRAMS if len(code_lines(path)) > MAX_LINES} == {}


def test_an_own_score_with_a_state_masks_what_was_masked_least(load, checkpoint, text, tmp_path):
    options = {
        "max_steps": 6, "per_device_train_batch_size": 8, "use_cpu": True, "report_to": [], "save_steps": 6,
        "disable_tqdm": True, "logging_steps": 1,
    }  # fmt: skip
    trainer = load("own_score").main(str(checkpoint), text, str(tmp_path / "out"), **options)
    score = trainer.masker.score
    assert score.counts.sum() >= 6 * 8
    kept = torch.load(tmp_path / "out" / "checkpoint-6" / "score_state.pt")["0"]
    assert torch.equal(kept["counts"], score.counts)


def test_a_plain_loop_masks_in_the_loaders_workers(load, checkpoint, text):
    here, there = (load("plain_loop").main(str(checkpoint), text, epochs=2, workers=workers) for workers in (0, 2))
    assert len(here) == len(there) == 4
    assert there[-1] < 6


def test_a_checkpoint_is_adapted_and_tuned_from_python(load, checkpoint, glue, text, tmp_path, capsys):
    lines = text.read_text(encoding="utf-8").splitlines()
    text.write_text("\n\n".join(f"{line} {number}" for number, line in enumerate(lines)), encoding="utf-8")
    trainer = {"per_device_train_batch_size": 4, "bf16": False, "report_to": [], "eval_strategy": "no"}
    tune = {name: value for name, value in QUICK.items() if name != "bf16"} | {"max_epochs": 1, "bf16": False}
    result = load("domain_adaptation").main(
        str(checkpoint), str(text), str(glue), str(tmp_path / "out"), steps=2, block=32, tune=tune, trainer=trainer
    )
    printed = capsys.readouterr().out
    assert "unigram floor" in printed
    assert str(tmp_path / "out" / "run") in printed
    assert len(result.tasks[0].values("accuracy")) == 2
    done = json.loads((tmp_path / "out" / "run" / "done.json").read_text(encoding="utf-8"))
    assert done["steps"] == 2


def test_two_arms_end_in_a_verdict_and_a_page(load, small_docs, tmp_path, capsys):
    trainer = {
        "max_steps": 3, "per_device_train_batch_size": 8, "bf16": False, "report_to": [], "save_steps": 3,
        "eval_steps": 3,
    }  # fmt: skip
    tune = {"max_epochs": 1, "batch_size": 16, "bf16": False, "max_length": 32}
    found = load("two_arms").main(tmp_path, vocabulary=300, examples=20, seeds=[0, 1], trainer=trainer, tune=tune)
    (finding, *_) = found.findings
    assert (finding.hypothesis.ours, finding.hypothesis.theirs, finding.hypothesis.task) == (
        "late",
        "random",
        "package",
    )
    assert f"{finding.verdict}: {finding.sentence}" in capsys.readouterr().out
    assert finding.sentence in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert found.is_finished
