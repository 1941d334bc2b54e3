"""Rows of text as columns of one width each."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], *, num_left: int = 2) -> str:
    """Returns rows as lines; the first `num_left` columns are left-aligned, the others right-aligned.

    >>> print(aligned([["name", "of", "value"], ["a", "b", "1.25"]]))
    name  of  value
    a     b    1.25
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:num_left], widths, strict=False)]
        right = [cell.rjust(width) for cell, width in zip(row[num_left:], widths[num_left:], strict=True)]
        lines.append("  ".join([*left, *right]).rstrip())
    return "\n".join(lines)
