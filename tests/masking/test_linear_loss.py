"""The loss from hidden rows against the loss from dense logits, with every gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from maskwise.masking.linear_loss import linear_mlm_loss
from maskwise.masking.losses import mlm_loss


def rows(num_rows: int, num_vocab: int, width: int = 24, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden_RD, weight_VD = (torch.randn(size, width, generator=generator) for size in (num_rows, num_vocab))
    bias_V = torch.randn(num_vocab, generator=generator)
    targets_R = torch.randint(num_vocab, (num_rows,), generator=generator)
    return hidden_RD, weight_VD, bias_V, targets_R


def loss_and_gradients(loss, hidden_RD, weight_VD, bias_V, targets_R):
    leaves = [tensor.detach().clone().requires_grad_() for tensor in (hidden_RD, weight_VD, bias_V)]
    value = loss(*leaves, targets_R)
    (3 * value).backward()
    return [value.detach(), *(leaf.grad for leaf in leaves)]


def dense(hidden_RD, weight_VD, bias_V, targets_R):
    return mlm_loss(hidden_RD @ weight_VD.t() + bias_V, targets_R, 7)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("num_rows", "num_vocab"), [(1, 5), (3, 64), (37, 2049), (1030, 4100)])
def test_loss_and_gradients_equal_the_dense_ones(num_rows, num_vocab, compiled):
    """More rows and columns than a tile has, one row, and a vocabulary that does not fill its last tile."""
    given = rows(num_rows, num_vocab)
    ours = loss_and_gradients(lambda *args: linear_mlm_loss(*args, 7, compiled=compiled), *given)
    doubles = [tensor.double() for tensor in given[:3]]
    for mine, exact in zip(ours, loss_and_gradients(lambda *args: dense(*args), *doubles, given[3]), strict=True):
        torch.testing.assert_close(mine, exact.float(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_under_bf16_autocast_it_is_as_near_to_the_truth_as_the_dense_loss(compiled):
    given = rows(200, 3000)
    exact = loss_and_gradients(dense, *(tensor.double() for tensor in given[:3]), given[3])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = loss_and_gradients(lambda *args: linear_mlm_loss(*args, 7, compiled=compiled), *given)
        stock = loss_and_gradients(
            lambda hidden, weight, bias, targets: mlm_loss(F.linear(hidden, weight, bias), targets, 7), *given
        )
    for mine, theirs, truth in zip(ours, stock, exact, strict=True):
        assert mine.dtype == torch.float32
        assert (mine - truth).norm() <= 1.5 * (theirs - truth).norm() + 1e-6


def test_zero_rows_give_a_zero_that_still_has_a_gradient():
    """A micro-batch without a label must not break the backward pass of the others."""
    ours = loss_and_gradients(lambda *args: linear_mlm_loss(*args, compiled=False), *rows(0, 50))
    assert [value.abs().sum().item() for value in ours] == [0, 0, 0, 0]
