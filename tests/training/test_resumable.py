"""Checkpoints of a run in a script: which are kept, which are resumed from, and what a resumed run ends in."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from maskwise.errors import InputError
from maskwise.files.checkpoint_folders import MARKER, TRAINER_STATE, complete_checkpoints
from maskwise.files.checksums import record_files
from maskwise.masking.masker import Masker
from maskwise.masking.score import StatefulScore, uniform
from training.conftest import logged

SAVED = {"max_steps": 8, "save_strategy": "steps", "save_steps": 2, "logging_steps": 3}


class Counts(StatefulScore):
    """A score by how often each token has been seen: without its state, a resumed run masks other tokens."""

    def __init__(self, num_ids):
        self.add_state("seen_V", torch.zeros(num_ids))

    def __call__(self, batch):
        ids_BT = batch["input_ids"]
        self.seen_V += torch.bincount(ids_BT.flatten(), minlength=len(self.seen_V))
        return self.seen_V[ids_BT]


class StopAt(TrainerCallback):
    """Ends a run as a kill does, after the checkpoint of a step."""

    def __init__(self, step):
        self.step = step

    def on_save(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def make_counting(make_trainer, tiny_tokenizer):
    """Makes a trainer whose score counts; one that is killed if `stop` names a step."""

    def make(stop=None, **options):
        masker = Masker(Counts(len(tiny_tokenizer)), tiny_tokenizer, pick="low")
        callbacks = [] if stop is None else [StopAt(stop)]
        return make_trainer({"masker": masker, "callbacks": callbacks}, **SAVED | options)

    return make


@pytest.fixture
def killed(make_counting, out):
    """A folder with the checkpoints 2 and 4 of a run of 8 steps."""
    with pytest.raises(KeyboardInterrupt):
        make_counting(stop=4).train()
    assert [path.name for path in complete_checkpoints(out)] == ["checkpoint-2", "checkpoint-4"]
    return out


def ended(trainer):
    """What a run came to: weights, losses, the score's state, and the rate that was not reported yet."""
    weights = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    return weights, logged(trainer), trainer.masker.score.seen_V.clone(), trainer.rate_meter.state_dict()["counts"]


def test_a_resumed_script_ends_as_the_unbroken_one(killed, make_counting, tmp_path):
    """The Trainer loads weights and optimizer; the score, the meter and the losses since the last log began anew."""
    resumed = make_counting()
    output = resumed.train(resume_from_checkpoint=True)
    unbroken = make_counting(output_dir=str(tmp_path / "unbroken"))
    expected = unbroken.train()
    for found, other in zip(ended(resumed), ended(unbroken), strict=True):
        torch.testing.assert_close(found, other, rtol=0, atol=0)
    assert len(logged(resumed)) == 2  # at steps 3 and 6: the second has losses from before and after the kill
    assert output.training_loss == expected.training_loss == output.metrics["train_loss"]


def test_a_checkpoint_of_the_last_step_is_taken_as_it_is(make_counting, out):
    """The Trainer itself takes one more step from there."""
    first = make_counting()
    first.train()
    weights = ended(first)[0]
    again = make_counting()
    assert again.train(resume_from_checkpoint=True).global_step == 8
    torch.testing.assert_close(ended(again)[0], weights, rtol=0, atol=0)


def test_the_newest_marked_checkpoint_is_resumed_from(killed, make_counting):
    """A kill in the middle of a save leaves a folder without a marker, which may lack half of its files."""
    (killed / "checkpoint-4" / MARKER).unlink()
    trainer = make_counting()
    trainer.train(resume_from_checkpoint=True)
    assert trainer.resumed_from == str(killed / "checkpoint-2")


def test_a_path_without_a_marker_is_refused(killed, make_counting):
    (killed / "checkpoint-4" / MARKER).unlink()
    with pytest.raises(InputError, match=r"checkpoint-4 cannot be resumed from: its complete.json cannot be read"):
        make_counting().train(resume_from_checkpoint=killed / "checkpoint-4")
    with pytest.raises(InputError, match="there is no such folder"):
        make_counting().train(resume_from_checkpoint=str(killed / "checkpoint-6"))


def test_nothing_to_resume_from_is_refused(make_counting):
    with pytest.raises(InputError, match=r"no complete checkpoint in .* to resume from. Call train\(\)"):
        make_counting().train(resume_from_checkpoint=True)


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "score_state.pt", "rng_state.pth"])
def test_a_damaged_checkpoint_is_passed_over_and_said(name, killed, make_counting):
    """One flipped bit of a weight changes every loss after it, and nothing else shows it."""
    flip(killed / "checkpoint-4" / name)
    said, trainer = [], make_counting()
    trainer.say = said.append
    trainer.train(resume_from_checkpoint=True)
    assert trainer.resumed_from == str(killed / "checkpoint-2")
    assert len(said) == 1 and f"{name} is not what was written" in said[0]
    assert "resuming from checkpoint-2 instead" in said[0]


def test_a_damaged_checkpoint_given_by_its_path_is_refused(killed, make_counting):
    flip(killed / "checkpoint-4" / "model.safetensors")
    with pytest.raises(InputError, match=r"model.safetensors is not what was written"):
        make_counting().train(resume_from_checkpoint=killed / "checkpoint-4")


def test_if_every_checkpoint_is_damaged_the_run_is_not_begun_anew(killed, make_counting):
    for step in (2, 4):
        flip(killed / f"checkpoint-{step}" / "optimizer.pt")
    with pytest.raises(InputError, match=r"Every checkpoint in .* is damaged"):
        make_counting().train(resume_from_checkpoint=True)
    assert len(complete_checkpoints(killed)) == 2


def test_a_state_beyond_the_end_is_no_checkpoint(killed, make_counting):
    """Resumed from, such a run trained nothing and counted as done."""
    state = json.loads((killed / "checkpoint-4" / TRAINER_STATE).read_text())
    (killed / "checkpoint-4" / TRAINER_STATE).write_text(json.dumps(state | {"global_step": 100}))
    trainer = make_counting()
    trainer.train(resume_from_checkpoint=True)
    assert trainer.resumed_from == str(killed / "checkpoint-2") and trainer.state.global_step == 8


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"learning_rate": 2e-3}, "learning_rate: 0.001, now 0.002"),
        ({"per_device_train_batch_size": 4}, "per_device_train_batch_size: 8, now 4"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps: 1, now 2"),
        ({"seed": 1}, "seed: 42, now 1"),
        ({"max_steps": 9}, "max_steps: 8, now 9"),
    ],
)
def test_settings_that_would_change_the_losses_are_refused(options, what, killed, make_counting):
    with pytest.raises(InputError, match=what):
        make_counting(**options).train(resume_from_checkpoint=True)


def test_a_checkpoint_without_an_optimizer_is_not_resumed_from(make_counting, out):
    """The Trainer goes on with a new optimizer, and says nothing."""
    with pytest.raises(KeyboardInterrupt):
        make_counting(stop=4, save_only_model=True).train()
    with pytest.raises(InputError, match=r"holds the model alone \(save_only_model\)"):
        make_counting(save_only_model=True).train(resume_from_checkpoint=True)


def test_settings_that_change_no_loss_may_differ(killed, make_counting):
    trainer = make_counting(logging_steps=1, save_steps=4, save_total_limit=1, dataloader_num_workers=0)
    assert trainer.train(resume_from_checkpoint=True).global_step == 8


def test_other_rows_or_another_masker_are_refused(killed, make_trainer, sentences, tiny_tokenizer):
    counts = Counts(len(tiny_tokenizer))
    others = {
        "training rows: 32 rows": {
            "masker": Masker(counts, tiny_tokenizer, pick="low"),
            "train_dataset": sentences[::-1],
        },
        "masker: ": {"masker": Masker(counts, tiny_tokenizer, pick="low", rate=0.3)},
        "score: .*Counts": {"masker": Masker(uniform, tiny_tokenizer, pick="low")},
    }
    for what, given in others.items():
        with pytest.raises(InputError, match=what):
            make_trainer(given, **SAVED).train(resume_from_checkpoint=True)


class BreakAt(TrainerCallback):
    """Makes a weight NaN in the update of a step; the loss before it was finite."""

    def __init__(self, step):
        self.step = step

    def on_optimizer_step(self, args, state, control, model=None, **kwargs):
        if state.global_step + 1 == self.step:
            with torch.no_grad():
                next(model.parameters())[-1] = float("nan")


def test_weights_that_are_not_finite_are_never_the_last_good_ones(make_trainer, out):
    """The loss is finite, its update is not: saved and marked, it would push the good checkpoint out."""
    options = SAVED | {"save_steps": 1, "save_total_limit": 1}
    trainer = make_trainer({"callbacks": [BreakAt(3)]}, **options)
    with pytest.raises(InputError, match=r"weights were not finite after step 3.*last good checkpoint is .*-2\."):
        trainer.train()
    assert [path.name for path in complete_checkpoints(out)] == ["checkpoint-2"]
    assert make_trainer(**options).train(resume_from_checkpoint=True).global_step == 8


def test_moments_that_are_not_finite_are_not_saved_either(make_trainer, out):
    class Moments(TrainerCallback):
        def on_step_end(self, args, state, control, optimizer=None, **kwargs):
            if state.global_step == 4:
                next(iter(optimizer.state.values()))["exp_avg"].fill_(float("inf"))

    with pytest.raises(InputError, match="not finite after step 4"):
        make_trainer({"callbacks": [Moments()]}, **SAVED).train()
    assert [path.name for path in complete_checkpoints(out)] == ["checkpoint-2"]


def test_a_run_does_not_end_well_with_weights_that_are_not_finite(make_trainer):
    with pytest.raises(InputError, match="not finite after step 4"):
        make_trainer({"callbacks": [BreakAt(4)]}, save_strategy="no").train()


def test_a_checkpoint_whose_weights_are_not_finite_is_passed_over(killed, make_counting):
    """As older versions saved them, with a marker."""
    file = killed / "checkpoint-4" / "model.safetensors"
    tensors = load_file(file)
    tensors["cls.predictions.bias"][3] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    marker = json.loads((file.parent / MARKER).read_text())
    (file.parent / MARKER).unlink()
    (file.parent / MARKER).write_text(json.dumps(marker | {"files": record_files(file.parent)}))
    said, trainer = [], make_counting()
    trainer.say = said.append
    trainer.train(resume_from_checkpoint=True)
    assert trainer.resumed_from == str(killed / "checkpoint-2") and "not finite" in said[0]


class Grades:
    """A `compute_metrics` whose figure is best at the second evaluation."""

    def __init__(self, *figures):
        self.figures = iter(figures)

    def __call__(self, predictions):
        return {"mine": next(self.figures)}


BEST = SAVED | {
    "eval_strategy": "steps", "eval_steps": 2, "save_total_limit": 1, "load_best_model_at_end": True,
    "metric_for_best_model": "mine", "greater_is_better": True,
}  # fmt: skip


def best_trainer(make_trainer, sentences, figures=(1, 3, 2, 0), callbacks=(), **options):
    given = {"eval_dataset": sentences, "compute_metrics": Grades(*figures), "callbacks": list(callbacks)}
    return make_trainer(given, **BEST | options)


def test_the_best_checkpoint_is_kept_and_its_model_returned(make_trainer, sentences, out):
    """With a limit of 1 the best checkpoint was deleted, and the last model returned in its place."""
    trainer = best_trainer(make_trainer, sentences)
    trainer.train()
    assert [path.name for path in complete_checkpoints(out)] == ["checkpoint-4", "checkpoint-8"]
    saved = load_file(out / "checkpoint-4" / "model.safetensors")
    last = load_file(out / "checkpoint-8" / "model.safetensors")
    found = trainer.model.state_dict()
    name = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(found[name], saved[name]) and not torch.equal(found[name], last[name])
    assert trainer.state.best_global_step == 4


def test_the_best_model_is_saved_when_it_is_found_whatever_save_steps(make_trainer, sentences, out):
    trainer = best_trainer(make_trainer, sentences, save_steps=8)
    trainer.train()
    assert {"checkpoint-4", "checkpoint-8"} <= {path.name for path in complete_checkpoints(out)}
    assert trainer.state.best_global_step == 4


def test_a_resumed_run_still_keeps_the_best_of_before_even_in_a_folder_that_was_moved(
    make_trainer, sentences, out, tmp_path
):
    with pytest.raises(KeyboardInterrupt):
        best_trainer(make_trainer, sentences, callbacks=[StopAt(6)]).train()
    moved = shutil.move(out, tmp_path / "moved")
    trainer = best_trainer(make_trainer, sentences, figures=(0,), output_dir=str(moved))
    trainer.train(resume_from_checkpoint=True)
    assert [path.name for path in complete_checkpoints(moved)] == ["checkpoint-4", "checkpoint-8"]
    assert trainer.state.best_model_checkpoint == str(moved / "checkpoint-4")


def test_a_resume_that_would_lose_the_best_model_is_refused(make_trainer, sentences, out):
    with pytest.raises(KeyboardInterrupt):
        best_trainer(make_trainer, sentences, callbacks=[StopAt(6)]).train()
    flip(out / "checkpoint-4" / "model.safetensors")
    with pytest.raises(InputError, match=r"best model so far is .*checkpoint-4, and .*not what was written"):
        best_trainer(make_trainer, sentences).train(resume_from_checkpoint=True)
