"""What the model sees in place of a picked token, and what it must predict.

Shapes: B sequences, T positions.
"""

import pytest
import torch

from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE, Corruption, corrupt

MASK = 4
ORDINARY = torch.arange(10, 60)


def noises(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, *shape, generator=generator)


def corrupted(ids_BT, picked_BT, shares):
    action_BT, replacement_BT = noises(*ids_BT.shape)
    return corrupt(
        ids_BT,
        picked_BT,
        mask_token_id=MASK,
        shares=Corruption(*shares),
        ordinary_ids_N=ORDINARY,
        action_noise_BT=action_BT,
        replacement_noise_BT=replacement_BT,
    )


@pytest.mark.parametrize("shares", [(1, 0, 0), (0.8, 0.1, 0.1), (0, 1, 0), (0, 0, 1), (0.5, 0.2, 0.3)])
def test_labels_lie_exactly_where_picked_and_all_else_stays(shares):
    ids_BT = torch.randint(10, 60, (50, 20), generator=torch.Generator().manual_seed(1))
    original_BT = ids_BT.clone()
    picked_BT = noises(50, 20)[0] < 0.3
    seen_BT, labels_BT = corrupted(ids_BT, picked_BT, shares)
    assert torch.equal(ids_BT, original_BT), "the caller's tensor was edited"
    assert torch.equal(labels_BT != IGNORE, picked_BT)
    assert torch.equal(labels_BT[picked_BT], original_BT[picked_BT])
    assert torch.equal(seen_BT[~picked_BT], original_BT[~picked_BT])
    assert picked_BT.any()


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.2, 0.5, 0.3)])
def test_the_three_shares_are_what_was_asked_for(shares):
    ids_BT = torch.full((400, 100), 99)
    seen_BT, _ = corrupted(ids_BT, torch.ones_like(ids_BT, dtype=torch.bool), shares)
    counts = torch.tensor(
        [(seen_BT == MASK).sum(), (seen_BT < 99).sum() - (seen_BT == MASK).sum(), (seen_BT == 99).sum()]
    )
    expected = torch.tensor(shares) * ids_BT.numel()
    assert ((counts - expected) ** 2 / expected).sum() < 2 + 5 * 4**0.5


def test_replacements_are_uniform_over_ordinary_tokens_alone():
    ids_BT = torch.full((500, 100), 99)
    seen_BT, _ = corrupted(ids_BT, torch.ones_like(ids_BT, dtype=torch.bool), (0, 1, 0))
    counts = seen_BT.flatten().bincount(minlength=100)
    assert counts.sum() == counts[ORDINARY].sum()
    expected = ids_BT.numel() / len(ORDINARY)
    assert ((counts[ORDINARY] - expected) ** 2 / expected).sum() < 49 + 5 * 98**0.5


def test_the_highest_noise_still_draws_an_ordinary_token():
    """A draw past the end would stop a run once in millions of tokens."""
    top_11 = torch.tensor([[1 - 2.0**-24]])
    many_ids = torch.arange(250_002)
    seen_11, _ = corrupt(
        torch.tensor([[5]]),
        torch.tensor([[True]]),
        mask_token_id=MASK,
        shares=Corruption(0.0, 1.0, 0.0),
        ordinary_ids_N=many_ids,
        action_noise_BT=top_11,
        replacement_noise_BT=top_11,
    )
    assert seen_11.item() == many_ids[-1]


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.2), (0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (80, 10, 10)])
def test_shares_that_do_not_add_to_one_are_an_error_that_adds_them_up(shares):
    with pytest.raises(InputError, match=f"add to 1; found .* which add to {sum(shares):g}"):
        Corruption(*shares).check()


def test_shares_that_need_noise_say_so_when_it_is_missing():
    with pytest.raises(InputError, match="need ordinary_ids_N"):
        corrupt(torch.tensor([[5]]), torch.tensor([[True]]), mask_token_id=MASK, shares=Corruption(0.8, 0.1, 0.1))
