"""Which of several options a score prefers, with ties as ties.

Two sentences of the same ids cannot be told apart, and a unigram model cannot tell an order from another: such items
are even by right, and whoever gives them to the good sentence adds 9 points to BLiMP's floor. Sums in another order
also differ by rounding, so a tie is a difference of at most `TIE_NATS`, for models and floors alike.

Shapes: I items, O options; the right option is the first. Items of fewer options are filled up with -inf.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast, get_args

import numpy as np

from maskwise.errors import InputError, nearest
from maskwise.evaluation.sentences import Sentence

TIE_NATS = 1e-4
Ties = Literal["half", "first"]


def top_options(scores_IO: np.ndarray, tie: float = TIE_NATS) -> np.ndarray:
    """Returns bool [I, O]: the options that score as much as the best, within `tie`."""
    return scores_IO >= scores_IO.max(axis=1, keepdims=True) - tie


def credits(scores_IO: np.ndarray, *, ties: Ties = "half", tie: float = TIE_NATS) -> np.ndarray:
    """Returns what each item counts: 1 if the right option alone is on top, 0 if it is not, and for a tie its share.

    Args:
        scores_IO: The scores in nats, the right option first.
        ties: `half` shares an item among the options on top (half each, for a pair). `first` gives it to the right
            one, as BabyLM's evaluation pipeline does.
        tie: The largest difference that is a tie, in nats.

    Returns:
        float64 [I].

    >>> credits(np.array([[-1.0, -2.0], [-2.0, -1.0], [-2.0, -2.00005]])).tolist()
    [1.0, 0.0, 0.5]
    """
    check_ties(ties)
    top_IO = top_options(scores_IO, tie)
    share_I = 1 / top_IO.sum(axis=1) if ties == "half" else 1.0
    return top_IO[:, 0] * share_I


def check_ties(ties: str) -> Ties:
    """Returns the rule for ties; raises InputError for another."""
    if ties not in get_args(Ties):
        raise InputError(f"There is no rule {ties!r} for ties.{nearest(ties, get_args(Ties))} Known: half, first.")
    return cast(Ties, ties)


def chance(scores_IO: np.ndarray) -> np.ndarray:
    """Returns float64 [I]: what a coin would get, 1 / options."""
    return 1 / np.isfinite(scores_IO).sum(axis=1)


def are_identical(options: Sequence[Sentence]) -> bool:
    """Returns True if the right option has the same ids as another: this tokenizer does not tell them apart."""
    return any(option.key == options[0].key for option in options[1:])


def are_reordered(options: Sequence[Sentence]) -> bool:
    """Returns True if all options have the same tokens in another order: counts alone cannot tell them apart."""
    bags = [np.sort(option.scored_ids_N) for option in options]
    return not are_identical(options) and all(np.array_equal(bag, bags[0]) for bag in bags[1:])


def as_table(scores: np.ndarray, num_options_I: np.ndarray) -> np.ndarray:
    """Returns the scores of options end to end as a table [I, O], filled up with -inf.

    >>> as_table(np.array([-1.0, -2.0, -3.0]), np.array([2, 1])).tolist()
    [[-1.0, -2.0], [-3.0, -inf]]
    """
    is_option_IO = np.arange(num_options_I.max()) < num_options_I[:, None]
    scores_IO = np.full(is_option_IO.shape, -np.inf)
    scores_IO[is_option_IO] = scores
    return scores_IO
