"""A picture of Typhoon's table: the token types it masks most and least, and how that moves over training.

Shapes: S looks at the table, V vocabulary.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback

from maskwise.lab.drawing import LINE_COLOURS, SOFT, draw_file
from maskwise.masking.masker import Masker
from maskwise.masking.vocabulary import Vocabulary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from maskwise.lab.tokens.blocks import DataFolder

_NUM_TYPES = 10  # at either end
MIN_SHARE = 1e-4  # of the training text: rarer types are noise
_WIDTH, HEIGHT = 9.0, 6.0  # inches
_MOST, _LEAST = LINE_COLOURS[1], LINE_COLOURS[2]


class KeepRates(TrainerCallback):
    """Keeps each type's rate of being masked with every evaluation: `step-N.npy`, float32 [V]."""

    def __init__(self, folder: Path, masker: Masker) -> None:
        self.folder, self.masker = folder, masker

    def on_evaluate(self, args, state, control, **kwargs):
        """Writes the rates as they are for the next step."""
        self.folder.mkdir(exist_ok=True)
        progress = state.global_step / max(state.max_steps, 1)
        rates_V = self.masker.score.type_rates(self.masker.rate_at(progress))
        assert rates_V is not None
        np.save(self.folder / f"step-{state.global_step}.npy", rates_V.cpu().numpy())


def read_rates(folder: Path) -> tuple[list[int], np.ndarray]:
    """Returns the steps at which rates were kept, in order, and the rates [S, V]."""
    found = {int(match[1]): path for path in folder.iterdir() if (match := re.fullmatch(r"step-(\d+)\.npy", path.name))}
    return sorted(found), np.stack([np.load(found[step]) for step in sorted(found)])


def extreme_types(
    rates_V: np.ndarray, counts_V: np.ndarray, num_types: int = _NUM_TYPES
) -> tuple[list[int], list[int]]:
    """Returns the ids masked most, highest first, and least, lowest first; of equal ones the frequent come first.

    Types below 1 / 10,000 of the text are left out, as long as enough others are there. `counts_V` is 0 for what is
    never masked.

    >>> extreme_types(np.array([0.1, 0.5, 0.9]), np.array([30_000, 30_000, 1]), num_types=1)
    ([1], [0])
    """
    ranked = np.flatnonzero(counts_V > MIN_SHARE * counts_V.sum())
    if len(ranked) < 2 * num_types:
        ranked = np.flatnonzero(counts_V)
    most, least = (ranked[np.lexsort((-counts_V[ranked], sign * rates_V[ranked]))][:num_types] for sign in (-1, 1))
    return most.tolist(), least.tolist()


def draw_rates(folder: Path, data: DataFolder, path: Path) -> None:
    """Writes an SVG of the rates kept in `folder`: bars at the last look, and lines over the steps."""
    steps, rates_SV = read_rates(folder)
    eligible_V = Vocabulary.of(data.tokenizer).eligible_V.numpy()
    counts_V = np.zeros(len(eligible_V), np.int64)
    counts_V[: len(data.token_counts)] = data.token_counts
    counts_V[~eligible_V] = 0
    average = float(np.average(rates_SV[-1], weights=counts_V))

    def draw(figure: Figure) -> None:
        rows: Any = figure.subplots(2, 2, width_ratios=(2, 3))
        sides = zip(("most", "least"), (_MOST, _LEAST), extreme_types(rates_SV[-1], counts_V), rows, strict=True)
        for which, color, ids, (bars, lines) in sides:
            names = [str(data.tokenizer.convert_ids_to_tokens(i)) for i in ids]
            _draw_bars(bars, f"masked {which}, step {steps[-1]:,}", names, rates_SV[-1, ids], color, average)
            _draw_lines(lines, steps, rates_SV[:, ids], color, average)
        rows[1][1].set_xlabel("step")

    draw_file(path, (_WIDTH, HEIGHT), draw)


def _draw_bars(ax: Axes, title: str, names: list[str], rates: np.ndarray, color: str, average: float) -> None:
    places = np.arange(len(names))[::-1]
    ax.bar_label(ax.barh(places, rates, color=color, alpha=0.8), fmt="{:.1%}", padding=2, fontsize=8)
    ax.set_yticks(places, names)
    ax.axvline(average, color=SOFT, linestyle="--", linewidth=1)
    ax.set_xlabel("rate of being masked")
    ax.set_title(title)
    ax.grid()


def _draw_lines(ax: Axes, steps: list[int], rates_SN: np.ndarray, color: str, average: float) -> None:
    for rates_S in rates_SN.T:
        ax.plot(steps, rates_S, color=color, alpha=0.5, linewidth=1, marker="o", markersize=2)
    ax.axhline(average, color=SOFT, linestyle="--", linewidth=1, label=f"all text: {average:.1%}")
    ax.set_ylim(bottom=0)
    ax.set_title("the same types over training")
    ax.grid()
    ax.legend()
