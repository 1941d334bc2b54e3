"""The masking rate over the progress of a run, as functions and as settings write it.

Settings are checked with it too, before anything heavy is imported: no torch here.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, cast

from maskwise.errors import InputError
from maskwise.recipes.masking_keys import RATE_KINDS

RateSchedule = Callable[[float], float]

# The smallest budget is one unit whatever the rate, so "one a sequence" is the rate whose share rounds to none.
ONE_UNIT_RATE = 0.0
_MEAN_PLACES = 20_000


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


def read_rate(rate: Any) -> RateSchedule:
    """Returns the schedule that a rate setting means.

    Args:
        rate: A share, "one" (one unit of each sequence), a function, or a table: `schedule` (linear or cosine) with
            `start` and `end`, or `steps`, or `points`, run through once or `periods` times.

    Raises:
        InputError: For any other table.

    >>> read_rate({"schedule": "linear", "start": 0.3, "end": 0.1})(0.5)
    0.2
    >>> read_rate({"steps": [[0, 0.30], [0.8, 0.15]], "periods": 2})(0.5)
    0.3
    """
    if isinstance(rate, str) and rate == "one":
        return one_unit()
    if not isinstance(rate, Mapping):
        return cast(RateSchedule, rate) if callable(rate) else constant(cast(float, rate))
    table = {key: value for key, value in rate.items() if value is not None}
    periods = table.pop("periods", None)
    kinds = [kind for kind in RATE_KINDS if kind in table]
    if len(kinds) != 1:
        raise InputError(f"A rate's table has one of {', '.join(RATE_KINDS)}; found {', '.join(rate) or 'nothing'}.")
    schedule = _moving(table) if kinds == ["schedule"] else _piecewise(kinds[0], table)
    return schedule if periods is None else periodic(schedule, periods)


@lru_cache(maxsize=64)
def mean_over_run(schedule: RateSchedule) -> float:
    """Returns the mean of a schedule over a run, to about 1e-5.

    >>> round(mean_over_run(steps([(0, 0.30), (0.8, 0.15)])), 4)
    0.27
    """
    return sum(schedule((place + 0.5) / _MEAN_PLACES) for place in range(_MEAN_PLACES)) / _MEAN_PLACES


def _moving(table: Mapping[str, Any]) -> RateSchedule:
    """From a table with `schedule`."""
    named = {"linear": linear, "cosine": cosine}
    if table["schedule"] not in named:
        raise InputError(f"A rate's schedule is one of {', '.join(named)}; found {table['schedule']!r}.")
    if set(table) != {"schedule", "start", "end"}:
        found = ", ".join(f"{key} = {value!r}" for key, value in table.items())
        raise InputError(f"A rate with a schedule has a start and an end, and nothing else but periods; found {found}.")
    return named[table["schedule"]](table["start"], table["end"])


def _piecewise(kind: str, table: Mapping[str, Any]) -> RateSchedule:
    """From a table with `steps` or `points`."""
    if others := sorted(set(table) - {kind}):
        raise InputError(f"A rate of {kind} has nothing else but periods; found {', '.join(others)} too.")
    return (steps if kind == "steps" else points)(table[kind])


def _checked(rate: Any) -> float:
    number = _number(rate)
    if number is None or not 0 < number < 1:
        raise InputError(f"A masking rate is a share between 0 and 1; found {rate}. Write 15% as 0.15.")
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
