"""Seeds as people write them on a command line and in a study file."""

from __future__ import annotations


def parse_seeds(text: str) -> list[int]:
    """Returns the seeds that `0-4`, `0,2,5` or a mix of both names, in that order; raises ValueError for anything else.

    >>> parse_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not (last.isdecimal() and int(first) <= int(last))):
            raise ValueError("seeds are a range such as 0-4, or a list such as 0,2,5")
        seeds += range(int(first), int(last or first) + 1)
    return seeds
