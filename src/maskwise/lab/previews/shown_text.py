"""A text with what is known of each of its tokens, as pages and terminals show it.

Shapes: N tokens of the text. Entropy and surprisal are in nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

SHOWN_STRATEGIES = ("high", "low", "mid", "marginal", "random")


class Piece(NamedTuple):
    """A token in the source text: `before` is what lies between the token in front and this one, white space mostly.

    `continues`: not the first token of its word. `name`: how the vocabulary writes it.
    """

    token_id: int
    before: str
    text: str
    continues: bool
    name: str


class ShownWindow(NamedTuple):
    """One sequence as it would be masked: its tokens, what is known of each, and the tokens each strategy picks.

    `noise_N` is what random masking goes by, and what breaks ties. `may_mask_N` is False at special tokens.
    """

    pieces: tuple[Piece, ...]
    may_mask_N: Tensor
    entropy_N: Tensor
    surprisal_N: Tensor
    noise_N: Tensor
    picks: dict[str, Tensor]


class EntropyScale(NamedTuple):
    """The colour scale: the lowest and highest entropy of a text, rounded outwards to 0.1 nats."""

    low: float
    high: float

    def at(self, entropy: float) -> float:
        """Returns where an entropy lies on the scale, from 0 to 1.

        >>> EntropyScale(1.0, 5.0).at(2.0)
        0.25
        """
        return min(max((entropy - self.low) / (self.high - self.low), 0.0), 1.0)


@dataclass(frozen=True)
class ShownText:
    """A text cut into windows; the budget of `rate` is spent in each. `after`: what lies behind the last token.

    `own` names the recipe or score that is shown next to the strategies, at `rate` alone; empty if there is none.
    """

    checkpoint: str
    rate: float
    folds: int | None
    windows: tuple[ShownWindow, ...]
    after: str
    own: str = ""

    @property
    def strategies(self) -> tuple[str, ...]:
        """What is shown, in order: the keys of each window's `picks`."""
        return (*SHOWN_STRATEGIES, self.own) if self.own else SHOWN_STRATEGIES

    @property
    def num_tokens(self) -> int:
        return sum(len(window.pieces) for window in self.windows)

    def scale(self) -> EntropyScale:
        """Returns the scale that all windows share."""
        entropies = torch.cat([window.entropy_N[window.may_mask_N] for window in self.windows])
        low, high = math.floor(float(entropies.min()) * 10) / 10, math.ceil(float(entropies.max()) * 10) / 10
        return EntropyScale(low, max(high, low + 0.1))
