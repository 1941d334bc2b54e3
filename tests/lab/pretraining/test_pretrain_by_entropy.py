"""Pretraining that masks by entropy, as a user runs it: killed, on two processes, and with accumulation.

A teacher scores for half of the run, the model in training for the rest.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskwise.files.checkpoint_folders import MARKER
from maskwise.lab.records.run_folder import read_metrics
from maskwise.lab.tokens.blocks import open_data

RECIPE = "entropy-self"
BATCH, STEPS, SAVE_STEPS, SWITCH = 32, 10, 3, 5
KILLED_AFTER = (3, 6)  # while the teacher scores, and while the model itself does


@pytest.fixture(scope="module")
def command(document_data, teacher, pretrain_command) -> list[str]:
    """A run of full batches over blocks of unequal lengths; add `--out`."""
    assert len(open_data(document_data).train) >= BATCH * STEPS
    settings = {
        "trainer.max_steps": STEPS, "trainer.save_steps": SAVE_STEPS, "trainer.eval_steps": STEPS,
        "trainer.per_device_train_batch_size": BATCH, "masking.teacher_share": SWITCH / STEPS,
    }  # fmt: skip
    assignments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    source = ["--data", str(document_data), "--teacher", str(teacher), "--recipe", RECIPE]
    return [*pretrain_command, *source, *assignments]


@pytest.fixture(scope="module")
def unbroken(run_here, command, tmp_path_factory) -> Path:
    """The run that others must equal."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    run_here([*command, "--out", str(out)])
    return out


def losses(run: Path) -> dict[int, float]:
    return {record["step"]: record["loss"] for record in read_metrics(run / "metrics.jsonl") if "loss" in record}


def test_a_run_killed_under_its_teacher_and_without_ends_with_the_bytes_of_the_unbroken_one(
    unbroken, command, killed_when, run_here, tmp_path
):
    """Whoever scored must score again, with the weights of that moment."""
    out = tmp_path / "killed"
    arguments = [*command, "--out", str(out), "--resume"]
    for step in KILLED_AFTER:
        killed_when(arguments, (out / f"checkpoint-{step}" / MARKER).exists)
        assert not (out / "done.json").exists()
    run_here(arguments)
    assert (out / "model.safetensors").read_bytes() == (unbroken / "model.safetensors").read_bytes()
    assert losses(out) == losses(unbroken)
    assert len(losses(out)) == STEPS


def test_two_processes_that_accumulate_give_the_loss_curve_of_one(
    unbroken, command, run_maskwise, two_processes, tmp_path
):
    """A rank that scored with its own weights, or divided by its own token count, would train another model."""
    quarter = ["--set", f"trainer.per_device_train_batch_size={BATCH // 4}"]
    halves = ["--set", "trainer.gradient_accumulation_steps=2"]
    out = tmp_path / "two"
    result = run_maskwise([*command, *quarter, *halves, "--out", str(out)], launcher=two_processes())
    assert result.stdout.count("unigram floor") == 1
    one, two = losses(unbroken), losses(out)
    assert one.keys() == two.keys()
    assert max(one.values()) - min(one.values()) > 0.1
    assert max(abs(two[step] - loss) for step, loss in one.items()) < 1e-4
    grades = [json.loads((run / "done.json").read_text())["held_out"][RECIPE] for run in (unbroken, out)]
    assert grades[0]["loss"] == pytest.approx(grades[1]["loss"], abs=1e-4)
