"""Distillation from a teacher of another size: one of the two embeddings is padded.

Shapes: R labelled rows, V vocabulary.
"""

import pytest
import torch
import torch.nn.functional as F
from transformers import TrainingArguments

from maskwise.errors import InputError
from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform
from maskwise.models.presets import build_model
from maskwise.scores.model import Entropy
from maskwise.training.distill import Distillation
from maskwise.training.trainer import MaskingTrainer


def sized(tokenizer, extra, seed):
    return build_model("tiny", len(tokenizer) + extra, seed=seed)


@pytest.mark.parametrize(("student_size", "teacher_size"), [(20, 24), (24, 20), (20, 20)])
def test_the_divergence_is_that_over_the_columns_both_have_and_the_gold_loss_over_all(
    tiny_model, student_size, teacher_size
):
    generator = torch.Generator().manual_seed(0)
    student_RV = torch.randn(5, student_size, generator=generator, dtype=torch.float64)
    teacher_RV = torch.randn(5, teacher_size, generator=generator, dtype=torch.float64)
    targets_R = torch.tensor([3, 7, 0, 19, 2])
    found = Distillation(tiny_model, weight=0.3, temperature=2.0).loss(student_RV, teacher_RV, targets_R)
    p_RV, q_RV = ((logits_RV[:, :20] / 2).softmax(-1) for logits_RV in (teacher_RV, student_RV))
    divergence = (p_RV * (p_RV.log() - q_RV.log())).sum(-1).mean()
    expected = 0.7 * F.cross_entropy(student_RV, targets_R) + 0.3 * 4 * divergence
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize(("student_extra", "teacher_extra"), [(0, 25), (25, 0)])
def test_a_run_is_scored_and_distilled_by_a_teacher_that_is_padded_otherwise(
    tiny_tokenizer, tmp_path, student_extra, teacher_extra
):
    rows = [{"input_ids": [2, *range(20 + i, 40 + i), 3]} for i in range(16)]
    teacher = sized(tiny_tokenizer, teacher_extra, seed=1)
    trainer = MaskingTrainer(
        sized(tiny_tokenizer, student_extra, seed=0),
        TrainingArguments(str(tmp_path), max_steps=2, use_cpu=True, report_to=[], disable_tqdm=True, logging_steps=1),
        masker=Masker(Entropy(teacher), tiny_tokenizer),
        distillation=Distillation(teacher),
        train_dataset=rows,
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 2 and all(0 < loss < 10 for loss in losses)


def test_a_teacher_of_another_tokenizer_is_refused_before_the_first_step(tiny_tokenizer, tmp_path):
    """Distilled, it ended in a traceback about the size of a tensor."""
    with pytest.raises(InputError, match="must share the tokenizer"):
        MaskingTrainer(
            sized(tiny_tokenizer, 0, seed=0),
            TrainingArguments(str(tmp_path), use_cpu=True, report_to=[]),
            masker=Masker(uniform, tiny_tokenizer),
            distillation=Distillation(sized(tiny_tokenizer, -10, seed=1)),
            train_dataset=[{"input_ids": [2, 20, 3]}],
        )
