"""How large the masking budget is: a rate over the progress of a run, and the number of tokens it means.

Shapes: B sequences.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from maskwise.errors import InputError

RateSchedule = Callable[[float], float]

# The smallest budget is one unit whatever the rate, so "one a sequence" is the rate whose share rounds to none.
ONE_UNIT_RATE = 0.0


@dataclass(frozen=True)
class _Constant:
    rate: float

    def __call__(self, progress: float) -> float:
        return self.rate


@dataclass(frozen=True)
class _Linear:
    start: float
    end: float

    def __call__(self, progress: float) -> float:
        return self.start + (self.end - self.start) * _clip(progress)


@dataclass(frozen=True)
class _Cosine:
    start: float
    end: float

    def __call__(self, progress: float) -> float:
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * _clip(progress))) / 2


@dataclass(frozen=True)
class _Steps:
    begins: tuple[float, ...]
    rates: tuple[float, ...]

    def __call__(self, progress: float) -> float:
        return self.rates[bisect_right(self.begins, _clip(progress)) - 1]


@dataclass(frozen=True)
class _Points:
    places: tuple[float, ...]
    rates: tuple[float, ...]

    def __call__(self, progress: float) -> float:
        progress = _clip(progress)
        after = min(max(bisect_right(self.places, progress), 1), len(self.places) - 1)
        low, high = self.places[after - 1], self.places[after]
        share = (progress - low) / (high - low)
        return self.rates[after - 1] + (self.rates[after] - self.rates[after - 1]) * share


@dataclass(frozen=True)
class _Periodic:
    schedule: RateSchedule
    periods: float

    def __call__(self, progress: float) -> float:
        turns = _clip(progress) * self.periods
        is_end = turns == self.periods and turns.is_integer()
        return self.schedule(1.0 if is_end else turns % 1)


def constant(rate: float) -> RateSchedule:
    """Returns the same rate at every progress.

    >>> constant(0.15)(0.7)
    0.15
    """
    return _Constant(_checked(rate))


def one_unit() -> RateSchedule:
    """Returns the schedule that masks one unit of each sequence, such as one entity (REALM's salient spans)."""
    return _Constant(ONE_UNIT_RATE)


def one_token() -> RateSchedule:
    """Returns `one_unit()` by its name for token units: one token of each sequence (entropy paper, section 3.4)."""
    return one_unit()


def linear(start: float, end: float) -> RateSchedule:
    """Returns a rate that moves linearly from `start` to `end` (Ankner et al., 2024: 0.30 to 0.15).

    >>> round(linear(0.3, 0.15)(0.5), 6)
    0.225
    """
    return _Linear(_checked(start), _checked(end))


def cosine(start: float, end: float) -> RateSchedule:
    """Returns a rate that moves from `start` to `end` along half a cosine (after Yang et al., 2023).

    >>> round(cosine(0.3, 0.1)(0.5), 6)
    0.2
    """
    return _Cosine(_checked(start), _checked(end))


def steps(phases: Sequence[tuple[float, float]]) -> RateSchedule:
    """Returns a rate that changes in steps: each phase is (progress at which it begins, rate), the first at 0.

    >>> schedule = steps([(0, 0.30), (0.8, 0.15)])
    >>> schedule(0.79), schedule(0.8)
    (0.3, 0.15)
    """
    begins, rates = _checked_pairs("steps", phases)
    if begins[-1] >= 1:
        raise InputError(
            f"The last phase of steps begins at {begins[-1]:g}, when the run is over. Use a share below 1."
        )
    return _Steps(begins, rates)


def points(points: Sequence[tuple[float, float]]) -> RateSchedule:
    """Returns a rate that is linear between points (progress, rate), the first at progress 0 and the last at 1.

    >>> round(points([(0, 0.15), (0.1, 0.30), (1, 0.15)])(0.05), 6)
    0.225
    """
    places, rates = _checked_pairs("points", points)
    if len(places) < 2 or places[-1] != 1:
        raise InputError(f"The last of the points is at progress 1; found {points!r}.")
    return _Points(places, rates)


def periodic(schedule: RateSchedule, periods: float) -> RateSchedule:
    """Returns a schedule that runs through another one `periods` times.

    >>> schedule = periodic(points([(0, 0.15), (0.5, 0.30), (1, 0.15)]), periods=10)
    >>> round(schedule(0.05), 6), round(schedule(0.1), 6)
    (0.3, 0.15)
    """
    if not periods > 0 or math.isinf(periods):
        raise InputError(f"A periodic rate has a number of periods above 0; found {periods}.")
    return _Periodic(schedule, float(periods))


def is_constant(schedule: RateSchedule) -> bool:
    """Returns True if a schedule is known not to depend on the progress of the run."""
    return isinstance(schedule, _Constant)


def rate_at(schedule: RateSchedule, progress: float) -> float:
    """Returns the rate of a schedule; raises InputError if it is not a share below 1 (0 is one unit a sequence).

    >>> rate_at(linear(0.3, 0.1), 0.5), rate_at(one_unit(), 0.5)
    (0.2, 0.0)
    """
    rate = schedule(progress)
    number = _number(rate)
    if number is None or not 0 <= number < 1:
        raise InputError(
            f"The rate schedule gave {rate} at progress {progress:g}. A masking rate is a share from 0 (one unit a "
            "sequence) to below 1."
        )
    return number


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


def _checked(rate: Any) -> float:
    number = _number(rate)
    if number is None or not 0 < number < 1:
        raise InputError(f"A masking rate is a share between 0 and 1; found {rate!r:.80}. Write 15% as 0.15.")
    return number


def _number(value: Any) -> float | None:
    """The number that a Python, NumPy or one-element tensor number is; None for anything else."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _checked_pairs(name: str, pairs: Sequence[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    example = "[[0, 0.30], [0.8, 0.15]]" if name == "steps" else "[[0, 0.15], [0.1, 0.30], [1, 0.15]]"
    is_list = isinstance(pairs, list | tuple) and all(isinstance(pair, list | tuple) for pair in pairs)
    if not is_list or not all(len(pair) == 2 and _number(pair[0]) is not None for pair in pairs):
        raise InputError(f"{name} are pairs of progress and rate, such as {example}; found {pairs!r}.")
    places = tuple(float(place) for place, _ in pairs)
    is_rising = all(first < second for first, second in pairwise(places))
    if not places or places[0] != 0 or places[-1] > 1 or not is_rising:
        raise InputError(f"{name} begin at progress 0 and rise to at most 1, such as {example}; found {pairs!r}.")
    return places, tuple(_checked(rate) for _, rate in pairs)


def _clip(progress: float) -> float:
    return min(max(progress, 0.0), 1.0)
