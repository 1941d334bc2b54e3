from __future__ import annotations

import math

import pytest
import torch
from transformers import BertForMaskedLM

from maskwise.masking.losses import mlm_loss
from maskwise.models.initialization import start_at_unigram
from maskwise.models.presets import build_model, preset_config

VOCABULARY = 60


def where_heads_look(model, layer):
    """The place, relative to itself, at which each head of a layer looks most, for every place inside a text."""
    model.set_attn_implementation("eager")
    ids_BT = torch.randint(5, VOCABULARY, (1, 40), generator=torch.Generator().manual_seed(0))
    attention_HTT = model.eval().base_model(ids_BT, output_attentions=True).attentions[layer][0]
    return attention_HTT.argmax(dim=-1)[:, 8:-8] - torch.arange(8, 32)


@pytest.mark.parametrize("preset", ["tiny", "mini", "bertlet"])
def test_the_heads_of_a_new_preset_look_at_the_places_beside_them(preset):
    looked_at = where_heads_look(build_model(preset, VOCABULARY, seed=0), layer=0)
    distances = [(1 + head // 2) * (-1) ** (head + 1) for head in range(len(looked_at))]
    assert looked_at.median(dim=1).values.tolist() == distances
    assert (looked_at == torch.tensor(distances)[:, None]).double().mean() > 0.8


def test_without_the_near_start_the_weights_are_those_of_transformers():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        theirs = BertForMaskedLM(preset_config("tiny", VOCABULARY)).state_dict()
    plain = build_model("tiny", VOCABULARY, seed=3, near_heads=False).state_dict()
    near = build_model("tiny", VOCABULARY, seed=3).state_dict()
    assert all(torch.equal(plain[name], theirs[name]) for name in theirs)
    moved = {name for name in theirs if not torch.equal(near[name], theirs[name])}
    parts = ("position_embeddings", "token_type_embeddings", "query.weight", "key.weight", "value.weight", "attention")
    assert moved and all(any(part in name for part in parts) for name in moved)


def test_the_first_loss_is_the_entropy_of_the_unigram_model():
    generator = torch.Generator().manual_seed(0)
    counts_V = torch.randint(1, 1000, (VOCABULARY,), generator=generator)
    model = build_model("tiny", VOCABULARY, seed=0)
    start_at_unigram(model, counts_V)
    labels_BT = torch.multinomial(counts_V.double(), 64 * 32, replacement=True, generator=generator).view(64, 32)
    loss = mlm_loss(model(torch.full_like(labels_BT, 4)).logits.flatten(0, 1), labels_BT.flatten())
    shares_V = counts_V / counts_V.sum()
    assert float(loss.detach()) == pytest.approx(float(-(shares_V * shares_V.log()).sum()), abs=0.1)
    assert float(loss.detach()) < math.log(VOCABULARY) - 0.1


def test_a_near_start_learns_what_stands_beside_a_mask_where_a_plain_one_does_not():
    """The plateau that costs a plain start millions of tokens: every second token follows from the one before it."""
    losses = {near: loss_after_some_steps(near) for near in (True, False)}
    assert losses[True] < losses[False] - 0.3


def loss_after_some_steps(near, num_steps=100):
    generator = torch.Generator().manual_seed(0)
    model = build_model("tiny", VOCABULARY, seed=0, near_heads=near).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    follower_V = torch.randperm(VOCABULARY - 5, generator=generator) + 5
    losses = []
    for _ in range(num_steps):
        first_BT = torch.randint(5, VOCABULARY, (16, 16), generator=generator)
        ids_BT = torch.stack([first_BT, follower_V[first_BT - 5]], dim=2).flatten(1)
        masked_BT = torch.rand(ids_BT.shape, generator=generator) < 0.15
        logits = model(ids_BT.masked_fill(masked_BT, 4)).logits[masked_BT]
        loss = torch.nn.functional.cross_entropy(logits, ids_BT[masked_BT])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return sum(losses[-20:]) / 20
