"""Losses against float64 references written out, with their gradients.

Shapes: R labelled rows, V vocabulary.
"""

import pytest
import torch

from maskwise.masking.losses import distillation_loss, mlm_loss


def random_logits(rows=6, vocabulary=11, seed=0):
    return 3 * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed))


def reference_mlm(logits_RV, targets_R, count):
    return sum(row.exp().sum().log() - row[target] for row, target in zip(logits_RV, targets_R, strict=True)) / count


def reference_distillation(student_RV, teacher_RV, count, temperature):
    p_RV = (teacher_RV / temperature).exp() / (teacher_RV / temperature).exp().sum(-1, keepdim=True)
    q_RV = (student_RV / temperature).exp() / (student_RV / temperature).exp().sum(-1, keepdim=True)
    return temperature**2 * (p_RV * (p_RV.log() - q_RV.log())).sum() / count


def with_gradient(loss, logits_RV, *rest):
    leaf_RV = logits_RV.clone().requires_grad_()
    value = loss(leaf_RV, *rest)
    value.backward()
    return value.detach(), leaf_RV.grad


@pytest.mark.parametrize("count", [None, 6, 10])
def test_the_masked_lm_loss_and_its_gradient_equal_a_float64_reference(count):
    logits_RV, targets_R = random_logits(), torch.tensor([0, 10, 3, 3, 7, 1])
    value, gradient_RV = with_gradient(mlm_loss, logits_RV, targets_R, count)
    expected, expected_RV = with_gradient(reference_mlm, logits_RV.double(), targets_R, count or 6)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.allclose(gradient_RV.double(), expected_RV, atol=1e-7)
    assert gradient_RV.abs().max() > 0.01


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("count", [None, 9])
def test_the_distillation_loss_and_its_gradient_equal_a_float64_reference(temperature, count):
    student_RV, teacher_RV = random_logits(), random_logits(seed=1)
    value, gradient_RV = with_gradient(distillation_loss, student_RV, teacher_RV, count, temperature)
    expected, expected_RV = with_gradient(
        reference_distillation, student_RV.double(), teacher_RV.double(), count or 6, temperature
    )
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(gradient_RV.double(), expected_RV, atol=1e-6)


def test_the_gradient_of_distillation_keeps_its_size_at_high_temperature():
    """Without the factor T^2 the teacher's part would fade as 1/T^2 beside the gold labels'."""
    student_RV, teacher_RV = random_logits(vocabulary=4) / 3, random_logits(vocabulary=4, seed=1) / 3
    norms = [with_gradient(distillation_loss, student_RV, teacher_RV, 6, t)[1].norm() for t in (10.0, 100.0)]
    assert norms[1] == pytest.approx(norms[0].item(), rel=0.1)


def test_no_gradient_reaches_the_teacher():
    teacher_RV = random_logits().requires_grad_()
    distillation_loss(random_logits(seed=1).requires_grad_(), teacher_RV).backward()
    assert teacher_RV.grad is None


@pytest.mark.parametrize("count", [None, 0, 5, torch.tensor(0)])
def test_no_labelled_row_gives_a_zero_that_still_has_a_gradient(count):
    """0 / 0 would make the loss not finite whenever a micro-batch has nothing masked."""
    logits_RV = random_logits(rows=0).requires_grad_()
    no_targets_R = torch.zeros(0, dtype=torch.int64)
    for loss in (mlm_loss(logits_RV, no_targets_R, count), distillation_loss(logits_RV, logits_RV, count)):
        loss.backward()
        assert loss.item() == 0.0
        assert logits_RV.grad is not None


def test_micro_batches_that_share_one_count_add_up_to_the_whole():
    logits_RV, teacher_RV, targets_R = random_logits(), random_logits(seed=1), torch.tensor([0, 10, 3, 3, 7, 1])
    parts = slice(0, 1), slice(1, 1), slice(1, 6)
    for loss, others in ((mlm_loss, targets_R), (distillation_loss, teacher_RV)):
        whole, whole_RV = with_gradient(loss, logits_RV, others)
        pieces = [with_gradient(loss, logits_RV[part], others[part], torch.tensor(6)) for part in parts]
        assert sum(value for value, _ in pieces).item() == pytest.approx(whole.item(), rel=1e-6)
        assert torch.allclose(torch.cat([gradient for _, gradient in pieces]), whole_RV, atol=1e-7)


def test_half_precision_logits_are_summed_in_float32():
    logits_RV, targets_R = random_logits(rows=2000).bfloat16(), torch.zeros(2000, dtype=torch.int64)
    expected = reference_mlm(logits_RV.double(), targets_R, 2000)
    assert mlm_loss(logits_RV, targets_R).dtype == torch.float32
    assert mlm_loss(logits_RV, targets_R).item() == pytest.approx(expected.item(), rel=1e-5)
