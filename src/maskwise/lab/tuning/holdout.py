"""The share of a training set that is set aside to select the epoch."""

from __future__ import annotations

import numpy as np

from maskwise.errors import InputError


def set_aside(num_examples: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Returns the examples to train on and those set aside: a random share that the seed draws, both in order.

    Raises InputError if there are too few to give a share away.

    >>> train, select = set_aside(10, 0.2, seed=0)
    >>> len(train), len(select), sorted(train + select) == list(range(10))
    (8, 2, True)
    """
    size = round(share * num_examples)
    if not 0 < size < num_examples:
        raise InputError(
            f"The training set has {num_examples:,} examples, of which a share of {share:g} gives {size:,} to select "
            "on. Change --set tune.select_share, or --select-on validation."
        )
    order = np.random.default_rng(seed).permutation(num_examples).tolist()
    return sorted(order[size:]), sorted(order[:size])
