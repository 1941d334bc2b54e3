"""The exact test of paired differences: if each sign were a coin's, how often would the sum be as far from 0?

Shapes: S pretraining seeds.
"""

from __future__ import annotations

import numpy as np

from maskwise.lab.stats.paired import drop_rounding

MOST_ENUMERATED = (
    30  # seeds; beyond them the sums of one half alone would be 2^15 numbers, and double with every 2 seeds
)
_GRID = 2**20  # cells that the sum of all sizes is divided into for more seeds: 8 MB, and an error of one in a million


def sign_flip_p(differences_S: np.ndarray) -> float:
    """Returns the exact two-sided sign-flip p: the share of all 2^S signings whose sum is at least as far from 0.

    Up to 30 seeds the sums of both halves of the seeds are paired by bisection, 2^15 sums instead of 2^30. For more,
    the sizes are rounded to a millionth of their sum and the signings counted by convolution, without random draws, in
    8 MB and time proportional to S. What may tie with the observed sum counts as reaching it, so this p is never below
    the exact one; above it by less than 0.001 for up to 200 seeds, and equal to it if the scores are on a grid.

    Args:
        differences_S: One difference per pretraining seed [S].

    Returns:
        The p value, at least `sign_flip_floor(S)`.

    >>> sign_flip_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    0.0625
    """
    values_S = drop_rounding(differences_S)
    return _by_halves(values_S) if len(values_S) <= MOST_ENUMERATED else _by_convolution(values_S)


def sign_flip_floor(num_seeds: int) -> float:
    """Returns the smallest p that any exact two-sided test of signs or ranks can reach: 2 / 2^S.

    >>> sign_flip_floor(5)
    0.0625
    """
    return 2.0 ** (1 - num_seeds)


def _by_halves(values_S: np.ndarray) -> float:
    sizes_S = np.abs(values_S)
    bound = abs(values_S.sum()) - 1e-9 * sizes_S.sum()
    if bound <= 0:
        return 1.0
    some, others = (_signed_sums(half) for half in np.array_split(sizes_S, 2))
    others.sort()
    reaching = len(others) - np.searchsorted(others, bound - some)
    return float(min(1.0, 2 * reaching.sum() / 2 ** len(sizes_S)))


def _signed_sums(sizes: np.ndarray) -> np.ndarray:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return sums


def _by_convolution(values_S: np.ndarray) -> float:
    """A signing's sum is the sum of all sizes less twice those made negative, so subsets of sizes are counted."""
    sizes_S = np.abs(values_S) * (_GRID / (np.abs(values_S).sum() or 1.0))
    cells_S = np.rint(sizes_S).astype(int)
    # By rounding a sum moves by no more than this, so every signing that may reach the observed sum is counted.
    error = np.abs(sizes_S - cells_S).sum() + 1e-9 * _GRID
    bound = abs((np.sign(values_S) * sizes_S).sum()) - error
    if bound <= 0:
        return 1.0
    share_of_subsets = np.zeros(cells_S.sum() + 1)
    share_of_subsets[0] = 1.0
    for size in cells_S:
        without = share_of_subsets / 2
        share_of_subsets = without.copy()
        share_of_subsets[size:] += without[: len(without) - size]
    reaching = share_of_subsets[: int((cells_S.sum() - bound) // 2) + 1].sum()
    return float(min(1.0, 2 * reaching))
