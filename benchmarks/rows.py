"""A row of the benchmark: one piece of work our way and the stock way, and what no way could beat."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from floors import Cost, Rates


class Setting(NamedTuple):
    """What was worked on; `model` and `precision` are "-" where there is none."""

    model: str
    device: str
    precision: str
    vocabulary: int
    length: int


@dataclass(frozen=True)
class Row:
    """Medians over turns, with quartiles [first, third]; a ratio is ours / stock within a turn.

    `tokens` are those of one turn. Peaks are bytes at the height of a turn: what it adds to what the process holds,
    with the weights and the optimizer's state it uses; None where the system does not tell.
    """

    work: str
    model: str
    device: str
    precision: str
    vocabulary: int
    length: int
    tokens: int
    turns: int
    ours_seconds: float
    ours_quartiles: list[float]
    stock_seconds: float
    stock_quartiles: list[float]
    ratio: float
    ratio_quartiles: list[float]
    floor_seconds: float
    peak_memory_bytes: int | None
    stock_peak_memory_bytes: int | None


def make_row(
    work: str,
    setting: Setting,
    tokens: int,
    ours: Sequence[float],
    stock: Sequence[float],
    floor: tuple[Cost, Rates],
    peaks: tuple[int | None, int | None],
) -> Row:
    """Returns the row of seconds by turn, ours and stock, turn by turn beside each other; `peaks` likewise."""
    cost, rates = floor
    ratios = [a / b for a, b in zip(ours, stock, strict=True)]
    return Row(
        work, *setting, tokens, len(ours),
        statistics.median(ours), quartiles(ours), statistics.median(stock), quartiles(stock),
        statistics.median(ratios), quartiles(ratios), rates.floor_seconds(cost), *peaks,
    )  # fmt: skip


def quartiles(values: Sequence[float]) -> list[float]:
    """Returns the first and the third quartile."""
    return np.quantile(values, [0.25, 0.75]).tolist()


def as_json(rows: Sequence[Row]) -> str:
    """Returns the rows as a JSON list, a row a line."""
    return "[\n" + ",\n".join(json.dumps(asdict(row)) for row in rows) + "\n]\n"


COLUMNS = (
    f"{'work':<15} {'model':<8} {'prec.':<5} {'V':>7} {'T':>4} {'ours s':>9} {'stock s':>9} {'ratio':>6}"
    f" {'quartiles':>13} {'floor s':>9} {'floor/ours':>10} {'tokens/s':>9} {'peak GB':>8} {'stock GB':>8}"
)


def line(row: Row) -> str:
    """Returns the row as a line under `COLUMNS`."""
    low, high = row.ratio_quartiles
    quotient = f"{low:.2f} - {high:.2f}"
    return (
        f"{row.work:<15} {row.model:<8} {row.precision:<5} {row.vocabulary:>7,} {row.length:>4}"
        f" {row.ours_seconds:>9.4f} {row.stock_seconds:>9.4f} {row.ratio:>6.2f} {quotient:>13}"
        f" {row.floor_seconds:>9.4f} {row.floor_seconds / row.ours_seconds:>10.1%}"
        f" {row.tokens / row.ours_seconds:>9,.0f} {_gigabytes(row.peak_memory_bytes):>8}"
        f" {_gigabytes(row.stock_peak_memory_bytes):>8}"
    )


def _gigabytes(num_bytes: int | None) -> str:
    return "-" if num_bytes is None else f"{num_bytes / 1e9:.2f}"
