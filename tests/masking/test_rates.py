"""Rates over the progress of a run, and the budget they mean."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.masking.budgets import mean_budget, token_budget
from maskwise.masking.rates import (
    constant,
    cosine,
    is_constant,
    linear,
    one_token,
    one_unit,
    periodic,
    points,
    rate_at,
    steps,
)

rates = st.floats(0.001, 0.999)


@given(st.integers(0, 2000), rates)
def test_the_budget_is_the_rounded_share_at_least_one_and_at_most_all(n, rate):
    expected = 0 if n == 0 else min(n, max(1, math.floor(rate * n + 0.5)))
    assert token_budget(torch.tensor([n]), rate).item() == expected


def test_the_budget_of_known_lengths_at_fifteen_percent():
    assert token_budget(torch.tensor([0, 1, 3, 9, 10, 17, 100, 126]), 0.15).tolist() == [0, 1, 1, 1, 2, 3, 15, 19]


def test_one_token_is_one_token_at_any_length_and_progress():
    assert token_budget(torch.tensor([0, 1, 128, 10_000]), one_token()(0.5)).tolist() == [0, 1, 1, 1]


@given(st.integers(0, 2000), rates)
def test_the_mean_budget_is_the_share_itself_at_least_one_token_and_at_most_all(n, rate):
    assert mean_budget(torch.tensor([n]), rate).item() == (min(n, max(1.0, rate * n)) if n else 0)


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


PHASES = [[0, 0.30], [0.767, 0.15], [0.967, 0.05]]  # mmBERT's, small
RISE_AND_FALL = [[0, 0.15], [0.1, 0.30], [1, 0.15]]


def test_steps_hold_each_rate_from_its_begin_to_the_next():
    schedule = steps(PHASES)
    assert [schedule(p) for p in (0, 0.5, 0.766, 0.767, 0.9, 0.967, 1)] == [0.3, 0.3, 0.3, 0.15, 0.15, 0.05, 0.05]
    assert steps([(0, 0.2)])(0.9) == 0.2


@given(st.floats(0, 1))
def test_points_are_joined_by_straight_lines(progress):
    expected = float(np.interp(progress, *zip(*RISE_AND_FALL, strict=True)))
    assert points(RISE_AND_FALL)(progress) == pytest.approx(expected)


@given(st.floats(0, 1), st.integers(1, 9))
def test_a_periodic_rate_runs_through_its_schedule_again_and_again(progress, periods):
    found = periodic(points(RISE_AND_FALL), periods)(progress)
    turn = progress * periods
    assert found == pytest.approx(points(RISE_AND_FALL)(turn - math.floor(turn)), abs=1e-9)


def test_a_periodic_rate_ends_where_its_schedule_ends():
    assert periodic(linear(0.4, 0.1), 3)(1.0) == pytest.approx(0.1)
    assert periodic(linear(0.4, 0.2), 2.5)(1.0) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: steps([]), "begin at progress 0"),
        (lambda: steps([[0.1, 0.3]]), "begin at progress 0"),
        (lambda: steps([[0, 0.3], [0.5, 0.2], [0.5, 0.1]]), "rise to at most 1"),
        (lambda: steps([[0, 0.3], [1, 0.2]]), "when the run is over"),
        (lambda: steps([[0, 30]]), "Write 15% as 0.15"),
        (lambda: steps([0, 0.3]), r"pairs of progress and rate, such as \[\[0, 0.30\]"),
        (lambda: steps({"0": 0.3}), "pairs of progress and rate"),
        (lambda: points([[0, 0.3], [0.5, 0.2]]), "last of the points is at progress 1; found"),
        (lambda: points([[0, 0.3]]), "last of the points is at progress 1; found"),
        (lambda: points([[0, 0.3], [2, 0.2]]), "rise to at most 1"),
        (lambda: points([["0", 0.3], [1, 0.2]]), "pairs of progress and rate"),
        (lambda: periodic(constant(0.2), 0), "periods above 0; found 0"),
        (lambda: constant("0.15"), "found '0.15'"),
        (lambda: constant(True), "found True"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_an_error_that_shows_one_that_does(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("rate", [np.float32(0.25), np.float64(0.25), torch.tensor(0.25), 0.25])
def test_a_rate_may_be_a_number_of_any_library(rate):
    assert constant(rate)(0.5) == 0.25
    assert rate_at(lambda progress: rate, 0.5) == 0.25


@pytest.mark.parametrize("rate", [None, "0.2", torch.tensor([0.1, 0.2]), True])
def test_a_schedule_that_gives_no_number_is_an_error_that_says_what_it_gave(rate):
    with pytest.raises(InputError, match="schedule gave"):
        rate_at(lambda progress: rate, 0.5)


def test_schedules_can_be_handed_to_other_processes_and_know_if_they_are_constant():
    schedules = {
        constant(0.2): True,
        one_unit(): True,
        linear(0.3, 0.1): False,
        cosine(0.3, 0.1): False,
        steps(PHASES): False,
        points(RISE_AND_FALL): False,
        periodic(linear(0.3, 0.1), 4): False,
    }
    for schedule, expected in schedules.items():
        copy = pickle.loads(pickle.dumps(schedule))
        assert [copy(p) for p in (0, 0.33, 1)] == [schedule(p) for p in (0, 0.33, 1)]
        assert is_constant(schedule) == expected
    assert not is_constant(lambda progress: 0.15)
