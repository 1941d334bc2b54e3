"""The largest difference that would not matter: a number in the metric's units, or a share of pretraining's gain."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%(?:\s+of\s+the\s+gain)?\s*")
HOW = (
    "a number in the metric's own units (0.01 is one point of accuracy), or a share of pretraining's gain such as '5%'"
)


@dataclass(frozen=True)
class Margin:
    """A margin of `size`; if `is_share`, times the gain of the reference arm over the model without pretraining.

    >>> str(Margin(0.01)), str(Margin(0.05, is_share=True))
    ('0.01', '5% of the gain')
    """

    size: float
    is_share: bool = False

    def __str__(self) -> str:
        return f"{100 * self.size:g}% of the gain" if self.is_share else f"{self.size:g}"

    def limits(self, gains_NS: ArrayLike | None) -> ArrayLike:
        """Returns what `equivalence_p` takes: the number, or for a share the limit at each seed."""
        if not self.is_share:
            return self.size
        assert gains_NS is not None, "a share of the gain takes the gains"
        return self.size * np.asarray(gains_NS)

    @property
    def setting(self) -> float | str:
        """The margin as a study file has it."""
        return f"{100 * self.size:g}%" if self.is_share else self.size


def read_margin(value: Any) -> Margin:
    """Returns the margin that a number or a percentage says; raises ValueError for anything else.

    >>> read_margin("5%"), read_margin(0.01)
    (Margin(size=0.05, is_share=True), Margin(size=0.01, is_share=False))
    """
    if isinstance(value, Margin):
        return value
    if isinstance(value, str) and (found := PERCENT.fullmatch(value)):
        return _above_0(Margin(float(found[1]) / 100, is_share=True), value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return _above_0(Margin(float(value)), value)
    raise ValueError(f"a margin is {HOW}; found {value!r}")


def _above_0(margin: Margin, value: Any) -> Margin:
    if margin.size <= 0:
        raise ValueError(f"a margin is above 0: {HOW}; found {value!r}")
    return margin
