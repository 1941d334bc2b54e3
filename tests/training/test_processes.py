"""Two real processes that train one model, are killed and resumed, and hand their checkpoint to another number."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path

import pytest

from maskwise.errors import InputError
from maskwise.masking.linear_loss import linear_mlm_loss
from maskwise.models.presets import build_model
from maskwise.training import trainer as trainer_module
from training import processes_part

SCRIPT = Path(processes_part.__file__)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_tokenizer):
    folder = tmp_path_factory.mktemp("start")
    build_model("tiny", len(tiny_tokenizer), 0).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def two(checkpoint, tmp_path_factory, two_processes, environment):
    """What the script finds on two processes, and its folder."""
    out = tmp_path_factory.mktemp("two")
    command = [*two_processes(), str(SCRIPT), str(checkpoint), str(out)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    line = next(line for line in result.stdout.splitlines() if line.startswith("FOUND "))
    return json.loads(line.removeprefix("FOUND ")), out


def test_two_processes_resume_to_what_the_unbroken_run_came_to(two):
    """Losses, weights, and the sums that each process keeps: doubled or lost by a resume, nothing else shows it."""
    found, _ = two
    assert found["processes"] == 2 and found["resumed"] == found["unbroken"]
    assert len(found["resumed"]["losses"]) == 2


def test_two_processes_come_to_what_one_does(two, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "linear_mlm_loss", partial(linear_mlm_loss, compiled=False))
    one = processes_part.make(str(checkpoint), tmp_path, batch=8)
    one.train()
    alone, together = processes_part.ended(one), two[0]["unbroken"]
    assert together["losses"] == pytest.approx(alone["losses"], abs=1e-4)
    assert together["loss"] == pytest.approx(alone["loss"], abs=1e-4)
    assert together["weights"] == pytest.approx(alone["weights"], rel=1e-5)


def test_another_batch_of_all_processes_together_is_refused(two):
    assert "per_device_train_batch_size: 4, now 8" in two[0]["other batch"]


@pytest.mark.parametrize("batch", [4, 8])
def test_another_number_of_processes_is_refused(two, checkpoint, batch):
    """It changed the batch of all together, skipped other rows, and said nothing."""
    trainer = processes_part.make(str(checkpoint), two[1] / "killed", batch=batch)
    with pytest.raises(InputError, match="number of processes: 2, now 1"):
        trainer.train(resume_from_checkpoint=True)
