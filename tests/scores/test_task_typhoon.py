"""Typhoon by a task's loss: the classifier's one-hot gradient, refreshed every so many steps, kept over a kill."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import TrainerCallback, TrainingArguments

from maskwise.errors import InputError
from maskwise.masking.masker import Masker
from maskwise.scores.task_labels import LabelledRows
from maskwise.scores.task_typhoon import TaskTyphoon
from maskwise.testing import check_score
from maskwise.training.trainer import MaskingTrainer

WORDS = ["girl", "river", "dog", "garden", "day", "friend", "city", "water", "street", "book"]


@pytest.fixture
def rows(tiny_tokenizer):
    """The label is whether "good" is in the sentence."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS, 5)) + (" good" if i % 2 else " man") for i in range(96)]
    return [{"input_ids": tiny_tokenizer(text)["input_ids"], "label": i % 2} for i, text in enumerate(texts)]


@pytest.fixture
def make_score(rows, tiny_tokenizer):
    counts = np.bincount(np.concatenate([row["input_ids"] for row in rows]), minlength=len(tiny_tokenizer))

    def make(learning_rate=3e-3, epochs=3, **options):
        task = LabelledRows(rows, 0, batch_size=16, learning_rate=learning_rate, epochs=epochs)
        return TaskTyphoon(tiny_tokenizer, counts, task, **{"refresh_steps": 2, "refresh_batches": 3} | options)

    return make


def trainer_of(model, score, tokenizer, rows, out, **options) -> MaskingTrainer:
    defaults = {"max_steps": 5, "per_device_train_batch_size": 8, "use_cpu": True, "save_strategy": "no"}
    args = TrainingArguments(str(out), report_to=[], disable_tqdm=True, **defaults | options)
    masker = Masker(score, tokenizer, budget="from-scores", rate=0.2)
    texts = [{"input_ids": row["input_ids"]} for row in rows]
    return MaskingTrainer(model, args, masker=masker, train_dataset=texts)


def test_the_words_that_decide_the_label_are_masked_more(make_score, tiny_model, tiny_tokenizer, rows, tmp_path):
    score = make_score(cap=1.0)
    trainer_of(tiny_model, score, tiny_tokenizer, rows, tmp_path).train()
    rates = score.type_rates(0.2)
    deciding = [rates[tiny_tokenizer.convert_tokens_to_ids(word)].item() for word in ("good", "man")]
    others = [rates[tiny_tokenizer.convert_tokens_to_ids(word)].item() for word in WORDS]
    assert np.mean(deciding) > 2 * np.mean(others)
    assert score.num_steps == 3  # at the start, and after the second and the fourth step


def test_a_refresh_takes_up_the_classifiers_one_hot_gradient_of_the_next_batches(
    make_score, tiny_model, tiny_tokenizer, rows, tmp_path
):
    score = make_score(refresh_steps=100)
    trainer_of(tiny_model, score, tiny_tokenizer, rows, tmp_path, max_steps=1).train()
    sizes: dict[int, list[float]] = {}
    for number in range(3):
        batch = dict(score.task.batch(number))
        ids_BT = batch.pop("input_ids")
        one_hot_BTV = torch.nn.functional.one_hot(ids_BT, len(tiny_tokenizer)).float().requires_grad_()
        embeds = one_hot_BTV @ score.classifier.get_input_embeddings().weight
        (gradient_BTV,) = torch.autograd.grad(score.classifier(inputs_embeds=embeds, **batch).loss, one_hot_BTV)
        real_BT = batch.get("attention_mask", torch.ones_like(ids_BT)).bool()
        for place in real_BT.nonzero().tolist():
            sizes.setdefault(int(ids_BT[*place]), []).append(abs(gradient_BTV[*place, int(ids_BT[*place])].item()))
    seen = [token for token in sizes if score.eligible_V[token]]
    assert set(score.visited_V.nonzero().flatten().tolist()) == set(seen)
    for token in seen:
        assert float(score.saliency_V[token]) == pytest.approx(np.mean(sizes[token]), rel=1e-3, abs=1e-7)


def test_the_model_in_training_and_the_random_state_are_left_alone(
    make_score, tiny_model, tiny_tokenizer, rows, tmp_path
):
    """Tuning a classifier on the model itself, or drawing its head from the run's numbers, would be another arm."""
    trainer = trainer_of(tiny_model, make_score(), tiny_tokenizer, rows, tmp_path)
    before, state = copy.deepcopy(tiny_model.state_dict()), torch.get_rng_state()
    trainer.masker.score.on_epoch_start(trainer.score_context())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in tiny_model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in tiny_model.parameters())
    tuned = trainer.masker.score.classifier.base_model.state_dict()
    assert any(not torch.equal(tuned[name], value) for name, value in tiny_model.base_model.state_dict().items())


def test_a_stopped_run_goes_on_with_its_classifier_and_its_table(
    make_score, tiny_model, tiny_tokenizer, rows, tmp_path
):
    """Tuned again, on a copy of a model that has moved on, it would be another classifier."""

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 3

    often = {"save_strategy": "steps", "save_steps": 3, "logging_steps": 1, "learning_rate": 1e-3}
    ways = {}
    for name in ("unbroken", "stopped", "resumed"):
        out = tmp_path / ("unbroken" if name == "unbroken" else "stopped")
        trainer = trainer_of(copy.deepcopy(tiny_model), make_score(), tiny_tokenizer, rows, out, **often)
        if name == "stopped":
            trainer.add_callback(Stop())
        if name == "resumed":
            trainer.checkpoints.restore(out / "checkpoint-3")
        trainer.train(resume_from_checkpoint=str(out / "checkpoint-3") if name == "resumed" else None)
        ways[name] = trainer
    unbroken, resumed = ways["unbroken"], ways["resumed"]
    assert torch.equal(resumed.masker.score.saliency_V, unbroken.masker.score.saliency_V)
    assert resumed.masker.score.num_steps == unbroken.masker.score.num_steps == 3
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_it_keeps_the_contract_of_every_score(make_score, tiny_model, tiny_tokenizer, rows, tmp_path):
    score = make_score()
    check_score(score, tiny_tokenizer)
    trainer_of(tiny_model, score, tiny_tokenizer, rows, tmp_path, max_steps=2).train()
    check_score(score, tiny_tokenizer, model=tiny_model)


def test_batches_are_full_and_every_row_comes_once_a_round(rows):
    task = LabelledRows(rows, 0, batch_size=32)
    firsts = [tuple(ids) for number in range(3) for ids in task.batch(number)["input_ids"].tolist()]
    assert len(firsts) == len(rows)
    assert sum(task.batch(number)["labels"].sum().item() for number in range(3)) == 48
    assert not torch.equal(task.batch(0)["input_ids"], task.batch(3)["input_ids"])


def test_one_class_is_no_task(rows):
    with pytest.raises(InputError, match="two classes"):
        LabelledRows(rows[:1], 0)
