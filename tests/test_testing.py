"""check_score passes good scores and names what is wrong with each kind of bad one.

Shapes: B sequences, T positions.
"""

import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from maskwise.masking.score import StatefulScore, uniform
from maskwise.testing import SIDES, check_score, check_score_on, edge_batches, make_batch, random_batches


class ModelScore(nn.Module):
    """The entropy of a model's predictions, written plainly."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch):
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            log_p_BTV = self.model(batch["input_ids"], batch["attention_mask"]).logits.log_softmax(dim=-1)
        self.model.train(was_training)
        return -(log_p_BTV.exp() * log_p_BTV).sum(dim=-1)


def by_token(batch):
    return (batch["input_ids"] * 37 % 11).float()


def test_the_uniform_score_keeps_the_contract(tiny_tokenizer):
    check_score(uniform, tiny_tokenizer)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_scores_keep_the_contract_on_any_batch(tiny_tokenizer, data):
    tokens = st.integers(0, len(tiny_tokenizer) - 1)
    rows = data.draw(st.lists(st.lists(tokens, min_size=1, max_size=10), min_size=1, max_size=4), label="rows")
    batch = make_batch(
        tiny_tokenizer, rows, side=data.draw(st.sampled_from(SIDES)), num_extra=data.draw(st.integers(0, 2))
    )
    for score in (uniform, by_token, lambda batch: -batch["input_ids"]):
        check_score_on(score, tiny_tokenizer, batch)


def test_a_models_entropy_keeps_the_contract_but_for_left_padding(tiny_tokenizer, tiny_model):
    """BERT's positions are absolute, so padding on the left is another text to it."""
    tiny_model.train()
    check_score(ModelScore(tiny_model), tiny_tokenizer, num_batches=2, padding_sides=("right",))
    with pytest.raises(AssertionError, match="more columns of padding on the left"):
        check_score(ModelScore(tiny_model), tiny_tokenizer, num_batches=2)


def edits_the_batch(batch):
    batch["input_ids"][0, 0] = 7
    return by_token(batch)


def adds_a_key(batch):
    batch["mine"] = 1
    return by_token(batch)


def draws_from_torch(batch):
    torch.rand(1)
    return by_token(batch)


def draws_from_numpy(batch):
    np.random.rand()
    return by_token(batch)


def draws_from_python(batch):
    random.random()
    return by_token(batch)


GENERATOR = torch.Generator().manual_seed(0)


def random_each_time(batch):
    return torch.rand(batch["input_ids"].shape, generator=GENERATOR)


def standardised_over_the_batch(batch):
    scores_BT = torch.where(batch["eligible"], by_token(batch), 0)
    return scores_BT - scores_BT.sum() / batch["eligible"].sum().clamp_min(1)


def by_column(batch):
    return torch.arange(batch["input_ids"].shape[1]).expand(batch["input_ids"].shape).float()


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda batch: [[1.0]], "must return a tensor; found list"),
        (lambda batch: torch.ones(batch["input_ids"].shape[0]), r"one number a token, shape \(1, 1\); found \(1,\)"),
        (lambda batch: torch.full(batch["input_ids"].shape, torch.nan), "finite at every eligible token; rows 0"),
        (lambda batch: by_token(batch) * torch.ones(1, requires_grad=True), "without gradient"),
        (edits_the_batch, "must leave the batch alone"),
        (adds_a_key, "must leave the batch alone"),
        (draws_from_torch, "must leave torch's random state alone"),
        (draws_from_numpy, "must leave numpy's random state alone"),
        (draws_from_python, "must leave python's random state alone"),
        (random_each_time, "must give the same numbers for the same batch"),
        (by_column, "the same numbers with . more columns of padding on the (left|right)"),
        (standardised_over_the_batch, "the same numbers in a batch of its own"),
    ],
)
def test_a_score_that_breaks_the_contract_is_told_which_part(tiny_tokenizer, score, message):
    with pytest.raises(AssertionError, match=message):
        check_score(score, tiny_tokenizer)


def test_a_score_may_declare_that_it_depends_on_the_batch(tiny_tokenizer):
    check_score(standardised_over_the_batch, tiny_tokenizer, row_by_row=False)


class Careless(StatefulScore):
    """Looks at a bound model, and leaves one thing behind."""

    def __init__(self, change):
        self.change = change

    def bind(self, model, tokenizer):
        self.model = model

    def __call__(self, batch):
        self.change(self.model)
        return by_token(batch)


def steps_a_weight(model):
    with torch.no_grad():
        next(model.parameters()).add_(1)


def fills_a_gradient(model):
    weight = next(model.parameters())
    weight.grad = torch.ones_like(weight)


@pytest.mark.parametrize(
    ("change", "what"),
    [(nn.Module.eval, "mode"), (steps_a_weight, "weights"), (fills_a_gradient, "gradients")],
)
def test_a_score_must_leave_its_model_as_it_was(tiny_tokenizer, tiny_model, change, what):
    tiny_model.train()
    with pytest.raises(AssertionError, match=f"must leave the {what} of its model alone"):
        check_score(Careless(change), tiny_tokenizer, model=tiny_model)


class Forgetful(StatefulScore):
    """Counts, and loses the count when it is restored."""

    offset = 1.0

    def __call__(self, batch):
        return by_token(batch) + self.offset

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        self.offset = state.get("offset", 0.0)


def test_a_score_must_come_back_from_its_own_state(tiny_tokenizer):
    with pytest.raises(AssertionError, match=r"after load_state_dict\(state_dict\(\)\)"):
        check_score(Forgetful(), tiny_tokenizer)


def test_a_score_that_knows_only_some_examples_is_checked_on_those(tiny_tokenizer):
    stored = {5: [0.1, 0.2, 0.3], 9: [0.4, 0.5]}

    def of_example(batch):
        scores_BT = torch.zeros(batch["input_ids"].shape)
        for row, example in enumerate(batch["example_id"].tolist()):
            scores_BT[row, batch["attention_mask"][row].bool()] = torch.tensor(stored[example])
        return scores_BT

    batch = make_batch(tiny_tokenizer, [[7, 8, 9], [10, 11]], example_ids=[5, 9])
    check_score(of_example, tiny_tokenizer, batches=[batch])
    with pytest.raises(KeyError):
        check_score(of_example, tiny_tokenizer)


def test_the_batches_hold_the_cases_scores_tend_to_forget(tiny_tokenizer):
    special = torch.tensor(tiny_tokenizer.all_special_ids)
    batches = [*edge_batches(tiny_tokenizer), *random_batches(tiny_tokenizer, 20)]
    assert any(batch["input_ids"].shape == (1, 1) for batch in batches)
    assert any(torch.isin(row, special).all() for batch in batches for row in batch["input_ids"])
    assert any((batch["attention_mask"][:, 0] == 0).any() for batch in batches), "padding on the left"
    assert any((batch["attention_mask"][:, -1] == 0).any() for batch in batches), "padding on the right"
    again = list(random_batches(tiny_tokenizer, 20))
    assert all(torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(batches[3:], again, strict=True))
