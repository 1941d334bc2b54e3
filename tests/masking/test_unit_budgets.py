"""The budget of units: every word has the rate that was asked for, whatever its length and its row's.

Shapes: B sequences, T positions.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.pick import STRATEGIES, pick, pick_independently, proportional_probabilities
from maskwise.masking.score import uniform
from maskwise.masking.score_context import TrainState
from maskwise.masking.units import Units, own_units, span_units, word_units

NUM_DRAWS = 4000
SIGMAS = 4
CLS, SEP = 2, 3
# The same rows in every run: among so many comparisons a few would exceed four standard errors by chance.
fixed = settings(derandomize=True, max_examples=40)
layouts = st.lists(st.integers(1, 14), min_size=1, max_size=25)
rates = st.sampled_from([0.05, 0.15, 0.3, 0.6])


def words_of(lengths):
    """Positions of each word in a row of such words between [CLS] and [SEP]."""
    starts = [1 + sum(lengths[:i]) for i in range(len(lengths))]
    return [list(range(start, start + length)) for start, length in zip(starts, lengths, strict=True)]


def copies(lengths, num_rows=NUM_DRAWS):
    """One row of words of these lengths, as examples that differ in nothing but their number."""
    words = [-1, *(word for word, length in enumerate(lengths) for _ in range(length)), -1]
    row = [CLS, *(7 + place % 100 for place in range(len(words) - 2)), SEP]
    return {
        "input_ids": torch.tensor(row).expand(num_rows, -1),
        "word_ids": torch.tensor(words).expand(num_rows, -1),
        "example_id": torch.arange(num_rows),
    }


def scattered(num_words):
    """Groups of words that are not next to each other: of every third word."""
    return [[word for word in range(num_words) if word % 3 == rest] for rest in range(min(3, num_words))]


def assert_mean(values_B, expected):
    """The mean of independent rows is within four standard errors."""
    values_B = values_B.double()
    error = values_B.std().item() / len(values_B) ** 0.5
    assert abs(values_B.mean().item() - expected) <= SIGMAS * error + 1e-9, (values_B.mean().item(), expected, error)


def picked_words(masker, lengths):
    """True [B, words] where a word is masked; raises if one is masked in part."""
    picked_BT = masker(copies(lengths))["labels"] != IGNORE
    whole = [picked_BT[:, positions].all(-1) for positions in words_of(lengths)]
    partly = [picked_BT[:, positions].any(-1) for positions in words_of(lengths)]
    assert all(torch.equal(all_of_it, any_of_it) for all_of_it, any_of_it in zip(whole, partly, strict=True))
    assert picked_BT.any(-1).all(), "a row is never left without a label"
    return torch.stack(whole, dim=-1)


@fixed
@given(layouts, rates)
def test_words_of_every_length_are_masked_at_the_rate(tiny_tokenizer, lengths, rate):
    """Spent as a budget of tokens, words of four pieces would be masked 5% of the time, and long ones never."""
    picked_BW = picked_words(Masker(uniform, tiny_tokenizer, unit="word", rate=rate), lengths)
    num_words = len(lengths)
    expected = max(rate, 1 / num_words)
    for length in set(lengths):
        assert_mean(
            picked_BW[:, [word for word in range(num_words) if lengths[word] == length]].double().mean(-1), expected
        )
    counts_B = picked_BW.sum(-1)
    budget = rate * num_words
    assert set(counts_B.tolist()) <= {max(math.floor(budget + 1e-9), 1), max(math.ceil(budget - 1e-9), 1)}


@fixed
@given(layouts, rates)
def test_words_in_spans_are_masked_at_the_rate(tiny_tokenizer, lengths, rate):
    """Also in rows of so few spans that one of them is more than the budget: those are shortened by words."""
    picked_BW = picked_words(Masker(uniform, tiny_tokenizer, unit="span", rate=rate), lengths)
    expected = max(rate, 1 / len(lengths))
    for length in set(lengths):
        chosen = [word for word in range(len(lengths)) if lengths[word] == length]
        assert_mean(picked_BW[:, chosen].double().mean(-1), expected)
    for end in (0, -1):  # the beginning of a row is always the beginning of a span
        assert_mean(picked_BW[:, end], expected)


@fixed
@given(layouts, rates)
def test_groups_of_words_that_are_not_neighbours_are_masked_at_the_rate_and_whole(tiny_tokenizer, lengths, rate):
    groups = scattered(len(lengths))
    ids = {position: number for number, group in enumerate(groups) for w in group for position in words_of(lengths)[w]}
    width = sum(lengths) + 2
    ids_BT = torch.tensor([ids.get(position, -1) for position in range(width)]).expand(NUM_DRAWS, -1)
    batch = copies(lengths)
    units = own_units(ids_BT, batch["word_ids"] >= 0)
    draws = torch.Generator().manual_seed(len(lengths))
    picked_BT = pick(
        torch.ones(NUM_DRAWS, width),
        units,
        torch.full((NUM_DRAWS,), max(rate * sum(lengths), 1.0), dtype=torch.float64),
        torch.rand(NUM_DRAWS, width, generator=draws),
        "sample",
        rounding_B2=torch.rand(NUM_DRAWS, 2, generator=draws),
    )
    for group in groups:
        tokens = [position for word in group for position in words_of(lengths)[word]]
        assert torch.equal(picked_BT[:, tokens].all(-1), picked_BT[:, tokens].any(-1))
        assert_mean(picked_BT[:, tokens[0]], max(rate, 1 / len(groups)))
    assert picked_BT.any(-1).all()


@fixed
@given(st.lists(st.integers(1, 6), min_size=4, max_size=25), rates, st.sampled_from(STRATEGIES))
def test_scored_picks_meet_the_budget_on_average_by_rounding_the_last_unit(tiny_tokenizer, lengths, rate, strategy):
    """In rows where no word is longer than the budget; the one word of the others is masked whole."""
    score = lambda batch: (batch["input_ids"] * 37 % 11 + 1).float()  # noqa: E731
    masker = Masker(score, tiny_tokenizer, unit="word", pick=strategy, rate=rate)
    picked_BW = picked_words(masker, lengths)
    num_tokens_B = (picked_BW * torch.tensor(lengths)).sum(-1)
    budget = rate * sum(lengths)
    if budget / 2 >= max(lengths):  # marginal spends it from two ends
        assert_mean(num_tokens_B, budget)
    assert (num_tokens_B <= budget + 2 * max(lengths)).all()


@pytest.mark.parametrize("unit", ["word", "span"])
@pytest.mark.parametrize("lengths", [[1], [14], [9, 12], [16, 16]], ids=str)
@pytest.mark.parametrize("strategy", [*STRATEGIES, "alternating"])
def test_a_row_of_long_words_alone_is_masked_every_time(tiny_tokenizer, strategy, lengths, unit):
    """Its words are longer than its budget: it was never masked, in 50 epochs."""
    score = lambda batch: (batch["input_ids"] * 37 % 11).float()  # noqa: E731
    for found in (uniform, score):
        masker = Masker(found, tiny_tokenizer, unit=unit, pick=strategy)
        for epoch in range(20):
            picked_BT = masker(copies(lengths, 8), TrainState(epoch, epoch))["labels"] != IGNORE
            assert picked_BT.any(-1).all()


@pytest.mark.parametrize("unit", ["word", "span"])
def test_real_layouts_of_text_meet_the_rate_within_half_a_percent(tiny_tokenizer, unit):
    """Blocks of 126 tokens, words of 1 to 6 pieces as in a vocabulary of 8,000: a million tokens."""
    generator = torch.Generator().manual_seed(0)
    sizes = (
        torch.multinomial(torch.tensor([0.62, 0.19, 0.10, 0.05, 0.03, 0.01]), 8000 * 126, True, generator=generator) + 1
    )
    words_BT = torch.repeat_interleave(torch.arange(len(sizes)), sizes)[: 8000 * 126].view(8000, 126)
    ends_B1 = torch.full((8000, 1), -1)
    batch = {
        "input_ids": torch.cat([torch.full_like(ends_B1, CLS), words_BT % 100 + 5, torch.full_like(ends_B1, SEP)], -1),
        "word_ids": torch.cat([ends_B1, words_BT, ends_B1], -1),
        "example_id": torch.arange(8000),
    }
    picked_BT = Masker(uniform, tiny_tokenizer, unit=unit)(batch)["labels"] != IGNORE
    assert picked_BT[:, 1:-1].double().mean().item() == pytest.approx(0.15, rel=0.005 if unit == "word" else 0.01)


# Rates without a floor.


@pytest.mark.parametrize("budget", ["bernoulli", "from-scores"])
@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_rates_drawn_unit_by_unit_have_no_floor(tiny_tokenizer, unit, budget):
    """A forced unit would raise the rate of short rows, and bias every bound that divides by it."""
    chance = lambda batch: torch.full(batch["input_ids"].shape, 0.15)  # noqa: E731
    batch = copies([1, 3])
    picked_BT = Masker(chance, tiny_tokenizer, unit=unit, budget=budget)(batch)["labels"] != IGNORE
    for position in (1, 2):
        assert_mean(picked_BT[:, position], 0.15)
    empty = (~picked_BT.any(-1)).double()
    num_units = {"token": [4], "word": [2], "span": [1, 2]}[unit]
    assert 0.85 ** max(num_units) - 0.03 < empty.mean() < 0.85 ** min(num_units) + 0.03


# Never and always.


def limited(*scores):
    return torch.tensor([scores], dtype=torch.float32).expand(500, -1)


def units_of(ids):
    ids_BT = torch.tensor([ids]).expand(500, -1)
    return Units(ids_BT, ids_BT)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_minus_infinity_in_any_piece_means_never_and_plus_infinity_always(strategy):
    """(-inf, +inf) in one word gave a mean that is not a number, and -inf under `low` came first."""
    units = units_of([0, 0, 2, 2, 4, 5, 6])
    scores_BT = limited(-math.inf, math.inf, 1.0, math.inf, 3.0, 2.0, -math.inf)
    draws = torch.Generator().manual_seed(0)
    noise_BT, rounding_B2 = torch.rand(500, 7, generator=draws), torch.rand(500, 2, generator=draws)
    for budget, most in ((2.0, 2), (3.0, 3), (7.0, 4)):
        budget_B = torch.full((500,), budget, dtype=torch.float64)
        picked_BT = pick(scores_BT, units, budget_B, noise_BT, strategy, rounding_B2=rounding_B2)
        assert not picked_BT[:, [0, 1, 6]].any()
        assert picked_BT[:, [2, 3]].all()
        assert picked_BT.sum(-1).max() <= most


def test_units_that_are_always_first_are_chosen_by_chance_where_the_budget_does_not_hold_them():
    units = units_of(list(range(6)))
    scores_BT = limited(math.inf, 5.0, math.inf, math.inf, 9.0, math.inf)
    draws = torch.Generator().manual_seed(0)
    for strategy in STRATEGIES:
        noise_BT = torch.rand(500, 6, generator=draws)
        picked_BT = pick(scores_BT, units, torch.full((500,), 2), noise_BT, strategy)
        assert (picked_BT.sum(-1) == 2).all() and not picked_BT[:, [1, 4]].any()
        shares = picked_BT[:, [0, 2, 3, 5]].double().mean(0)
        assert (shares - 0.5).abs().max() < 5 * 0.5 / 500**0.5


def test_a_row_of_nothing_but_never_has_no_label():
    units = units_of([0, 0, 2])
    scores_BT = limited(-math.inf, 1.0, -math.inf)
    for rounding_B2 in (None, torch.rand(500, 2)):
        for strategy in STRATEGIES:
            picked_BT = pick(
                scores_BT, units, torch.full((500,), 2.0), torch.rand(500, 3), strategy, rounding_B2=rounding_B2
            )
            assert not picked_BT.any()
    assert not pick_independently(scores_BT, units, torch.rand(500, 3)).any()


def test_probabilities_of_never_and_always_are_zero_and_one_and_count_towards_the_budget():
    units = units_of([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    scores_BT = limited(-math.inf, math.inf, 1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0)
    found = proportional_probabilities(scores_BT, units, 0.3)[0]
    assert found[:2].tolist() == [0, 1]
    assert found.sum().item() == pytest.approx(3)
    assert found[4].item() == pytest.approx(2 * found[2].item())
    most = proportional_probabilities(limited(-math.inf, -math.inf, 1.0, 2.0), units_of([0, 1, 2, 3]), 0.75)[0]
    assert most.tolist() == [0, 0, 1, 1], "at most what may be masked"
    picked_BT = pick_independently(limited(-math.inf, math.inf, 0.5), units_of([0, 1, 2]), torch.rand(500, 3))
    assert not picked_BT[:, 0].any() and picked_BT[:, 1].all()


def test_the_budget_stays_a_share_of_all_eligible_tokens():
    """With never among them, the others are masked more often; the row's rate stays."""
    units = units_of(list(range(20)))
    scores_BT = limited(*[-math.inf] * 10, *[1.0] * 10)
    draws = torch.Generator().manual_seed(1)
    picked_BT = pick(
        scores_BT,
        units,
        torch.full((500,), 4.5, dtype=torch.float64),
        torch.rand(500, 20, generator=draws),
        "sample",
        rounding_B2=torch.rand(500, 2, generator=draws),
    )
    assert set(picked_BT.sum(-1).tolist()) == {4, 5}


def test_spans_of_rows_with_many_of_them_are_whole():
    words_BT = torch.arange(200).expand(300, -1)
    draws = torch.Generator().manual_seed(0)
    units = span_units(word_units(words_BT, words_BT >= 0), torch.rand(300, 200, generator=draws))
    picked_BT = pick(
        torch.ones(300, 200),
        units,
        torch.full((300,), 30.0, dtype=torch.float64),
        torch.rand(300, 200, generator=draws),
        "sample",
        rounding_B2=torch.rand(300, 2, generator=draws),
    )
    at_first_BT = picked_BT.gather(-1, units.groups_BT)
    assert torch.equal(picked_BT, at_first_BT) and picked_BT.any(-1).all()
