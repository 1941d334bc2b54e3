"""The library without the laboratory's packages: torch, transformers, accelerate, numpy, and what these bring."""

from __future__ import annotations

import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from hidden_packages import closure, packages_outside, run_without
from maskwise.__main__ import LAB_PACKAGES

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LIBRARY = ("torch", "transformers", "accelerate", "numpy")

ALONE = """
import os, sys
from importlib.util import find_spec
os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
from transformers import TrainingArguments
from maskwise import (
    Entropy, Masker, MaskingCollator, MaskingTrainer, RefreshedScores, Stored, Surprisal, Typhoon, count_tokens,
    store_scores, tokenize_rows, uniform,
)
from maskwise.scores.task_labels import LabelledRows
from maskwise.scores.task_typhoon import TaskTyphoon
from maskwise.testing import tiny_model, word_tokenizer

folder = sys.argv[1]
words = "the girl saw a river of the old city and the dog was on one long street".split()
tokenizer = word_tokenizer(" ".join(words))
texts = [" ".join(words[i:i + 9]) for i in range(8)] * 4
rows = tokenize_rows(texts, tokenizer, 16)
counts = count_tokens(rows, tokenizer)
teacher = tiny_model(tokenizer, seed=1)
plain = {"compiled": False}
stored = Stored(store_scores(Entropy(teacher, **plain), rows, f"{folder}/stored", tokenizer=tokenizer))
labelled = LabelledRows([{**row, "label": i % 2} for i, row in enumerate(rows)], tokenizer.pad_token_id, batch_size=8)

def own(batch):
    return batch["input_ids"].float()

scores = {
    "uniform": uniform, "own": own, "self": Entropy(**plain), "teacher": Surprisal(teacher, **plain),
    "folds": Entropy(folds=3, **plain), "both": Entropy(teacher, steps=1, **plain), "stored": stored,
    "stored-then-self": Entropy(stored, steps=2, **plain), "refreshed": RefreshedScores(Entropy(**plain)),
    "typhoon": Typhoon(tokenizer, counts), "task-typhoon": TaskTyphoon(tokenizer, counts, labelled, refresh_steps=2),
}
for name, score in scores.items():
    steps = 10 if name in ("self", "stored") else 3
    args = TrainingArguments(
        f"{folder}/{name}", max_steps=steps, per_device_train_batch_size=4, use_cpu=True, report_to=[], logging_steps=1,
        disable_tqdm=True, save_strategy="steps", save_steps=2, bf16=False,
    )
    budget = "from-scores" if "typhoon" in name else "exact"
    masker = Masker(score, tokenizer, budget=budget)
    trainer = MaskingTrainer(tiny_model(tokenizer), args, masker=masker, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert len(losses) == steps and np.isfinite(losses).all(), (name, losses)
    assert np.isfinite(trainer.evaluate()["eval_loss"])
for recipe in ("random", "bert", "whole-word", "span", "entropy-self-cold", "typhoon"):
    masker = Masker.from_recipe(recipe, tokenizer, token_counts=count_tokens(rows, tokenizer))
collator = MaskingCollator(Masker.from_recipe("whole-word", tokenizer))
collator.set_epoch(0)
assert (collator(rows[:4])["labels"] >= 0).any()
print("trained", len(scores), sorted(set(sys.modules) & {"datasets", "pandas", "pydantic", "scipy", "sklearn"}))
"""


@pytest.mark.slow
def test_the_library_masks_and_trains_with_each_score_on_its_four_packages_alone(tmp_path):
    outside = packages_outside(closure(LIBRARY))
    assert {"datasets", "pandas", "pyarrow", "tomli_w", "scipy", "sklearn", "matplotlib"} <= outside
    assert not outside & {"torch", "transformers", "accelerate", "numpy", "tokenizers", "safetensors"}
    done = run_without(outside, ALONE, tmp_path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "trained 11 []"


def test_the_librarys_dependencies_are_the_four():
    assert {text.partition(">")[0] for text in PROJECT["dependencies"]} == set(LIBRARY)


def test_what_the_command_line_looks_for_is_the_extra():
    extra = {text.partition(">")[0] for text in PROJECT["optional-dependencies"]["lab"]}
    assert set(LAB_PACKAGES.values()) == extra
    assert all(find_spec(module) is not None for module in LAB_PACKAGES)


@pytest.mark.parametrize("hidden", [{"pydantic"}, set(LAB_PACKAGES) - {"typer", "rich"}, set(LAB_PACKAGES)], ids=len)
def test_without_the_extra_the_command_line_says_what_to_install(tmp_path, hidden):
    """Both typer and rich come with transformers, so a failing import would be too late to count on."""
    script = "import sys\nfrom maskwise.__main__ import main\nsys.argv[1:] = ['recipes']\nmain()\n"
    done = run_without(hidden, script, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert 'pip install "maskwise[lab]"' in done.stderr
    assert all(LAB_PACKAGES[name] in done.stderr for name in hidden)
    assert "Traceback" not in done.stderr


def test_without_rich_progress_is_plain_lines(tmp_path):
    script = (
        "import sys\nfrom maskwise.progress import Progress\nsys.stderr.isatty = lambda: True\n"
        "with Progress('work', 3, 'steps') as progress:\n    progress.advance(3)\n"
    )
    done = run_without({"rich"}, script, folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith("work: 3 of 3 (100%)")


def test_hidden_packages_are_neither_found_nor_imported(tmp_path):
    script = (
        "from importlib.util import find_spec\nassert find_spec('pandas') is None\nassert find_spec('numpy')\n"
        "try:\n    import pandas\nexcept ModuleNotFoundError:\n    print('hidden')\n"
    )
    assert run_without({"pandas"}, script, folder=tmp_path).stdout == "hidden\n"
