"""MaskingTrainer against the arithmetic it stands for."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import TrainingArguments

from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform
from maskwise.scores.model import Entropy
from maskwise.training import trainer as trainer_module
from maskwise.training.distill import Distillation
from maskwise.training.indexed_rows import IndexedRows
from maskwise.training.trainer import MaskingTrainer

TEXT = "the girl walked by the river and a dog was quickly playing in her green garden on a good day"


@pytest.fixture
def rows(tiny_tokenizer):
    """Sentences of 3 to 18 words: blocks of unequal length."""
    return [{"input_ids": tiny_tokenizer(" ".join(TEXT.split()[: 3 + i % 16]))["input_ids"]} for i in range(32)]


def trainer_of(model, tokenizer, rows, out, *, score=uniform, distillation=None, **options) -> MaskingTrainer:
    defaults = {"max_steps": 1, "per_device_train_batch_size": 8, "use_cpu": True, "save_strategy": "no"}
    args = TrainingArguments(str(out), report_to=[], disable_tqdm=True, **defaults | options)
    masker = Masker(score, tokenizer, pick="sample" if score is uniform else "high")
    return MaskingTrainer(model, args, masker=masker, train_dataset=rows, distillation=distillation)


def gradients(model, tokenizer, rows, out, **options) -> dict[str, torch.Tensor]:
    """The gradients of the first step, caught before the optimizer moves."""
    trainer = trainer_of(model, tokenizer, rows, out, max_grad_norm=0, learning_rate=0.0, **options)
    caught = {}
    step = trainer.create_optimizer().step

    def catch(*args, **kwargs):
        caught.update({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        return step(*args, **kwargs)

    trainer.optimizer.step = catch
    trainer.train()
    return caught


def test_accumulation_of_four_gives_the_gradient_of_one_large_batch(tiny_model, tiny_tokenizer, rows, tmp_path):
    """Averaging micro-batches of unequal token counts weighs short texts more, and nothing looks wrong."""
    whole = gradients(tiny_model, tiny_tokenizer, rows, tmp_path, per_device_train_batch_size=32)
    parts = gradients(tiny_model, tiny_tokenizer, rows, tmp_path, gradient_accumulation_steps=4)
    assert whole.keys() == parts.keys()
    assert sum(gradient.abs().sum() for gradient in whole.values()) > 1
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=1e-5, rtol=1e-5, msg=name)


def test_the_gradient_is_that_of_the_stock_model_on_the_same_masks(tiny_model, tiny_tokenizer, rows, tmp_path):
    ours = gradients(tiny_model, tiny_tokenizer, rows, tmp_path, per_device_train_batch_size=32)
    trainer = trainer_of(tiny_model, tiny_tokenizer, rows, tmp_path, per_device_train_batch_size=32)
    batch = trainer.masker(trainer.data_collator(IndexedRows(rows).__getitems__(list(range(32)))))
    assert (batch["labels"] != IGNORE).any()
    tiny_model.zero_grad()
    tiny_model.train()(**batch).loss.backward()
    for name, parameter in tiny_model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_scores_losses_and_teachers_run_in_the_precision_asked_for(
    tiny_model, tiny_tokenizer, rows, tmp_path, monkeypatch
):
    """The stock Trainer has bf16 inside the model's forward alone: the head outside would quietly run in float32."""
    seen = []

    def spying(function):
        def spy(*args, **kwargs):
            seen.append((function.__name__, torch.is_autocast_enabled("cpu")))
            return function(*args, **kwargs)

        return spy

    monkeypatch.setattr(trainer_module, "linear_mlm_loss", spying(trainer_module.linear_mlm_loss))
    monkeypatch.setattr(Distillation, "teacher_logits", spying(Distillation.teacher_logits))
    trainer_of(tiny_model, tiny_tokenizer, rows, tmp_path, score=spying(uniform), bf16=True).train()
    teacher = Distillation(copy.deepcopy(tiny_model))
    trainer_of(tiny_model, tiny_tokenizer, rows, tmp_path, distillation=teacher, bf16=True).train()
    assert {name for name, _ in seen} == {"uniform", "linear_mlm_loss", "teacher_logits"}
    assert all(is_on for _, is_on in seen)


def test_a_score_of_the_model_in_training_is_bound_to_it(tiny_model, tiny_tokenizer, rows, tmp_path):
    trainer = trainer_of(tiny_model, tiny_tokenizer, rows, tmp_path, score=Entropy(), max_steps=3)
    assert trainer.train().global_step == 3
    assert trainer.masker.score.student.model is trainer.model


def test_a_compiled_model_is_compiled_for_its_scores_and_exams_too(tiny_model, tiny_tokenizer, rows, tmp_path):
    """The compiler is one that changes nothing, so that losses can be held against those of an eager run."""
    losses = []
    for compiled in ({}, {"torch_compile": True, "torch_compile_backend": "eager"}):
        model, score = copy.deepcopy(tiny_model), Entropy(compiled=False)
        options = {"max_steps": 3, "logging_steps": 1, **compiled}
        trainer = trainer_of(model, tiny_tokenizer, rows, tmp_path, score=score, **options)
        trainer.train()
        trainer.evaluate(rows[:8])
        losses.append([record[name] for record in trainer.state.log_history for name in record if "loss" in name])
        for head in (trainer.head, score.student):
            assert (getattr(head.model, "_orig_mod", None) is model) == bool(compiled)
    assert len(losses[0]) > 3
    assert losses[0] == pytest.approx(losses[1], abs=1e-6, nan_ok=True)  # an empty fifth of the evaluation


def test_a_teacher_that_would_never_hand_over_is_refused(tiny_model, tiny_tokenizer, rows, tmp_path):
    score = Entropy(copy.deepcopy(tiny_model), steps=5)
    trainer = trainer_of(tiny_model, tiny_tokenizer, rows, tmp_path, score=score, max_steps=5)
    with pytest.raises(InputError, match="end before the teacher's phase"):
        trainer.train()


def test_a_collator_beside_the_masker_is_refused(tiny_model, tiny_tokenizer, rows, tmp_path):
    args = TrainingArguments(str(tmp_path), use_cpu=True)
    with pytest.raises(InputError, match="leave out data_collator"):
        MaskingTrainer(tiny_model, args, masker=Masker(uniform, tiny_tokenizer), train_dataset=rows, data_collator=list)
