"""Refreshed scores: what a batch reads is what the model said when its period began, also after a kill."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast, TrainerCallback, TrainingArguments

from maskwise import Entropy, Masker, MaskingTrainer
from maskwise.errors import InputError
from maskwise.files.checkpoint_folders import MARKER, complete_checkpoints
from maskwise.lab.records.run_folder import read_metrics
from maskwise.lab.tokens.blocks import open_data
from maskwise.masking.score import StatefulScore
from maskwise.models.presets import build_model
from maskwise.scores.refreshed import RefreshedScores, delete_score_files, score_file_path
from maskwise.testing import check_score, make_batch

NUM_ROWS = 48  # 6 steps an epoch
STEPS = 6


@pytest.fixture(scope="module")
def tokenizer(tiny_data) -> PreTrainedTokenizerFast:
    return open_data(tiny_data).tokenizer


@pytest.fixture(scope="module")
def rows() -> list[dict[str, list[int]]]:
    """Rows of 4 to 12 tokens."""
    draw = random.Random(0)
    return [
        {"input_ids": [2, *(draw.randrange(5, 600) for _ in range(draw.randint(2, 10))), 3]} for _ in range(NUM_ROWS)
    ]


class EpochScore(StatefulScore):
    """Scores by when it was asked: the epoch + 1 for the row's first half, minus that for the rest."""

    calls = 0

    def __call__(self, batch):
        self.calls += 1
        sign_T = 1 - 2 * (torch.arange(batch["input_ids"].shape[1]) % 2)
        return (
            (sign_T * (-1) ** batch["state"].epoch * (batch["state"].epoch + 1))
            .expand(batch["input_ids"].shape)
            .float()
        )


class Watched(RefreshedScores):
    """Notes the epoch of every batch with the size of the scores it read."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.read = []

    def __call__(self, batch):
        scores_BT = super().__call__(batch)
        self.read.append((batch["state"].epoch, *scores_BT[batch["eligible"]].abs().unique().tolist()))
        return scores_BT


def make_trainer(score, rows, tokenizer, out, epochs=1.0, **arguments):
    model = build_model("tiny", len(tokenizer), 0, 0)
    args = TrainingArguments(
        str(out), per_device_train_batch_size=8, num_train_epochs=epochs, use_cpu=True, report_to=[], disable_tqdm=True,
        **{"save_strategy": "no", "learning_rate": 1e-3} | arguments,
    )  # fmt: skip
    return MaskingTrainer(model, args, masker=Masker(score, tokenizer, pick="high", rate=0.3), train_dataset=rows)


def logged(trainer) -> list[tuple[float, float]]:
    return [(r["epoch"], r["refresh_overlap"]) for r in trainer.state.log_history if "refresh_overlap" in r]


@pytest.mark.parametrize(
    ("refresh_epochs", "expected"), [(1, {0: 1, 1: 2, 2: 3, 3: 4, 4: 5}), (2, {0: 1, 1: 1, 2: 3, 3: 3, 4: 5})]
)
def test_every_batch_reads_the_scores_taken_when_its_period_began(rows, tokenizer, tmp_path, refresh_epochs, expected):
    """Scores of the wrong period, or of the moment, would be another experiment under the same name."""
    score = Watched(EpochScore(), refresh_epochs)
    make_trainer(score, rows, tokenizer, tmp_path, epochs=5).train()
    assert len(score.read) == 5 * STEPS
    assert set(score.read) == set(expected.items())
    assert score.score.calls == len(set(expected.values())) * 2  # 48 rows are two batches


def test_the_bank_holds_the_models_own_entropy_at_the_start_of_the_epoch(rows, tokenizer, tmp_path):
    score, weights = RefreshedScores(Entropy()), {}

    class Keep(TrainerCallback):
        def on_epoch_begin(self, args, state, control, model=None, **kwargs):
            weights[int(state.epoch or 0)] = {key: value.clone() for key, value in model.state_dict().items()}

    trainer = make_trainer(score, rows, tokenizer, tmp_path, epochs=3)
    trainer.add_callback(Keep())
    trainer.train()
    batch = trainer.score_context().training_batch(range(NUM_ROWS))
    found_BT, last = score(batch), trainer.model
    for epoch, is_in_the_bank in ((2, True), (1, False)):
        last.load_state_dict(weights[epoch])
        live = Entropy()
        live.bind(last)
        assert torch.allclose(live(batch), found_BT, atol=1e-5) is is_in_the_bank
    assert (found_BT[~batch["eligible"]] == 0).all()


def test_scoring_all_rows_leaves_the_random_state_alone(rows, tokenizer, tmp_path):
    """Else dropout would depend on how often scores are refreshed, and arms would differ in more than that."""
    trainer = make_trainer(RefreshedScores(Entropy()), rows, tokenizer, tmp_path)
    trainer.state.epoch = 0.0
    before = torch.get_rng_state()
    trainer.masker.score.on_epoch_start(trainer.score_context())
    assert torch.equal(torch.get_rng_state(), before)
    assert trainer.model.training


def test_it_keeps_the_contract_of_every_score(rows, tokenizer, tmp_path):
    trainer = make_trainer(RefreshedScores(Entropy()), rows, tokenizer, tmp_path)
    trainer.state.epoch = 0.0
    trainer.masker.score.on_epoch_start(trainer.score_context())
    batch = make_batch(tokenizer, [rows[i]["input_ids"] for i in (1, 7, 9)], example_ids=[1, 7, 9])
    check_score(trainer.masker.score, tokenizer, batches=[batch])


def test_the_overlap_of_old_and_fresh_picks_is_logged_at_each_refresh_but_the_first(rows, tokenizer, tmp_path):
    trainer = make_trainer(RefreshedScores(EpochScore()), rows, tokenizer, tmp_path / "turning", epochs=3)
    trainer.train()
    assert [epoch for epoch, _ in logged(trainer)] == [1, 2]
    assert max(share for _, share in logged(trainer)) < 0.1  # what was highest has become lowest
    frozen = make_trainer(RefreshedScores(Entropy()), rows, tokenizer, tmp_path / "frozen", epochs=2, learning_rate=0.0)
    frozen.train()
    assert logged(frozen) == [(1, 1.0)]


def test_banks_are_kept_as_long_as_a_resumed_run_could_ask_for_them(rows, tokenizer, tmp_path):
    """A checkpoint may be several periods old; without its score file the run could not go on."""
    seen = {}

    class Look(TrainerCallback):
        def on_epoch_begin(self, args, state, control, **kwargs):
            seen[int(state.epoch)] = {int(path.stem.partition("-")[2]) for path in tmp_path.glob("scores-*.f32")}

    trainer = make_trainer(
        RefreshedScores(EpochScore()), rows, tokenizer, tmp_path, epochs=6, save_strategy="steps", save_steps=8
    )
    trainer.add_callback(Look())
    trainer.train()
    # Checkpoints: steps 8 and 16 (epochs 1 and 2), 24 (the end of epoch 3), 32 (epoch 5).
    assert seen == {0: {0}, 1: {0, 1}, 2: {1, 2}, 3: {2, 3}, 4: {3, 4}, 5: {3, 4, 5}}
    delete_score_files(tmp_path)
    assert not list(tmp_path.glob("scores-*"))


def test_a_run_stopped_inside_a_period_goes_on_with_its_bank(rows, tokenizer, tmp_path):
    """The live model is no substitute: its weights are not those of the period's start."""

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 10

    def losses(trainer):
        return [(r["step"], r["loss"]) for r in trainer.state.log_history if "loss" in r]

    often = {"save_strategy": "steps", "save_steps": 5, "logging_steps": 1}
    unbroken = make_trainer(RefreshedScores(Entropy(), 2), rows, tokenizer, tmp_path / "unbroken", epochs=3, **often)
    unbroken.train()
    stopped = make_trainer(RefreshedScores(Entropy(), 2), rows, tokenizer, tmp_path / "stopped", epochs=3, **often)
    stopped.add_callback(Stop())
    stopped.train()
    (tmp_path / "stopped" / "scores-2.unfinished").write_bytes(b"half")  # what a kill while scoring leaves
    resumed = make_trainer(RefreshedScores(Entropy(), 2), rows, tokenizer, tmp_path / "stopped", epochs=3, **often)
    resumed.train(resume_from_checkpoint=str(complete_checkpoints(tmp_path / "stopped")[-1]))
    assert losses(resumed) == losses(unbroken)
    assert logged(resumed) == logged(unbroken)
    assert (
        score_file_path(tmp_path / "stopped", 2).read_bytes() == score_file_path(tmp_path / "unbroken", 2).read_bytes()
    )


def test_a_resumed_run_without_its_bank_is_refused(rows, tokenizer, tmp_path):
    often = {"save_strategy": "steps", "save_steps": 4}
    make_trainer(RefreshedScores(EpochScore()), rows, tokenizer, tmp_path, epochs=1, **often).train()
    score_file_path(tmp_path, 0).write_bytes(b"half")
    trainer = make_trainer(RefreshedScores(EpochScore()), rows, tokenizer, tmp_path, epochs=1, **often)
    with pytest.raises(InputError, match="is missing or cut short"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))


def test_mistakes_are_answered_in_words(rows, tokenizer, refused, pretrain_command, tmp_path):
    with pytest.raises(InputError, match="at least 1"):
        RefreshedScores(Entropy(), 0)
    with pytest.raises(InputError, match="train with MaskingTrainer"):
        Masker(RefreshedScores(Entropy()), tokenizer)(make_batch(tokenizer, [[2, 7, 3]]))
    command = [*pretrain_command, "--out", str(tmp_path / "run"), "--recipe", "random"]
    assert "refresh_epochs = 1 is for entropy and surprisal" in refused([*command, "--set", "masking.refresh_epochs=1"])


@pytest.fixture(scope="module")
def stale_command(document_data, pretrain_command) -> list[str]:
    """Two epochs and a bit, refreshed in each; saves at every fifth step."""
    num_rows = len(open_data(document_data).train)
    size = num_rows // 9 + 1  # 9 steps an epoch
    changes = {"trainer.per_device_train_batch_size": size, "trainer.max_steps": 22, "trainer.save_steps": 5,
               "masking.refresh_epochs": 1}  # fmt: skip
    assignments = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    return [*pretrain_command, "--data", str(document_data), "--recipe", "entropy-self-cold", *assignments]


@pytest.fixture(scope="module")
def unbroken(run_maskwise, stale_command, tmp_path_factory) -> Path:
    """The run that others must equal."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    run_maskwise([*stale_command, "--out", str(out)])
    return out


def curve(run: Path) -> dict[int | str, float]:
    """The loss at each step and the overlap at each refresh."""
    records = read_metrics(run / "metrics.jsonl")
    overlaps = {f"overlap {r['step']}": r["refresh_overlap"] for r in records if "refresh_overlap" in r}
    return {r["step"]: r["loss"] for r in records if "loss" in r} | overlaps


def test_a_killed_run_ends_with_the_bytes_of_the_unbroken_one(
    unbroken, stale_command, killed_when, run_maskwise, tmp_path
):
    """Killed inside the second epoch, after a checkpoint there: only the score file of that epoch's start will do."""
    out = tmp_path / "killed"
    command = [*stale_command, "--out", str(out), "--resume"]
    killed_when(command, (out / "checkpoint-15" / MARKER).exists)
    assert not (out / "done.json").exists()
    assert score_file_path(out, 1).exists()
    run_maskwise(command)
    assert (out / "model.safetensors").read_bytes() == (unbroken / "model.safetensors").read_bytes()
    assert curve(out) == curve(unbroken)
    assert len(curve(out)) == 24  # 22 losses, 2 overlaps
    assert not list(out.glob("scores-*"))


def test_two_processes_share_one_bank(run_maskwise, two_processes, stale_command, document_data, tmp_path):
    """A rank that read a bank before the other had written its share would mask by zeros."""
    last = -(-len(open_data(document_data).train) // 32)  # its batch is short, and filled up for two
    curves = []
    for parts in (1, 2):
        out = tmp_path / str(parts)
        settings = (f"trainer.per_device_train_batch_size={32 // parts}", f"trainer.max_steps={last + 2}",
                    "model.initialization=default")  # fmt: skip
        assigned = [part for setting in settings for part in ("--set", setting)]
        run_maskwise(
            [*stale_command, "--out", str(out), *assigned], **{"launcher": two_processes()} if parts == 2 else {}
        )
        curves.append(curve(out))
    assert curves[0].keys() == curves[1].keys()
    apart = {step: abs(curves[0][step] - value) for step, value in curves[1].items()}
    assert max(apart[step] for step in range(1, last)) < 1e-4
    assert max(apart[step] for step in (f"overlap {last}", last + 1, last + 2)) < 0.01
