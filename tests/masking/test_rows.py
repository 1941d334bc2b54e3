"""The places of a batch, with and without a number known beforehand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.masking.rows import PAD_INDEX, Rows

masks = st.integers(1, 4).flatmap(
    lambda length: st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=4)
)


@given(masks, st.integers(0, 3))
def test_a_number_known_beforehand_adds_rows_that_are_nowhere_and_changes_nothing_else(mask, spare):
    mask_BT = torch.tensor(mask)
    counted = Rows.of(mask_BT)
    filled = Rows.of(mask_BT, len(counted.index_R) + spare)
    assert filled.index_R.tolist() == counted.index_R.tolist() + [PAD_INDEX] * spare
    values_BT = torch.arange(1, 1 + mask_BT.numel()).view(mask_BT.shape)
    assert filled.take(values_BT, -7).tolist() == values_BT[mask_BT].tolist() + [-7] * spare
    for rows in (counted, filled):
        assert rows.put(rows.take(values_BT, -7)).equal(torch.where(mask_BT, values_BT, 0))


@given(masks)
def test_what_is_more_than_was_said_is_cut_off(mask):
    mask_BT = torch.tensor(mask)
    places = mask_BT.flatten().nonzero()[:, 0].tolist()
    assert Rows.of(mask_BT, 1).index_R.tolist() == (places or [PAD_INDEX])[:1]


def test_a_known_number_needs_no_look_at_the_values():
    """A meta tensor has no values: whoever asks for one is refused, as a GPU would have to wait there."""
    mask_BT = torch.ones(2, 3, dtype=torch.bool, device="meta")
    assert Rows.of(mask_BT, 4).take(torch.ones(2, 3, device="meta"), 0).shape == (4,)
    with pytest.raises(NotImplementedError):
        Rows.of(mask_BT)
