"""The seeds of a study file."""

from __future__ import annotations

from collections import Counter
from typing import Any

from maskwise.lab.seeds import SEED_LIMIT, parse_seeds


def read_seeds(value: Any) -> Any:
    """Returns the seeds of `"0-4"`, `"0,2,5"`, a number or a list; raises ValueError for none, others and repeats.

    >>> read_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    if isinstance(value, str):
        value = parse_seeds(value)
    seeds = list(value) if isinstance(value, list | tuple | range) else [value]
    if not seeds:
        raise ValueError("there is no seed")
    for seed in seeds:
        if type(seed) is not int or not 0 <= seed < SEED_LIMIT:
            raise ValueError(f"{seed!r} is not a seed: seeds are whole numbers from 0 to {SEED_LIMIT - 1:,}")
    repeated = sorted(seed for seed, count in Counter(seeds).items() if count > 1)
    if repeated:
        raise ValueError(f"the seed {repeated[0]} is there twice")
    return seeds
