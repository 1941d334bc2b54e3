"""The number of tokens that a masking rate means.

Shapes: B sequences.
"""

from __future__ import annotations

import torch
from torch import Tensor


def token_budget(num_eligible_B: Tensor, rate: float) -> Tensor:
    """Returns k = max(1, floor(rate n + 0.5)) tokens for n eligible ones, at most n, and 0 if n is 0.

    >>> token_budget(torch.tensor([0, 1, 3, 10, 100]), 0.15).tolist()
    [0, 1, 1, 2, 15]
    """
    rounded_B = torch.floor(rate * num_eligible_B.to(torch.float64) + 0.5).to(torch.int64)
    return torch.minimum(rounded_B.clamp_min(1), num_eligible_B)


def mean_budget(num_eligible_B: Tensor, rate: float) -> Tensor:
    """Returns max(1, rate n) tokens for n eligible ones, 0 if n is 0: a budget that whole units meet on average.

    >>> mean_budget(torch.tensor([0, 3, 10]), 0.15).tolist()
    [0.0, 1.0, 1.5]
    """
    return torch.minimum((rate * num_eligible_B.to(torch.float64)).clamp_min(1), num_eligible_B.to(torch.float64))
