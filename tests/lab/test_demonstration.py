"""The demo at the scale of a test: everything it does, on a corpus of a few made-up packages."""

import json
from collections import Counter
from unittest import mock

import numpy as np
import pytest

from maskwise.lab import demonstration as story
from maskwise.lab.jobs.in_process import InProcessExecutor
from maskwise.lab.study import runner
from maskwise.lab.study.results import plain_rows, read_results

SIZE = story.Size(
    vocabulary=300, batch=8, teacher_steps=4, steps=4, seeds=(0, 1), classes=3, train=30, held_out=12,
    held_out_blocks=4, epochs=1,
)  # fmt: skip
PACKAGES = ("json", "numpy", "tkinter", "rare")
TEXT = "the array of a window file text is read written drawn summed parsed shown and returned or left as it was"


def made_up_documents():
    """Sentences whose first word tells the package; `rare` has fewer than the others."""
    chance, text = np.random.default_rng(0), TEXT.split()
    for number in range(440):
        package = PACKAGES[number % 4 if number % 8 == 3 else number % 3]
        words = [*chance.choice(text, 24), str(number)]
        yield f"{package.capitalize()} is where {' '.join(words)}.", package


def task_rows(out):
    """The examples of the task by split."""
    files = {split: out / "tasks" / "package" / f"{split}.jsonl" for split in ("train", "validation")}
    return {split: [json.loads(line) for line in file.read_text().splitlines()] for split, file in files.items()}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the demo returns, and its folder."""
    out = tmp_path_factory.mktemp("demo") / "out"
    with (
        mock.patch("maskwise.lab.text.sources.python_documents", made_up_documents),
        mock.patch.object(runner, "LocalExecutor", side_effect=lambda *arguments, **options: InProcessExecutor()),
    ):
        return story.demo(out, size=SIZE), out


def test_the_demo_goes_from_text_to_a_report(told):
    text, out = told
    assert f"The page: {out / 'report.html'}" in text
    assert "Does it matter which tokens a tiny model masks?" in (out / "report.html").read_text(encoding="utf-8")
    rows = plain_rows(read_results(out / "study"))
    assert {(row["arm"], row["seed"], row["task"]) for row in rows} == {
        (arm, seed, task)
        for arm in ("random", "entropy-self", "random-equal-flops", "typhoon")
        for seed in SIZE.seeds
        for task in ("held_out", "package")
    }
    steps = {row["arm"]: row["steps"] for row in rows if row["task"] == "held_out"}
    assert steps.pop("random-equal-flops") > SIZE.steps
    assert set(steps.values()) == {SIZE.steps}


def test_it_says_what_a_model_is_held_against_and_that_it_proves_nothing(told):
    lines, held_out = told[0].splitlines(), task_rows(told[1])["validation"]
    assert [line.split("|")[1].strip() for line in lines[2:9]] == [
        "word frequencies alone", "constant classifier", "the teacher", "random", "entropy-self", "random-equal-flops",
        "typhoon",
    ]  # fmt: skip
    assert "Three tiny seeds prove nothing" in told[0]
    most_frequent = max(Counter(row["label"] for row in held_out).values())
    assert f" {most_frequent / len(held_out):.2%} " in lines[3]


def test_the_task_has_the_largest_packages_and_no_text_twice(told):
    splits = task_rows(told[1])
    for rows in splits.values():
        assert {row["label"] for row in rows} == set(PACKAGES) - {"rare"}
        assert all(row["text"].lower().startswith(row["label"]) for row in rows)
    assert len(splits["train"]) == 3 * SIZE.train
    assert not {row["text"] for row in splits["train"]} & {row["text"] for row in splits["validation"]}


def test_run_again_it_trains_nothing_and_says_the_same(told):
    text, out = told
    models = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert models
    with mock.patch.object(InProcessExecutor, "submit", side_effect=AssertionError("a job was run again")):
        assert story.demo(out, size=SIZE) == text
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == models
