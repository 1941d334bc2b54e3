"""The seeds of a study file."""

from __future__ import annotations

from typing import Any

from maskwise.seeds import parse_seeds


def read_seeds(value: Any) -> Any:
    """Returns the seeds of `"0-4"`, `"0,2,5"`, a number or a list; raises ValueError for others and for repeats.

    >>> read_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    seeds = parse_seeds(value) if isinstance(value, str) else [value] if isinstance(value, int) else list(value)
    repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        raise ValueError(f"the seed {repeated[0]} is there twice")
    return seeds
