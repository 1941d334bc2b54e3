"""Sums by type, their moving average and what unseen types get, against loops.

Shapes: V vocabulary.
"""

from __future__ import annotations

import pytest
import torch

from maskwise.errors import InputError
from maskwise.masking.saliency import fill_unseen, position_saliency, smooth, sum_by_type

V = 11


@pytest.fixture
def text():
    """Saliency, ids, counted and masked positions of three rows."""
    generator = torch.Generator().manual_seed(0)
    saliency_BT = torch.randn(3, 20, generator=generator)
    ids_BT = torch.randint(2, V - 1, (3, 20), generator=generator)
    counted_BT, masked_BT = torch.rand(2, 3, 20, generator=generator) < torch.tensor([0.8, 0.4])[:, None, None]
    return saliency_BT, ids_BT, counted_BT, masked_BT


def positions(text, token, condition):
    columns = zip(*(part.flatten().tolist() for part in text), strict=True)
    return [g for g, i, counted, masked in columns if i == token and counted and condition(masked)]


def mean(values):
    return sum(values) / len(values) if values else 0.0


def test_abs_is_the_mean_size_over_all_counted_positions_of_a_type(text):
    saliency_BT, ids_BT, counted_BT, masked_BT = text
    means_V, occurred_V = sum_by_type(saliency_BT, ids_BT, counted_BT, masked_BT, V, "abs").means()
    expected = [mean([abs(g) for g in positions(text, token, lambda masked: True)]) for token in range(V)]
    torch.testing.assert_close(means_V, torch.tensor(expected, dtype=torch.float64))
    assert occurred_V.tolist() == [value > 0 for value in expected]
    assert 0 < occurred_V.sum() < V


def test_signed_2023_takes_visible_positions_with_the_opposite_sign_of_masked_ones(text):
    """The two means are added, not averaged together: a type seen once masked weighs as much as ten seen visible."""
    saliency_BT, ids_BT, counted_BT, masked_BT = text
    means_V, _ = sum_by_type(saliency_BT, ids_BT, counted_BT, masked_BT, V, "signed-2023").means()
    expected = [
        mean([-g for g in positions(text, token, lambda masked: not masked)])
        + mean(positions(text, token, lambda masked: masked))
        for token in range(V)
    ]
    assert min(expected) < 0 < max(expected)
    torch.testing.assert_close(means_V, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("aggregate", ["abs", "signed-2023"])
def test_sums_of_parts_add_up_to_those_of_the_whole(text, aggregate):
    """Micro-batches and processes: the mean of their means would weigh short texts more."""
    whole = sum_by_type(*text, V, aggregate)
    first = sum_by_type(*(part[:1] for part in text), V, aggregate)
    rest = sum_by_type(*(part[1:] for part in text), V, aggregate)
    for total, a, b in zip(whole, first, rest, strict=True):
        torch.testing.assert_close(a + b, total)


def test_the_moving_average_starts_at_a_types_first_mean_and_leaves_absent_types_alone():
    """The 2023 table starts at 0 instead, which holds for types that are said to have begun."""
    table, means = torch.tensor([2.0, 0.0, 0.0, 5.0]), torch.tensor([4.0, 3.0, 3.0, 9.0])
    occurred, begun = torch.tensor([True, True, True, False]), torch.tensor([True, False, True, True])
    torch.testing.assert_close(smooth(table, means, occurred, begun, 0.8), torch.tensor([3.6, 3.0, 2.4, 5.0]))


def test_unseen_types_get_the_mean_by_share_or_the_maximum():
    table, seen = torch.tensor([1.0, -3.0, 0.0, 0.0]), torch.tensor([True, True, False, False])
    shares = torch.tensor([0.6, 0.2, 0.1, 0.1])
    torch.testing.assert_close(fill_unseen(table, seen, shares, "mean"), torch.tensor([1.0, -3.0, 0.0, 0.0]))
    torch.testing.assert_close(fill_unseen(table, seen, shares[[1, 0, 2, 3]]), torch.tensor([1.0, -3.0, -2.0, -2.0]))
    torch.testing.assert_close(fill_unseen(table, seen, shares, "max"), torch.tensor([1.0, -3.0, 1.0, 1.0]))


def test_saliency_is_the_one_hot_gradient_of_an_embedding():
    generator = torch.Generator().manual_seed(1)
    weight_VD, readout_TD = torch.randn(V, 4, generator=generator), torch.randn(6, 4, generator=generator)
    seen_T, original_T = torch.tensor([1, 2, 3, 4, 5, 6]), torch.tensor([1, 7, 3, 8, 5, 6])
    one_hot_TV = torch.nn.functional.one_hot(seen_T, V).float().requires_grad_()
    embedded_TD = one_hot_TV @ weight_VD
    embedded_TD.retain_grad()
    ((embedded_TD * readout_TD).sum() ** 2).backward()
    found_T = position_saliency(embedded_TD.grad, weight_VD[original_T])
    torch.testing.assert_close(found_T, one_hot_TV.grad.gather(1, original_T[:, None])[:, 0])


def test_an_unknown_aggregate_is_an_error(text):
    with pytest.raises(InputError, match="signed-2023"):
        sum_by_type(*text, V, "signed")
