"""Picks against a brute-force reference in plain Python, and samples against exact enumeration.

Shapes: B sequences, T positions.
"""

import itertools
import math
import random
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.masking.noise import Stream, uniform_noise
from maskwise.masking.pick import STRATEGIES, mean_by_group, pick, pick_independently, proportional_probabilities
from maskwise.masking.units import Units, token_units

NUM_ROWS, WIDTH = 1000, 16


# The reference: a row is a list of groups (spans), a group a list of atoms (words), an atom a list of positions.


def reference_pick(groups, scores, noise, k, strategy, u=Fraction(1, 2)):
    """The rule, one row at a time and one unit at a time; equal scores are taken in the order of the noise.

    `u`: an atom of which the budget covers a share above u is taken.
    """

    def tokens(group):
        return [position for atom in group for position in atom]

    def is_any(group, value):
        return any(scores[position] == value for position in tokens(group))

    def rank_order(candidates, sign):
        def key(group):
            mean = (
                Fraction(0) if group in always else sum(Fraction(scores[p]) for p in tokens(group)) / len(tokens(group))
            )
            return (group not in always, sign * mean, noise[tokens(group)[0]], tokens(group)[0])

        return [atom for group in sorted(candidates, key=key) for atom in group]

    groups = [group for group in groups if not is_any(group, -math.inf)]
    always = [group for group in groups if is_any(group, math.inf)]
    rest = [group for group in groups if group not in always]
    if strategy in ("high", "low"):
        return fill(rank_order(groups, -1 if strategy == "high" else +1), k, u)
    first, left = fill(rank_order(always, 1), k, u), max(k - len(tokens(tokens(always))), 0)
    if strategy == "mid":
        order = rank_order(rest, -1)
        skip = max((sum(map(len, order)) - left) // 2, 0)
        while order and skip >= len(order[0]):
            skip -= len(order.pop(0))
        return first | fill(order, left, u, is_forced=not always)
    half = left // 2 if u == Fraction(1, 2) else Fraction(left) / 2
    top = fill(rank_order(groups, -1), k - half, u)
    others = [atom for atom in rank_order(rest, +1) if atom[0] not in top]
    return top | fill(others, half, u if u == Fraction(1, 2) else 1 - Fraction(1, 2**24) - u, is_forced=False)


def fill(atoms, k, u=Fraction(1, 2), is_forced=True):
    """Atoms in order until k tokens are met; one that crosses k if its share covered is above u, or if it is first."""
    taken, total = set(), 0
    for number, atom in enumerate(atoms):
        if total >= k:
            break
        share = min(Fraction(k) - total, len(atom)) / len(atom)
        if share > u or share == 1 or (number == 0 and is_forced):
            taken |= set(atom)
        total += len(atom)
    return taken


def random_row(rng, unit):
    """Groups over at most WIDTH positions, with gaps for special tokens and a tail of padding; sometimes nothing."""
    num_tokens = rng.choice([0, 1, 2, rng.randint(1, WIDTH), WIDTH])
    groups, position = [], 0
    while position < num_tokens:
        if rng.random() < 0.15:
            position += 1
            continue
        group = []
        for _ in range(1 if unit != "span" else rng.randint(1, 4)):
            size = 1 if unit == "token" else min(rng.randint(1, 4), num_tokens - position)
            if size > 0:
                group.append(list(range(position, position + size)))
            position += size
        groups.append(group)
    return groups


def as_units(rows) -> Units:
    atoms_BT, groups_BT = torch.full((2, len(rows), WIDTH), -1)
    for row, groups in enumerate(rows):
        for group in groups:
            for atom in group:
                atoms_BT[row, atom] = atom[0]
                groups_BT[row, atom] = group[0][0]
    return Units(atoms_BT, groups_BT)


def random_scores(rng, levels, with_limits):
    limits = [math.inf, -math.inf] if with_limits else []
    return [
        rng.choice(limits) if limits and rng.random() < 0.15 else rng.randint(-levels, levels) for _ in range(WIDTH)
    ]


@pytest.mark.parametrize("with_limits", [False, True], ids=["finite", "never and always"])
@pytest.mark.parametrize("score_levels", [3, 1000], ids=["many ties", "few ties"])
@pytest.mark.parametrize("unit", ["token", "word", "span"])
@pytest.mark.parametrize("strategy", ["high", "low", "mid", "marginal"])
def test_picks_equal_the_brute_force_reference(strategy, unit, score_levels, with_limits):
    rng = random.Random(f"{strategy} {unit} {score_levels} {with_limits}")
    rows = [random_row(rng, unit) for _ in range(NUM_ROWS)]
    num_tokens = [sum(len(atom) for group in groups for atom in group) for groups in rows]
    budgets = [min(n, rng.choice([1, max(1, round(0.15 * n)), rng.randint(1, WIDTH)])) for n in num_tokens]
    scores = [random_scores(rng, score_levels, with_limits) for _ in rows]
    noise = [[rng.randrange(2**24) / 2**24 for _ in range(WIDTH)] for _ in rows]
    picked_BT = pick(torch.tensor(scores).float(), as_units(rows), torch.tensor(budgets), torch.tensor(noise), strategy)
    for row, groups in enumerate(rows):
        expected = reference_pick(groups, scores[row], noise[row], budgets[row], strategy)
        found = set(picked_BT[row].nonzero().flatten().tolist())
        assert found == expected, (groups, scores[row], noise[row], budgets[row])
        assert found or not budgets[row] or with_limits, "a row with a unit is never left unmasked"
        if unit == "token" and not with_limits:
            assert len(found) == budgets[row]
    assert picked_BT.any(dim=-1).sum() > NUM_ROWS / 3, "the rows were not trivial"
    assert not all(num_tokens) and 1 in budgets


@pytest.mark.parametrize("unit", ["word", "span"])
@pytest.mark.parametrize("strategy", ["high", "low", "mid", "marginal"])
def test_the_last_unit_is_rounded_by_the_draw_as_the_reference_says(strategy, unit):
    rng = random.Random(f"{strategy} {unit}")
    rows = [random_row(rng, unit) for _ in range(NUM_ROWS)]
    num_tokens = [sum(len(atom) for group in groups for atom in group) for groups in rows]
    budgets = [min(n, max(1, Fraction(n * rng.randint(1, 63), 64))) for n in num_tokens]
    scores = [random_scores(rng, 1000, True) for _ in rows]
    noise = [[rng.randrange(2**24) / 2**24 for _ in range(WIDTH)] for _ in rows]
    draws_B2 = torch.rand(NUM_ROWS, 2, generator=torch.Generator().manual_seed(0))
    budget_B = torch.tensor([float(budget) for budget in budgets], dtype=torch.float64)
    picked_BT = pick(
        torch.tensor(scores).float(), as_units(rows), budget_B, torch.tensor(noise), strategy, rounding_B2=draws_B2
    )
    num_compared = 0
    for row, groups in enumerate(rows):
        eligible = {position for group in groups for atom in group for position in atom}
        if len({scores[row][position] for position in eligible if math.isfinite(scores[row][position])}) < 2:
            continue  # equal scores: a budget of units
        u = Fraction(draws_B2[row, 0].item())
        found = set(picked_BT[row].nonzero().flatten().tolist())
        assert found == reference_pick(groups, scores[row], noise[row], budgets[row], strategy, u), (row, groups)
        num_compared += 1
    assert num_compared > NUM_ROWS / 3


def test_the_reference_itself_on_rows_worked_by_hand():
    atoms = [[[0]], [[1]], [[2]], [[3]], [[4]]]
    scores, noise = [3, 9, 1, 5, 7], [0] * 5
    picks = {strategy: reference_pick(atoms, scores, noise, 2, strategy) for strategy in STRATEGIES[1:]}
    assert picks == {"high": {1, 4}, "low": {0, 2}, "mid": {3, 4}, "marginal": {1, 2}}
    assert reference_pick(atoms, scores, noise, 1, "marginal") == {1}
    assert reference_pick(atoms, scores, noise, 3, "marginal") == {1, 2, 4}
    limited = [math.inf, 9, -math.inf, 5, 7]
    picks = {strategy: reference_pick(atoms, limited, noise, 2, strategy) for strategy in STRATEGIES[1:]}
    assert picks == {"high": {0, 1}, "low": {0, 3}, "mid": {0, 4}, "marginal": {0, 1}}
    assert fill([[0, 1, 2], [3]], 2) == {0, 1, 2} and fill([[0, 1, 2, 3], [4]], 1) == {0, 1, 2, 3}
    assert fill([[0], [1, 2, 3, 4]], 2) == {0} and fill([[0], [1, 2, 3, 4]], 2, u=Fraction(1, 5)) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("strategy", ["high", "low", "mid", "marginal", "sample"])
def test_equal_scores_are_picked_equally_often_at_every_position(strategy):
    """Ties kept in the order of the text would mask the beginnings of sequences and call it entropy."""
    num_rows, n, k = 20_000, 8, 3
    scores_BT = torch.ones(num_rows, n)
    picked_BT = pick(scores_BT, whole_rows(num_rows, n), torch.full((num_rows,), k), draws(num_rows, n), strategy)
    shares = picked_BT.double().mean(dim=0)
    assert (shares - k / n).abs().max() < 5 * (k / n * (1 - k / n) / num_rows) ** 0.5


def whole_rows(num_rows, n) -> Units:
    return token_units(torch.ones(num_rows, n, dtype=torch.bool))


def draws(num_rows, n, seed=0):
    return uniform_noise(seed, 0, torch.arange(num_rows), torch.arange(n).expand(num_rows, n), Stream.PICK)


def inclusion_probabilities(weights, k):
    """Sampling one after the other in proportion to the weights, by enumeration of every order of draws."""
    included = [0.0] * len(weights)
    for order in itertools.permutations(range(len(weights)), k):
        probability, left = 1.0, sum(weights)
        for unit in order:
            probability *= weights[unit] / left
            left -= weights[unit]
        for unit in order:
            included[unit] += probability
    return included


@pytest.mark.parametrize("sharpness", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_samples_are_included_as_exact_enumeration_says(sharpness, k):
    scores = [0.2, 1.0, 2.5, 0.0, 4.0, 0.7]
    num_rows = 40_000
    scores_BT = torch.tensor(scores).expand(num_rows, -1)
    noise_BT = draws(num_rows, 6, seed=k)
    picked_BT = pick(scores_BT, whole_rows(num_rows, 6), torch.full((num_rows,), k), noise_BT, "sample", sharpness)
    assert (picked_BT.sum(dim=-1) == k).all()
    expected = torch.tensor(inclusion_probabilities([score**sharpness for score in scores], k)).double()
    spread = (expected * (1 - expected) / num_rows).sqrt()
    assert ((picked_BT.double().mean(dim=0) - expected).abs() <= 5 * spread + 1e-9).all()


def test_uniform_samples_take_every_set_equally_often():
    num_rows = 30_000
    picked_BT = pick(
        torch.ones(num_rows, 6), whole_rows(num_rows, 6), torch.full((num_rows,), 3), draws(num_rows, 6), "sample"
    )
    sets = (picked_BT * 2 ** torch.arange(6)).sum(dim=-1)
    counts = sets.bincount()[sets.unique()]
    assert len(counts) == 20
    expected = num_rows / 20
    assert ((counts - expected) ** 2 / expected).sum() < 19 + 5 * 38**0.5


def test_a_word_is_sampled_by_the_mean_of_its_pieces_not_their_sum():
    num_rows = 20_000
    words = Units(*[torch.tensor([[0, 0, 0, 3]]).expand(num_rows, -1)] * 2)
    scores_BT = torch.tensor([[1.0, 3.0, 2.0, 2.0]]).expand(num_rows, -1)
    picked_BT = pick(scores_BT, words, torch.full((num_rows,), 2), draws(num_rows, 4), "sample")
    first_word = picked_BT[:, 0].double().mean().item()
    assert abs(first_word - 0.5) < 5 * 0.5 / num_rows**0.5


def test_zero_scores_are_sampled_only_when_nothing_else_is_left():
    scores_BT = torch.tensor([[0.0, 1e-6, 0.0, 5.0]]).expand(500, -1)
    picked_BT = pick(scores_BT, whole_rows(500, 4), torch.full((500,), 2), draws(500, 4), "sample")
    assert picked_BT.tolist() == [[False, True, False, True]] * 500


def test_not_a_number_where_nothing_may_be_masked_changes_nothing():
    eligible_BT = torch.tensor([[False, True, True, True, False]])
    scores_BT = torch.tensor([[torch.nan, 1.0, 3.0, 2.0, torch.inf]])
    for strategy in STRATEGIES:
        picked_BT = pick(scores_BT, token_units(eligible_BT), torch.tensor([3]), torch.zeros(1, 5), strategy)
        assert torch.equal(picked_BT, eligible_BT)
    assert mean_by_group(scores_BT, token_units(eligible_BT)).tolist() == [[0, 1, 3, 2, 0]]


def test_an_unknown_strategy_names_the_nearest_one():
    with pytest.raises(InputError, match="Did you mean 'marginal'"):
        pick(torch.zeros(1, 2), whole_rows(1, 2), torch.tensor([1]), torch.zeros(1, 2), "margnal")


# Bernoulli: each unit on its own.


def bisected_probabilities(weights, rate):
    """min(1, c w) averaging `rate`, with c found by halving."""
    low, high = 0.0, len(weights) / min(w for w in weights if w > 0)
    for _ in range(200):
        middle = (low + high) / 2
        too_many = sum(min(1.0, middle * w) for w in weights) > rate * len(weights)
        low, high = (low, middle) if too_many else (middle, high)
    return [min(1.0, high * w) for w in weights]


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=12), st.floats(0.01, 0.99), st.sampled_from([0.5, 1.0, 2.0]))
def test_probabilities_average_the_rate_and_stay_in_proportion_below_one(scores, rate, sharpness):
    units = whole_rows(1, len(scores))
    found = proportional_probabilities(torch.tensor([scores], dtype=torch.float64), units, rate, sharpness)[0]
    assert found.double().mean().item() == pytest.approx(rate, abs=1e-6)
    assert found.tolist() == pytest.approx(bisected_probabilities([s**sharpness for s in scores], rate), abs=1e-5)


def test_rows_without_a_positive_score_are_masked_at_the_rate():
    scores_BT = torch.tensor([[0.0, 0.0, 0.0], [-1.0, -2.0, -3.0]])
    found = proportional_probabilities(scores_BT, whole_rows(2, 3), 0.3, sharpness=0.5)
    assert found.flatten().tolist() == pytest.approx([0.3] * 6)


def test_the_scale_of_the_scores_does_not_matter_even_where_it_is_tiny():
    scores_BT = torch.tensor([[3.0, 1.0, 2.0, 0.5]])
    units = whole_rows(1, 4)
    tiny = proportional_probabilities(scores_BT * 1e-12, units, 0.4, sharpness=8.0)
    assert torch.allclose(tiny, proportional_probabilities(scores_BT, units, 0.4, sharpness=8.0))
    assert tiny.mean().item() == pytest.approx(0.4)


def test_groups_are_drawn_independently_and_whole():
    num_rows = 20_000
    ids_BT = torch.tensor([[-1, 1, 1, 3, 4, 4]]).expand(num_rows, -1)
    probabilities_BT = torch.tensor([[1.0, 0.1, 0.3, 0.5, 0.8, 0.8]]).expand(num_rows, -1)
    picked_BT = pick_independently(probabilities_BT, Units(ids_BT, ids_BT), draws(num_rows, 6))
    assert not picked_BT[:, 0].any()
    assert torch.equal(picked_BT[:, 1], picked_BT[:, 2]) and torch.equal(picked_BT[:, 4], picked_BT[:, 5])
    shares = picked_BT[:, [1, 3, 4]].double()
    assert (shares.mean(dim=0) - torch.tensor([0.2, 0.5, 0.8])).abs().max() < 5 * 0.5 / num_rows**0.5
    assert torch.corrcoef(shares.T).fill_diagonal_(0).abs().max() < 5 / num_rows**0.5
