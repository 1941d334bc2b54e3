"""What the model sees in place of a picked token, and what it must predict.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maskwise.errors import InputError

IGNORE = -100


class Corruption(NamedTuple):
    """Shares of picked tokens that become [MASK], become a random token, or stay as they are; they add to 1.

    The entropy paper's equation 1 is (1, 0, 0), BERT's is (0.8, 0.1, 0.1).
    """

    mask: float = 1.0
    random: float = 0.0
    unchanged: float = 0.0

    def check(self) -> Corruption:
        """Returns itself; raises InputError unless the shares are at least 0 and add to 1."""
        if min(self) < 0 or abs(sum(self) - 1) > 1e-6:
            raise InputError(
                f"The corruption shares [MASK] / random / unchanged must be at least 0 and add to 1; "
                f"found {self.mask} / {self.random} / {self.unchanged}, which add to {sum(self):g}."
            )
        return self


def corruption_shares(shares: Any) -> Corruption:
    """Returns the shares of a corruption; two leave out those that stay as they are.

    Raises:
        InputError: For something other than up to three numbers that are at least 0 and add to 1.

    >>> corruption_shares((0.8, 0.1, 0.1)).random
    0.1
    """
    is_numbers = isinstance(shares, Sequence) and not isinstance(shares, str) and 0 < len(shares) <= 3
    if not is_numbers or not all(isinstance(share, int | float) for share in shares):
        raise InputError(
            f"A corruption is the shares of [MASK], random and unchanged tokens; found {shares!r:.80}. Write "
            "corruption=(0.8, 0.1, 0.1)."
        )
    return Corruption(*map(float, shares)).check()


class Corrupted(NamedTuple):
    """`input_ids_BT`: what the model sees. `labels_BT`: the original token where picked, IGNORE (-100) elsewhere."""

    input_ids_BT: Tensor
    labels_BT: Tensor


def corrupt(
    input_ids_BT: Tensor,
    picked_BT: Tensor,
    *,
    mask_token_id: int,
    shares: Corruption = Corruption(),
    ordinary_ids_N: Tensor | None = None,
    action_noise_BT: Tensor | None = None,
    replacement_noise_BT: Tensor | None = None,
) -> Corrupted:
    """Returns the corrupted input and the labels; the caller's tensors stay as they are.

    Args:
        input_ids_BT: Token ids [B, T].
        picked_BT: True at the tokens that get a label.
        mask_token_id: The id of [MASK].
        shares: Which shares of the picked tokens become [MASK], become random tokens, and stay as they are.
        ordinary_ids_N: The ids that random replacements are drawn from (no special tokens). This and both noises are
            needed only if `shares.mask` is below 1.
        action_noise_BT: Uniform numbers that decide between the three shares; equal noise over a unit gives the whole
            unit one fate.
        replacement_noise_BT: Uniform numbers that decide which ordinary id replaces a token.

    Returns:
        `input_ids_BT` corrupted, and `labels_BT`: the ids at picked tokens, -100 elsewhere.

    Raises:
        InputError: If `shares.mask` is below 1 and the ids or a noise are missing.

    >>> corrupt(torch.tensor([[5, 6, 7]]), torch.tensor([[False, True, False]]), mask_token_id=4)
    Corrupted(input_ids_BT=tensor([[5, 4, 7]]), labels_BT=tensor([[-100,    6, -100]]))
    """
    labels_BT = torch.where(picked_BT, input_ids_BT, IGNORE)
    masked_ids_BT = torch.where(picked_BT, mask_token_id, input_ids_BT)
    if shares.mask >= 1:
        return Corrupted(masked_ids_BT, labels_BT)
    if ordinary_ids_N is None or action_noise_BT is None or replacement_noise_BT is None:
        raise InputError("shares below 100% [MASK] need ordinary_ids_N, action_noise_BT and replacement_noise_BT")
    drawn_BT = (replacement_noise_BT.to(torch.float64) * len(ordinary_ids_N)).to(torch.int64)
    to_random_BT = picked_BT & (action_noise_BT >= shares.mask) & (action_noise_BT < shares.mask + shares.random)
    to_same_BT = picked_BT & (action_noise_BT >= shares.mask + shares.random)
    corrupted_BT = torch.where(to_random_BT, ordinary_ids_N[drawn_BT], masked_ids_BT)
    return Corrupted(torch.where(to_same_BT, input_ids_BT, corrupted_BT), labels_BT)
