"""Seeds as people write them on a command line and in a study file."""

from __future__ import annotations

from collections.abc import Sequence

from maskwise.errors import InputError

SEED_LIMIT = 2**32  # numpy's
MAX_SEEDS = 100_000


def parse_seeds(text: str) -> list[int]:
    """Returns the seeds that `0-4`, `0,2,5` or a mix of both names, in that order.

    Raises:
        ValueError: For anything else, a seed of 2^32 or more, and more than 100,000 seeds.

    >>> parse_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not (last.isdecimal() and int(first) <= int(last))):
            raise ValueError("seeds are a range such as 0-4, or a list such as 0,2,5")
        begin, end = int(first), int(last or first)
        if end >= SEED_LIMIT or end - begin + len(seeds) >= MAX_SEEDS:
            raise ValueError(f"seeds are below {SEED_LIMIT:,}, and {MAX_SEEDS:,} at most")
        seeds += range(begin, end + 1)
    return seeds


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises InputError if there is no seed, if one is there twice, or is not a whole number from 0 to 2^32 - 1."""
    if isinstance(seeds, int | str):
        raise InputError(f"Seeds are several numbers; found {seeds!r}. Write seeds=(0,), or seeds=range(5).")
    if not seeds:
        raise InputError("There is no seed. Give one at least, such as seeds=(0,).")
    for seed in seeds:
        if not isinstance(seed, int) or not 0 <= seed < SEED_LIMIT:
            raise InputError(f"The seed {seed!r} is not a whole number from 0 to {SEED_LIMIT - 1:,}.")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"A seed is there twice: {', '.join(map(str, seeds)):.200}.")
