"""Dropout from bits has the distribution, the scale and the gradient of torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from architectures import ARCHITECTURES, random_batch, random_model
from maskwise.training.cpu_dropout import BIT_DROPOUT, BitDropout, bit_dropout_attention, use_bit_dropout


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
    use_bit_dropout(tiny_model)
    assert any(isinstance(module, BitDropout) for module in tiny_model.modules())
    assert not any(type(module) is nn.Dropout for module in tiny_model.modules())
    torch.testing.assert_close(tiny_model.eval()(**inputs).logits, before)


def test_what_is_saved_says_nothing_of_it(tiny_model, tmp_path):
    use_bit_dropout(tiny_model)
    tiny_model.save_pretrained(tmp_path)
    assert "maskwise" not in (tmp_path / "config.json").read_text()
    assert type(tiny_model).from_pretrained(tmp_path).config._attn_implementation == "sdpa"


NONE_DROPPED = 1e-9  # rounds to no step of 1/65536, and takes the way of training


@pytest.mark.parametrize("mask", ["none", "bool", "summand"])
def test_attention_that_drops_nothing_is_torchs(mask):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 7, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    allowed = torch.rand(2, 1, 7, 7) < 0.7
    allowed[..., 0] = True
    given = {"none": None, "bool": allowed, "summand": torch.randn(2, 1, 7, 7, dtype=torch.float64)}[mask]
    encoder = nn.Module()
    encoder.is_causal = False
    ours, _ = bit_dropout_attention(encoder, query, key, value, given, NONE_DROPPED, scaling=0.3)
    expected = F.scaled_dot_product_attention(query, key, value, given, scale=0.3).transpose(1, 2)
    torch.testing.assert_close(ours, expected)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad((out * weights).sum(), (query, key, value)) for out in (ours, expected)]
    torch.testing.assert_close(*gradients)


def test_attention_drops_the_share_it_is_told_and_keeps_the_mean():
    """With one value vector of ones the output is the sum of what is left of the weights: 1 on average."""
    torch.manual_seed(0)
    encoder = nn.Module()
    encoder.is_causal = False
    shape = (64, 4, 32, 1)
    sums, _ = bit_dropout_attention(encoder, torch.zeros(shape), torch.zeros(shape), torch.ones(shape), None, 0.5)
    kept = sums * 32 * 0.5  # of 32 equal weights, doubled
    torch.testing.assert_close(kept, kept.round())
    assert abs(kept.mean().item() - 16) < 5 * (32 / 4) ** 0.5 / kept.numel() ** 0.5


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.keys() - {"big_bird"}))  # which draws blocks in training
def test_every_architecture_computes_the_same_where_nothing_is_dropped(architecture):
    model = random_model(architecture)
    use_bit_dropout(model)
    drop_nothing(model)
    batch, _, _ = random_batch()
    with torch.no_grad():
        expected, found = model.eval()(**batch).logits, model.train()(**batch).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_most_architectures_have_the_attention_that_is_replaced():
    def is_replaced(architecture: str) -> bool:
        model = random_model(architecture)
        use_bit_dropout(model)
        return model.config._attn_implementation == BIT_DROPOUT

    assert sum(map(is_replaced, ARCHITECTURES)) > len(ARCHITECTURES) / 2


def drop_nothing(model: nn.Module) -> None:
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, float) and (name == "p" or "dropout" in name):
                setattr(module, name, NONE_DROPPED)
