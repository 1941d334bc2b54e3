"""Rates of token types that meet a budget, over random tables.

Shapes: V vocabulary.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.masking.calibrate import affine_2023, check_calibration, water_filling

BATCH, BATCHES = 100, 100  # 10,000 tables
many = settings(max_examples=BATCHES, deadline=None)
few = settings(max_examples=100, deadline=None)
seeds = st.integers(0, 2**32)


def random_table(generator):
    """Scores and shares of 2 to 40 types over many orders of magnitude, some equal, some 0, a rate and a cap."""

    def uniform(low=0.0, high=1.0):
        return low + (high - low) * float(torch.rand((), generator=generator))

    size = int(uniform(2, 41))
    scores_V = (uniform(0, 12) * torch.randn(size, generator=generator, dtype=torch.float64)).exp()
    scores_V[torch.rand(size, generator=generator) < uniform(-0.3, 0.3)] = 0
    shares_V = torch.rand(size, generator=generator, dtype=torch.float64) ** uniform(-1, 8) + 1e-12
    shares_V[torch.rand(size, generator=generator) < 0.1] = 0
    scores_V[0], shares_V[0] = 1, 0.01
    shares_V, cap = shares_V / shares_V.sum(), uniform(0.05, 1)
    return scores_V, shares_V, uniform(0.001, 1) * cap * float(shares_V[scores_V > 0].sum()), cap


def random_tables(seed):
    generator = torch.Generator().manual_seed(seed)
    return [random_table(generator) for _ in range(BATCH)]


tables = seeds.map(lambda seed: random_table(torch.Generator().manual_seed(seed)))


@many
@given(seeds)
def test_water_filling_meets_the_budget(seed):
    for scores_V, shares_V, rate, cap in random_tables(seed):
        rates_V = water_filling(scores_V, shares_V, rate, cap=cap)
        assert abs(float((shares_V * rates_V).sum()) - rate) < 1e-9
        assert float(rates_V.min()) >= 0
        assert float(rates_V.max()) <= cap
        assert not rates_V[scores_V == 0].any()


@many
@given(seeds, st.floats(0.0, 0.95))
def test_the_affine_form_meets_the_budget(seed, spread):
    for scores_V, shares_V, rate, cap in random_tables(seed):
        rates_V = affine_2023(scores_V, shares_V, rate * (1 - spread), cap=cap, spread=spread)
        assert abs(float((shares_V * rates_V).sum()) - rate * (1 - spread)) < 1e-9
        assert float(rates_V.max()) <= cap * (1 + 1e-9)
        assert float(rates_V.max()) <= float(rates_V.min()) / (1 - spread) * (1 + 1e-9)


def test_the_tables_reach_the_corners():
    """Else the properties above would hold of tables that decide nothing."""
    found = random_tables(0)
    rates = [water_filling(scores, shares, rate, cap=cap) for scores, shares, rate, cap in found]
    assert sum(bool((r_V == cap).any()) for r_V, (_, _, _, cap) in zip(rates, found, strict=True)) > 30
    assert sum(bool((r_V < cap).all()) for r_V, (_, _, _, cap) in zip(rates, found, strict=True)) > 5
    assert sum(bool((scores == 0).any()) for scores, *_ in found) > 30


@few
@given(tables, st.sampled_from([0.5, 1.0, 3.0]))
def test_water_filling_is_the_root_that_bisection_finds(table, temperature):
    scores_V, shares_V, rate, cap = table
    weights_V = scores_V ** (1 / temperature)

    def rates_at(exponent):
        return (torch.tensor(exponent, dtype=torch.float64).exp() * weights_V).clamp_max(cap)

    low, high = -200.0, 200.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (shares_V * rates_at(middle)).sum() < rate else (low, middle)
    found_V = water_filling(scores_V, shares_V, rate, cap=cap, temperature=temperature)
    held_V = shares_V > 1e-6  # where a type is no part of the text, its rate decides nothing
    torch.testing.assert_close(found_V[held_V], rates_at(high)[held_V], rtol=1e-5, atol=1e-6)


@few
@given(tables, st.floats(1e-6, 1e6))
def test_rates_follow_the_scores_and_do_not_depend_on_their_scale(table, factor):
    """Loss scaling and accumulation change the scale of gradients: masks must not."""
    scores_V, shares_V, rate, cap = table
    for calibrate in (water_filling, affine_2023):
        if calibrate is affine_2023:
            rate = rate * 0.6
        rates_V = calibrate(scores_V, shares_V, rate, cap=cap)
        assert (rates_V[scores_V.argsort()].diff() >= -1e-12).all()
        torch.testing.assert_close(calibrate(factor * scores_V, shares_V, rate, cap=cap), rates_V, rtol=1e-7, atol=1e-9)


@few
@given(tables)
def test_equal_scores_are_random_masking(table):
    scores_V, shares_V, rate, cap = table
    equal_V = torch.full_like(scores_V, 3.7)
    for calibrate in (water_filling, affine_2023):
        torch.testing.assert_close(calibrate(equal_V, shares_V, rate, cap=cap), torch.full_like(equal_V, rate))


@few
@given(tables)
def test_a_budget_at_the_cap_gives_every_type_the_cap(table):
    scores_V, shares_V, _, cap = table
    scores_V = scores_V + 1e-9
    rates_V = water_filling(scores_V, shares_V, cap, cap=cap)
    assert abs(float((shares_V * rates_V).sum()) - cap) < 1e-9
    torch.testing.assert_close(
        rates_V[shares_V > 1e-6], torch.full_like(rates_V, cap)[shares_V > 1e-6], atol=1e-6, rtol=0
    )


def test_a_flatter_temperature_moves_rates_together():
    scores, shares = torch.tensor([9.0, 1.0]), torch.tensor([0.5, 0.5])
    sharp, flat = (water_filling(scores, shares, 0.1, temperature=t) for t in (1.0, 2.0))
    assert float(sharp[0] / sharp[1]) == pytest.approx(9)
    assert float(flat[0] / flat[1]) == pytest.approx(3)


def test_budgets_that_cannot_be_met_are_errors():
    shares = torch.tensor([0.9, 0.1])
    with pytest.raises(InputError, match=r"can take 0\.05 of the text"):
        water_filling(torch.tensor([0.0, 2.0]), shares, 0.15, cap=0.5)
    with pytest.raises(InputError, match="cannot be met"):
        water_filling(torch.zeros(2), shares, 0.15)
    with pytest.raises(InputError, match="above the cap"):
        affine_2023(torch.tensor([0.0, 2.0]), shares, 0.6, spread=0.9)
    with pytest.raises(InputError, match="water-filling"):
        check_calibration("waterfilling")
