"""Dropout from bits has the distribution, the scale and the gradient of torch's own."""

from __future__ import annotations

import pytest
import torch

from maskwise.models.dropout import BitDropout, use_bit_dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_dropped_and_the_mean_are_those_of_dropout(p):
    torch.manual_seed(0)
    kept = BitDropout(p).train()(torch.ones(1001, 997))
    share = (kept == 0).double().mean().item()
    assert abs(share - p) < 5 * (p * (1 - p) / kept.numel()) ** 0.5 + 2**-16
    torch.testing.assert_close(kept.max().item(), 1 / (1 - round(p * 65536) / 65536))


def test_neighbours_are_dropped_independently():
    """Four elements share one 64-bit word: a lane with a fixed bit would show here."""
    torch.manual_seed(1)
    dropped = (BitDropout(0.5).train()(torch.ones(1 << 20)) == 0).double().view(-1, 4)
    assert (dropped.mean(0) - 0.5).abs().max() < 0.005
    correlations = torch.corrcoef(dropped.t()) - torch.eye(4)
    assert correlations.abs().max() < 0.01


def test_the_gradient_follows_the_mask():
    values = torch.randn(64, 32, requires_grad=True)
    out = BitDropout(0.3).train()(values)
    out.sum().backward()
    torch.testing.assert_close(values.grad, (out / values).detach())


def test_the_random_state_decides_the_mask():
    """A checkpoint restores the state: draws from elsewhere would break an exact resume."""
    module, ones = BitDropout(0.2).train(), torch.ones(100)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = module(ones)
    torch.set_rng_state(state)
    assert torch.equal(first, module(ones))
    assert not torch.equal(first, module(ones))


def test_a_model_keeps_its_weights_and_its_evaluation(tiny_model):
    inputs = {"input_ids": torch.arange(20).view(2, 10)}
    before = tiny_model.eval()(**inputs).logits
    assert use_bit_dropout(tiny_model) > 0
    torch.testing.assert_close(tiny_model.eval()(**inputs).logits, before)
    assert use_bit_dropout(tiny_model) == 0
