"""Rates over the progress of a run, and the budget they mean."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.masking.rates import constant, cosine, linear, one_token, rate_at, token_budget

rates = st.floats(0.001, 0.999)


@given(st.integers(0, 2000), rates)
def test_the_budget_is_the_rounded_share_at_least_one_and_at_most_all(n, rate):
    expected = 0 if n == 0 else min(n, max(1, math.floor(rate * n + 0.5)))
    assert token_budget(torch.tensor([n]), rate).item() == expected


def test_the_budget_of_known_lengths_at_fifteen_percent():
    assert token_budget(torch.tensor([0, 1, 3, 9, 10, 17, 100, 126]), 0.15).tolist() == [0, 1, 1, 1, 2, 3, 15, 19]


def test_one_token_is_one_token_at_any_length_and_progress():
    assert token_budget(torch.tensor([0, 1, 128, 10_000]), one_token()(0.5)).tolist() == [0, 1, 1, 1]


@given(rates, rates, st.floats(0, 1))
def test_schedules_start_and_end_where_they_say_and_stay_between(start, end, progress):
    for schedule in (linear(start, end), cosine(start, end)):
        assert schedule(0.0) == pytest.approx(start) and schedule(1.0) == pytest.approx(end)
        assert min(start, end) - 1e-12 <= schedule(progress) <= max(start, end) + 1e-12
        assert schedule(-0.5) == schedule(0.0) and schedule(1.5) == schedule(1.0)


def test_schedules_take_their_published_shape():
    quarter = (0.25, 0.5, 0.75)
    assert [linear(0.3, 0.15)(p) for p in quarter] == pytest.approx([0.2625, 0.225, 0.1875])
    halves_of_a_cosine = [0.1 + 0.1 * (1 + math.cos(math.pi * p)) for p in quarter]
    assert [cosine(0.3, 0.1)(p) for p in quarter] == pytest.approx(halves_of_a_cosine)
    assert constant(0.4)(0.9) == 0.4


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, 15, math.nan])
def test_a_rate_outside_zero_to_one_is_an_error_that_says_how_to_write_it(rate):
    for schedule in (constant, lambda r: linear(r, 0.2), lambda r: linear(0.2, r), lambda r: cosine(r, 0.2)):
        with pytest.raises(InputError, match=rf"between 0 and 1; found {rate}. Write 15% as 0.15"):
            schedule(rate)


@pytest.mark.parametrize("rate", [1, 1.5, 15, -0.1, math.nan])
def test_a_schedule_that_gives_no_share_is_an_error_that_says_what_it_gave_and_when(rate):
    with pytest.raises(InputError, match=rf"gave {rate} at progress 0.25"):
        rate_at(lambda progress: rate, 0.25)
    assert rate_at(one_token(), 0.25) == 0.0
