"""Saliency through the embedding tap against the one-hot gradient by brute force.

Shapes: B sequences, T positions, R labelled rows, V vocabulary, D width of the embedding.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from architectures import ARCHITECTURES, LENGTH, VOCAB_SIZE, random_model
from maskwise.errors import InputError
from maskwise.masking.saliency import position_saliency
from maskwise.models.embedding import EmbeddingTap
from maskwise.models.sparse import SparseHead

MASK = 4
SEQ2SEQ = {"bart", "mbart", "mvp"}
ENCODERS = sorted(ARCHITECTURES.keys() - SEQ2SEQ - {"perceiver"})


def masked_batch(length: int = LENGTH) -> tuple[Tensor, Tensor, Tensor]:
    """Returns original ids, what the model sees, and where they differ."""
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(5, VOCAB_SIZE, (3, length), generator=generator)
    masked_BT = torch.rand(3, length, generator=generator) < 0.3
    assert masked_BT.any()
    return ids_BT, torch.where(masked_BT, MASK, ids_BT), masked_BT


def one_hot_gradient(model: PreTrainedModel, seen_BT: Tensor, targets_R: Tensor, rows_BT: Tensor) -> Tensor:
    """dL/dX [B, T, V] where the model reads the one-hot X in place of ids: its embedding becomes a product."""
    embedding = model.get_input_embeddings()
    forward, made = embedding.forward, embedding(torch.arange(VOCAB_SIZE))
    table_VD = (made[0] if isinstance(made, tuple) else made).detach()
    one_hot_BTV = F.one_hot(seen_BT, VOCAB_SIZE).float().requires_grad_()

    def product(ids_BT):
        embedding.forward = forward
        filled_up_BTV = torch.cat([one_hot_BTV, F.one_hot(ids_BT[:, seen_BT.shape[1] :], VOCAB_SIZE)], dim=1)
        return (filled_up_BTV @ table_VD, None) if isinstance(made, tuple) else filled_up_BTV @ table_VD

    embedding.forward = product
    loss = F.cross_entropy(model(seen_BT)[0][rows_BT], targets_R)
    return torch.autograd.grad(loss, one_hot_BTV)[0]


# An odd length too: Longformer fills its input up to whole windows.
@pytest.mark.parametrize(
    ("architecture", "length"), [*((name, LENGTH) for name in ENCODERS), ("longformer", LENGTH - 2)]
)
def test_saliency_equals_the_one_hot_gradient(architecture, length):
    model, (ids_BT, seen_BT, masked_BT) = random_model(architecture), masked_batch(length)
    targets_R = ids_BT[masked_BT]
    one_hot_BTV = one_hot_gradient(model, seen_BT, targets_R, masked_BT)
    expected_BT = one_hot_BTV.gather(-1, ids_BT[..., None])[..., 0]
    tap, head = EmbeddingTap(model), SparseHead(model)
    with tap.open():
        F.cross_entropy(head.logits({"input_ids": seen_BT}, masked_BT), targets_R).backward()
    found_BT = position_saliency(tap.gradients(seen_BT), tap.embed(ids_BT))
    assert expected_BT.abs().max() > 1e-4
    assert (found_BT - expected_BT).abs().max() < 1e-5 * min(1, expected_BT.abs().max().item())


@pytest.mark.parametrize(
    "architecture", ["bert", "roberta", "distilbert", "albert", "electra", "deberta-v2", "modernbert"]
)
def test_it_is_the_gradient_through_the_models_own_inputs_embeds(architecture):
    """A second road to the same numbers, with nothing put in place of the model's own code."""
    model, (ids_BT, seen_BT, masked_BT) = random_model(architecture), masked_batch()
    one_hot_BTV = F.one_hot(seen_BT, VOCAB_SIZE).float().requires_grad_()
    logits_BTV = model(inputs_embeds=one_hot_BTV @ model.get_input_embeddings().weight).logits
    (gradient_BTV,) = torch.autograd.grad(F.cross_entropy(logits_BTV[masked_BT], ids_BT[masked_BT]), one_hot_BTV)
    tap = EmbeddingTap(model)
    with tap.open():
        F.cross_entropy(model(seen_BT).logits[masked_BT], ids_BT[masked_BT]).backward()
    found_BT = position_saliency(tap.gradients(seen_BT), tap.embed(ids_BT))
    torch.testing.assert_close(found_BT, gradient_BTV.gather(-1, ids_BT[..., None])[..., 0], rtol=1e-4, atol=1e-6)


def test_a_frozen_embedding_has_a_gradient_too_and_nothing_stays_on_the_model():
    model, (ids_BT, seen_BT, masked_BT) = random_model("bert"), masked_batch()
    model.requires_grad_(False)
    tap = EmbeddingTap(model)
    with tap.open():
        F.cross_entropy(model(seen_BT).logits[masked_BT], ids_BT[masked_BT]).backward()
    assert tap.gradients(seen_BT).abs().sum() > 0
    assert not model.get_input_embeddings()._forward_hooks
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("architecture", sorted(SEQ2SEQ))
def test_encoder_decoders_are_refused_in_words(architecture):
    model, (_, seen_BT, _) = random_model(architecture), masked_batch()
    tap = EmbeddingTap(model)
    with tap.open():
        model(seen_BT).logits.sum().backward()
    with pytest.raises(InputError, match="use an encoder"):
        tap.gradients(seen_BT)


def test_an_embedding_that_is_no_module_is_refused_in_words():
    model = random_model("perceiver")
    with pytest.raises(InputError, match="PerceiverForMaskedLM is not a module"):
        EmbeddingTap(model)
