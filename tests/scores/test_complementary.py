"""Slices of a row over the epochs of a cycle: every token once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.score_context import TrainState
from maskwise.scores.complementary import Complementary
from maskwise.testing import make_batch


def masked(masker, batch, epoch):
    return masker(batch, TrainState(epoch))["labels"] != IGNORE


@settings(derandomize=True, max_examples=40)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(2, 9), st.integers(0, 3))
def test_every_token_is_masked_exactly_once_in_each_cycle(tiny_tokenizer, lengths, slices, cycle):
    """With lengths that the slices do not divide, and rows of fewer tokens than slices."""
    batch = make_batch(tiny_tokenizer, [[2, *range(20, 20 + length), 3] for length in lengths])
    masker = Masker(Complementary(slices), tiny_tokenizer, rate=1 / slices, budget="from-scores")
    parts = [masked(masker, batch, slices * cycle + part) for part in range(slices)]
    assert torch.equal(torch.stack(parts).sum(0), masker.eligible(batch).long())
    counts = torch.stack(parts).sum(-1)
    assert (counts.amax(0) - counts.amin(0) <= 1).all()


def test_cycles_differ_and_a_resumed_run_goes_by_the_epoch_alone(tiny_tokenizer):
    batch = make_batch(tiny_tokenizer, [[2, *range(20, 60), 3]])
    first, again = (Masker(Complementary(4), tiny_tokenizer, rate=0.25, budget="from-scores") for _ in range(2))
    assert not torch.equal(masked(first, batch, 1), masked(first, batch, 5))
    assert torch.equal(masked(first, batch, 6), masked(again, batch, 6))


def test_another_rate_than_that_of_the_slices_is_refused(tiny_tokenizer):
    batch = make_batch(tiny_tokenizer, [[2, 20, 3]])
    with pytest.raises(InputError, match=r"4 slices mask 1 / 4 .*the rate is 0.15: set it to 0.25"):
        Masker(Complementary(4), tiny_tokenizer, rate=0.15, budget="from-scores")(batch)
    for slices in (1, 2.5, "4"):
        with pytest.raises(InputError, match="at least 2; found"):
            Complementary(slices)
