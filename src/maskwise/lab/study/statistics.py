"""The statistics that a study declares before anything runs: what is compared, by what, and what would not matter.

    [statistics]
    family = [["high", "random"]]   # each pair on each backbone and task is one hypothesis of the family
    gain_of = "random"              # the arm whose gain over not pretrained is the yardstick
    margin = "5%"                   # the largest difference that would not matter: of that gain, or 0.01 as it is
    expected_sd = {pos = 0.0017, n = 3}   # of paired differences, from a pilot of 3 seeds, in the metric's own units
    expected_gain = {pos = 0.06}

Standard deviations are of paired differences. A margin in percent is a share of the gain of `gain_of`, which asks for
the models without pretraining; a number is in the metric's own units, like everything that is expected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from maskwise.errors import InputError, nearest
from maskwise.lab.stats.margin import Margin, read_margin

# The rows of results that are no arm's: the weights that each seed's arms start from, tuned like them; and a checkpoint
# that a study continues, as it was given.
NOT_PRETRAINED, AS_GIVEN = "not-pretrained", "as-given"
REFERENCES = (NOT_PRETRAINED, AS_GIVEN)
NUM_PILOT_SEEDS = "n"

DeclaredMargin = Annotated[
    Any, BeforeValidator(read_margin), PlainSerializer(lambda margin: margin.setting, return_type=float | str)
]


class Statistics(BaseModel):
    """What is compared, and by what measure; declared before anything runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: tuple[tuple[str, str], ...] = Field(description="pairs of arms: [ours, theirs]")
    margin: DeclaredMargin = Field(description="the largest difference that would not matter: 0.01, or 5% of the gain")
    gain_of: str | None = Field(default=None, description="the arm whose gain over not pretrained is the yardstick")
    alpha: float = Field(default=0.05, gt=0, lt=1)
    metrics: dict[str, str] = Field(default_factory=dict, description="by task; default: the task's primary one")
    expected_sd: dict[str, float] = Field(
        default_factory=dict, description="of paired differences, by task, and n: the seeds of the pilot"
    )
    expected_gain: dict[str, float] = Field(default_factory=dict, description="of pretraining, by task")

    def margin_on(self, task: str) -> float | None:
        """Returns the margin in a task's units; None for a share of a gain that is not expected to be of any size."""
        margin: Margin = self.margin
        if not margin.is_share:
            return margin.size
        gain = self.expected_gain.get(task)
        return None if gain is None else margin.size * gain

    @property
    def num_pilot_seeds(self) -> int:
        """How many seeds the expected standard deviations come from."""
        return int(self.expected_sd.get(NUM_PILOT_SEEDS, 0))


def check_statistics(statistics: Statistics, arms: Sequence[str], tasks: Sequence[str]) -> None:
    """Raises InputError for statistics that name what the study has not, or that contradict themselves."""
    _check_family(statistics, arms)
    if statistics.gain_of is not None and statistics.gain_of not in arms:
        raise InputError(
            f"statistics.gain_of names {statistics.gain_of!r}, which is not an arm.{nearest(statistics.gain_of, arms)}"
        )
    if statistics.margin.is_share and statistics.gain_of is None:
        raise InputError(
            f"statistics.margin is {statistics.margin}, and statistics.gain_of does not name the arm whose gain over "
            'the model without pretraining is meant. Add gain_of = "random", or give the margin as a number.'
        )
    for name in ("expected_sd", "expected_gain"):
        _check_expected(name, dict(getattr(statistics, name)), tasks)
    if statistics.expected_sd and not (statistics.num_pilot_seeds >= 2):
        raise InputError(
            "statistics.expected_sd does not say how many seeds it comes from: a standard deviation of few seeds is "
            "easily too small by half. Add n, at least 2, as in {pos = 0.0017, n = 3}."
        )


def _check_family(statistics: Statistics, arms: Sequence[str]) -> None:
    for pair in statistics.family:
        for name in pair:
            if name not in arms:
                raise InputError(f"statistics.family compares {name!r}, which is not an arm.{nearest(name, arms)}")
        if pair[0] == pair[1]:
            raise InputError(f"statistics.family compares {pair[0]!r} with itself.")
    if not statistics.family:
        raise InputError("statistics.family is empty: declare which arms are compared, as [[ours, theirs], ...].")


def _check_expected(name: str, expected: dict[str, float], tasks: Sequence[str]) -> None:
    number = expected.pop(NUM_PILOT_SEEDS, None) if name == "expected_sd" else None
    if number is not None and number != int(number):
        raise InputError(f"statistics.expected_sd.n is a number of seeds; found {number!r}.")
    for task, value in expected.items():
        if task not in tasks:
            raise InputError(f"statistics.{name} names {task!r}, which is not among the tasks.{nearest(task, tasks)}")
        if not 0 < value < math.inf:
            raise InputError(f"statistics.{name}.{task} is in the metric's own units, and above 0; found {value!r}.")
