"""Lists of seeds as people write them."""

from __future__ import annotations

from typing import Any


def read_seeds(value: Any) -> Any:
    """Returns the seeds of `"0-4"`, `"0,2,5"`, a number or a list; raises ValueError for others and for repeats.

    >>> read_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    seeds = _from_text(value) if isinstance(value, str) else [value] if isinstance(value, int) else list(value)
    repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        raise ValueError(f"the seed {repeated[0]} is there twice")
    return seeds


def _from_text(text: str) -> list[int]:
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not (last.isdecimal() and int(first) <= int(last))):
            raise ValueError("seeds are a range such as 0-4, or a list such as 0,2,5")
        seeds += range(int(first), int(last or first) + 1)
    return seeds
