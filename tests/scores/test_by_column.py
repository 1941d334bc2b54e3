"""Scores from a column: weights, probabilities, never and always."""

import pytest
import torch

from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.scores.by_column import ByColumn
from maskwise.testing import make_batch

NUM_ROWS = 4000


def batch_of(tokenizer, tags):
    batch = make_batch(tokenizer, [[2, *range(20, 20 + len(tags)), 3]] * NUM_ROWS)
    return batch | {"tags": torch.tensor([-1, *tags, -1]).expand(NUM_ROWS, -1)}


def shares(masker, batch):
    return (masker(batch)["labels"] != IGNORE).double().mean(0)[1:-1]


def test_two_rates_are_the_probabilities_of_two_fields(tiny_tokenizer):
    tags = [0, 1, 0, 1, 2, 3]
    masker = Masker(ByColumn("tags", {"1": 0.4, 3: "never"}, other=0.12), tiny_tokenizer, budget="from-scores")
    expected = torch.tensor([0.12, 0.4, 0.12, 0.4, 0.12, 0.0]).double()
    errors = (expected * (1 - expected) / NUM_ROWS).sqrt()
    assert ((shares(masker, batch_of(tiny_tokenizer, tags)) - expected).abs() <= 4 * errors).all()


def test_weights_share_an_exact_budget_as_drawing_without_replacement_does(tiny_tokenizer):
    """One of five tokens: 4 / 8 for the first, 1 / 8 for the others."""
    masker = Masker(ByColumn("tags", {1: 4.0}), tiny_tokenizer, rate=0.2)
    found = shares(masker, batch_of(tiny_tokenizer, [1, 0, 0, 0, 0]))
    assert found[0].item() == pytest.approx(0.5, abs=4 * (0.25 / NUM_ROWS) ** 0.5)
    assert found.sum().item() == pytest.approx(1)


def test_a_number_of_the_row_is_the_score_of_all_its_tokens():
    score = ByColumn("source", {1: "always"}, other=2.0)
    found = score({"input_ids": torch.tensor([[7, 8], [7, 8]]), "source": torch.tensor([1, 5])})
    assert found.tolist() == [[torch.inf, torch.inf], [2.0, 2.0]]


@pytest.mark.parametrize(
    ("values", "other", "message"),
    [
        ({"noun": 1.0}, 1.0, "by whole number.*found the key 'noun'"),
        ({1: "often"}, 1.0, "value of 1 is a number, 'never' or 'always'; found 'often'"),
        ({1: float("nan")}, 1.0, "found nan"),
        ({}, None, "value of 'other'.*found None"),
    ],
)
def test_values_that_are_no_scores_are_refused(values, other, message):
    with pytest.raises(InputError, match=message):
        ByColumn("tags", values, other)


def test_its_settings_are_in_its_fingerprint():
    first, second = (ByColumn("tags", {1: value}).fingerprint() for value in (2.0, 3.0))
    assert first != second and "values={1: 2.0}" in first
    assert repr(ByColumn("tags", {1: 2.0})).startswith("ByColumn(column='tags'")
