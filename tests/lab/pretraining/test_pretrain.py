"""The pretraining job as a user runs it: real processes, real files, real kills."""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from maskwise.files.checkpoint_folders import MARKER
from maskwise.lab.records.run_folder import read_metrics


@pytest.fixture(scope="module")
def unbroken(run_maskwise, pretrain_command, tmp_path_factory) -> Path:
    """The run that others must equal."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    run_maskwise([*pretrain_command, "--out", str(out)])
    return out


def losses(run: Path) -> dict[int, float]:
    return {record["step"]: record["loss"] for record in read_metrics(run / "metrics.jsonl") if "loss" in record}


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def test_a_run_learns_and_leaves_a_model_that_fills_a_mask(unbroken):
    """A loss that does not move, or a folder that does not load, would make every later comparison empty."""
    from transformers import pipeline

    assert losses(unbroken)[12] < losses(unbroken)[1] - 0.3
    done = json.loads((unbroken / "done.json").read_text())
    assert set(done["held_out"]) == {"unigram floor", "random"}
    assert done["held_out"]["random"]["loss"] < 6.4  # log 600
    answers = pipeline("fill-mask", model=str(unbroken))("the [MASK] of a class is")
    assert len(answers) == 5
    assert list((unbroken / "runs").rglob("events.out.tfevents.*"))
    assert "Frozen evaluation" in (unbroken / "README.md").read_text()


def test_its_config_runs_the_job_again_to_identical_losses(unbroken, run_maskwise, tmp_path):
    out = tmp_path / "again"
    run_maskwise(["pretrain", "--config", str(unbroken / "config.toml"), "--out", str(out)])
    assert losses(out) == losses(unbroken)
    assert weights(out) == weights(unbroken)
    assert (out / "config.toml").read_text() == (unbroken / "config.toml").read_text()


def test_loader_workers_do_not_change_the_losses(unbroken, run_maskwise, pretrain_command, tmp_path):
    """A worker that drew its own noise would give masks that depend on the machine."""
    out = tmp_path / "workers"
    run_maskwise([*pretrain_command, "--out", str(out), "--set", "trainer.dataloader_num_workers=2"])
    assert losses(out) == losses(unbroken)


def test_a_run_killed_three_times_ends_with_the_bytes_of_the_unbroken_one(
    unbroken, pretrain_command, killed_when, run_maskwise, tmp_path
):
    """Lost random state, a half-written checkpoint taken for whole, or skipped data would end elsewhere, unnoticed."""
    out = tmp_path / "killed"
    command = [*pretrain_command, "--out", str(out), "--resume"]
    chance = random.Random(0)
    for state in (while_saving, between_saves, while_saving):
        killed_when(command, state(out, chance))
    resumed = run_maskwise(command)
    assert "missing keys" not in resumed.stderr
    assert weights(out) == weights(unbroken)
    assert losses(out) == losses(unbroken)
    assert not [path for path in out.glob("checkpoint-*") if not (path / MARKER).exists()]


def while_saving(out: Path, chance: random.Random) -> Callable[[], bool]:
    """Holds as soon as a checkpoint has begun and is not complete."""
    done_before = set(out.glob("checkpoint-*"))
    return lambda: any(not (path / MARKER).exists() for path in set(out.glob("checkpoint-*")) - done_before)


def between_saves(out: Path, chance: random.Random) -> Callable[[], bool]:
    """Holds a random moment after the run has gone on by a step."""
    lines = len(read_metrics(out / "metrics.jsonl"))

    def has_come() -> bool:
        has_gone_on = len(read_metrics(out / "metrics.jsonl")) > lines + 1
        if has_gone_on:
            time.sleep(chance.random() * 0.2)
        return has_gone_on

    return has_come


@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_two_processes_give_the_loss_curve_of_one(
    launcher, unbroken, run_maskwise, two_processes, pretrain_command, tmp_path
):
    """Ranks that mask alike, or divide by their own token count, train another model than one process does."""
    two, half = tmp_path / "two", ["--set", "trainer.per_device_train_batch_size=4"]
    result = run_maskwise([*pretrain_command, "--out", str(two), *half], launcher=two_processes(launcher))
    assert losses(two).keys() == losses(unbroken).keys()
    assert max(abs(losses(two)[step] - loss) for step, loss in losses(unbroken).items()) < 1e-4
    assert result.stdout.count("unigram floor") == 1
    states = [json.loads(next(run.rglob("trainer_state.json")).read_text()) for run in (unbroken, two)]
    work = [state["total_flos"] / state["global_step"] for state in states]
    assert work[0] == pytest.approx(work[1]), "it was one process after all"
    done = [json.loads((run / "done.json").read_text()) for run in (unbroken, two)]
    grades = [figures["held_out"]["random"] for figures in done]
    assert grades[0]["tokens"] == grades[1]["tokens"]
    assert grades[0]["loss"] == pytest.approx(grades[1]["loss"], abs=1e-4)


def test_a_finished_run_is_not_overwritten(unbroken, run_maskwise, pretrain_command):
    before = weights(unbroken)
    result = run_maskwise([*pretrain_command, "--out", str(unbroken)], fails=True)
    assert result.returncode == 2
    assert "is finished" in result.stderr
    assert "Traceback" not in result.stderr
    assert weights(unbroken) == before


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    run_maskwise, pretrain_command, tmp_path
):
    """The stock trainer writes an average in place of a NaN and trains on."""
    out = tmp_path / "nan"
    broken = [f"--set=trainer.{setting}" for setting in ("learning_rate=1e30", "max_grad_norm=0", "warmup_steps=0")]
    result = run_maskwise([*pretrain_command, "--out", str(out), *broken], fails=True)
    assert result.returncode == 2, result.stderr
    assert "not finite at step" in result.stderr
    for checkpoint in out.glob("checkpoint-*"):
        state = torch.load(checkpoint / "optimizer.pt", weights_only=True)
        assert state["state"]
    assert not (out / "done.json").exists()


def test_a_full_disk_ends_a_run_in_words_and_what_was_there_stays_whole(
    unbroken, pretrain_command, run_maskwise, tmp_path
):
    """Files may grow to 2,500 KiB: the model fits, the optimizer's state does not."""
    out = Path(shutil.copytree(unbroken, tmp_path / "run"))
    for left in ("done.json", "README.md", "model.safetensors"):
        (out / left).unlink()
    shutil.rmtree(out / "checkpoint-12")
    before = {path: path.read_bytes() for path in out.glob("checkpoint-10/*")}
    command = [*pretrain_command, "--out", str(out), "--resume"]
    limited = ["bash", "-c", 'ulimit -f 2500; exec "$@"', "-", sys.executable]
    result = run_maskwise(command, fails=True, launcher=limited)
    assert result.returncode == 2, result.stderr
    assert "disk is full" in result.stderr
    assert "checkpoint-10 is whole" in result.stderr
    assert "Traceback" not in result.stderr
    assert "shards" not in result.stderr
    assert {path: path.read_bytes() for path in out.glob("checkpoint-*/*")} == before
    run_maskwise(command)
    assert weights(out) == weights(unbroken)
    assert losses(out) == losses(unbroken)


def test_a_disk_without_room_for_the_settings_leaves_no_folder(pretrain_command, refused, full_disk, tmp_path):
    with full_disk(100):
        assert "There was no checkpoint yet" in refused([*pretrain_command, "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


BAD_INPUT = {
    "unknown recipe": (["--recipe", "whole-wrod"], "Did you mean 'whole-word'?"),
    "unknown setting": (["--set", "masking.rte=0.2"], "Did you mean 'rate'?"),
    "unknown trainer option": (["--set", "trainer.learning_rat=1"], "Did you mean 'learning_rate'?"),
    "rate outside 0 to 1": (["--set", "masking.rate=15"], "share between 0 and 1"),
    "shares that do not add to 1": (["--set", "masking.corruption=[0.8, 0.1, 0.2]"], "add to 1.1"),
    "no teacher": (["--recipe", "entropy-high"], "needs a teacher"),
    "unknown model": (["--model", "tny"], "Did you mean 'tiny'?"),
    "not KEY=VALUE": (["--set", "masking"], "KEY=VALUE"),
    "a score that cannot be imported": (["--set", "masking.score=nowhere:score"], "cannot be imported"),
    "a batch of 0": (["--set", "trainer.per_device_train_batch_size=0"], "at least 1"),
    "accumulation of 0": (["--set", "trainer.gradient_accumulation_steps=0"], "give at least 1"),
    "no step": (["--set", "trainer.max_steps=0"], "max_steps is 0; give at least 1"),
    "fewer steps than none": (["--steps", "-5"], "'--steps'"),
    "no epoch": (["--set", "trainer.max_steps=-1", "--epochs", "0"], "give more than 0"),
    "a number in words": (["--set", "trainer.learning_rate=fast"], "is a number, such as 5e-05; found 'fast'"),
    "a learning rate below 0": (["--set", "trainer.learning_rate=-1"], "give at least 0"),
    "a seed below 0": (["--seed", "-1"], "'seed'"),
    "no evaluation": (["--set", "data.held_out_blocks=0"], "'data.held_out_blocks'"),
    "no such data": (["--data", "nowhere"], "nowhere does not exist"),
    "no such settings": (["--config", "none.toml"], "There is no file none.toml"),
    "nothing to resume": (["--config", "none.toml", "--resume"], "There is no file none.toml"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_answered_in_words(case, refused, pretrain_command, tmp_path):
    arguments, words = BAD_INPUT[case]
    assert words in refused([*pretrain_command, "--out", str(tmp_path / "run"), *arguments])
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_that_does_not_load_is_named(refused, tiny_data, tmp_path):
    (tmp_path / "ckpt").mkdir()
    arguments = ["pretrain", "--data", str(tiny_data), "--from", str(tmp_path / "ckpt"), "--out", str(tmp_path / "run")]
    assert "does not load" in refused(arguments)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_without_a_head_is_named(refused, tiny_data, unbroken, tmp_path):
    """A missing head would be filled with random weights, and the run would look like slow learning."""
    from transformers import BertModel

    BertModel.from_pretrained(unbroken).save_pretrained(tmp_path / "ckpt")
    arguments = ["pretrain", "--data", str(tiny_data), "--from", str(tmp_path / "ckpt"), "--out", str(tmp_path / "run")]
    assert "no masked-LM head" in refused(arguments)


def test_a_run_resumed_with_other_settings_is_refused(refused, unbroken, pretrain_command, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.toml").write_text((unbroken / "config.toml").read_text())
    assert "seed" in refused([*pretrain_command, "--out", str(out), "--resume", "--seed", "7"])
