"""How large the masking budget is: a rate over the progress of a run, and the number of tokens it means.

Shapes: B sequences.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from maskwise.errors import InputError

RateSchedule = Callable[[float], float]

# The smallest budget is one token whatever the rate, so "one token a sequence" is the rate whose share rounds to none.
ONE_TOKEN_RATE = 0.0


def constant(rate: float) -> RateSchedule:
    """Returns the same rate at every progress.

    >>> constant(0.15)(0.7)
    0.15
    """
    _check(rate)
    return lambda progress: rate


def one_token() -> RateSchedule:
    """Returns the schedule that masks one token of each sequence (entropy paper, section 3.4)."""
    return lambda progress: ONE_TOKEN_RATE


def linear(start: float, end: float) -> RateSchedule:
    """Returns a rate that moves linearly from `start` to `end` (Ankner et al., 2024: 0.30 to 0.15).

    >>> round(linear(0.3, 0.15)(0.5), 6)
    0.225
    """
    _check(start)
    _check(end)
    return lambda progress: start + (end - start) * _clip(progress)


def cosine(start: float, end: float) -> RateSchedule:
    """Returns a rate that moves from `start` to `end` along half a cosine (after Yang et al., 2023).

    >>> round(cosine(0.3, 0.1)(0.5), 6)
    0.2
    """
    _check(start)
    _check(end)
    return lambda progress: end + (start - end) * (1 + math.cos(math.pi * _clip(progress))) / 2


def rate_at(schedule: RateSchedule, progress: float) -> float:
    """Returns the rate of a schedule; raises InputError where it is no share below 1 (0 is one token a sequence).

    >>> rate_at(linear(0.3, 0.1), 0.5), rate_at(one_token(), 0.5)
    (0.2, 0.0)
    """
    rate = schedule(progress)
    if not 0 <= rate < 1:
        raise InputError(
            f"The rate schedule gave {rate} at progress {progress:g}. A masking rate is a share from 0 (one token a "
            "sequence) to below 1."
        )
    return rate


def token_budget(num_eligible_B: Tensor, rate: float) -> Tensor:
    """Returns k = max(1, floor(rate n + 0.5)) tokens for n eligible ones, at most n, and 0 where n is 0.

    >>> token_budget(torch.tensor([0, 1, 3, 10, 100]), 0.15).tolist()
    [0, 1, 1, 2, 15]
    """
    rounded_B = torch.floor(rate * num_eligible_B.to(torch.float64) + 0.5).to(torch.int64)
    return torch.minimum(rounded_B.clamp_min(1), num_eligible_B)


def _check(rate: float) -> None:
    if not 0 < rate < 1:
        raise InputError(f"A masking rate is a share between 0 and 1; found {rate}. Write 15% as 0.15.")


def _clip(progress: float) -> float:
    return min(max(progress, 0.0), 1.0)
