"""What came out of minimal pairs: per set and per paradigm, as tables, JSON and files.

Shares are of 1 in JSON and in the frames, in percent in tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from maskwise.files.atomic_folder import atomic_folder
from maskwise.lab.evaluation.intervals import macro_average
from maskwise.lab.evaluation.plain_table import aligned
from maskwise.lab.printed import Printed
from maskwise.lab.records.strict_json import to_json

_RESULT, _PREDICTIONS = "pairs.json", "predictions.parquet"
FEW_ITEMS = 1000
MEANS = ("credit", "credit_mean", "floor", "floor_mean", "chance")


@dataclass(frozen=True)
class Paradigm:
    """One paradigm: its number of items, and the mean credit of the model and of the unigram floor."""

    uid: str
    items: int
    accuracy: float
    floor: float


@dataclass(frozen=True)
class SetResult:
    """One set of items. `accuracy` is the mean over paradigms; `low` and `high` bound its 95% interval over items.

    `*_per_token` compare nats per token instead of sums. `tied` items have a tie on top, `identical` ones among them
    the same ids. `reordered` ones have the same tokens in another order, of which counts know nothing;
    `reordered_accuracy` and `reordered_floor` are means over them.
    """

    name: str
    items: int
    accuracy: float
    low: float
    high: float
    error: float
    floor: float
    chance: float
    accuracy_per_token: float
    floor_per_token: float
    tied: int
    identical: int
    reordered: int
    reordered_accuracy: float
    reordered_floor: float
    paradigms: tuple[Paradigm, ...]

    @property
    def same_tokens(self) -> float:
        """The share of items whose options have the same tokens, in the same order or in another."""
        return (self.identical + self.reordered) / self.items

    @property
    def is_small(self) -> bool:
        """True if the items are too few for the number to be read alone."""
        return self.items < FEW_ITEMS


def summarize(items: pd.DataFrame, *, seed: int = 0) -> list[SetResult]:
    """Returns the results of the sets in a frame of items (`pairs.score_items`), in its order."""
    return [_summary(str(name), frame, seed) for name, frame in items.groupby("set", sort=False)]


def _summary(name: str, frame: pd.DataFrame, seed: int) -> SetResult:
    groups = [(str(uid), group) for uid, group in frame.groupby("uid", sort=False)]
    means = {column: [_mean(group, column) for _, group in groups] for column in MEANS}
    average = {column: float(np.mean(values)) for column, values in means.items()}
    interval = macro_average([_values(group, "credit") for _, group in groups], seed=seed)
    is_reordered_I = frame["reordered"].to_numpy(dtype=bool)
    paradigms = (Paradigm(uid, len(group), _mean(group, "credit"), _mean(group, "floor")) for uid, group in groups)
    return SetResult(
        name=name,
        items=len(frame),
        accuracy=interval.value,
        low=interval.low,
        high=interval.high,
        error=interval.error,
        floor=average["floor"],
        chance=average["chance"],
        accuracy_per_token=average["credit_mean"],
        floor_per_token=average["floor_mean"],
        tied=int(frame["tie"].to_numpy(dtype=bool).sum()),
        identical=int(frame["identical"].to_numpy(dtype=bool).sum()),
        reordered=int(is_reordered_I.sum()),
        reordered_accuracy=_mean(frame, "credit", is_reordered_I),
        reordered_floor=_mean(frame, "floor", is_reordered_I),
        paradigms=tuple(paradigms),
    )


def _values(frame: pd.DataFrame, column: str) -> np.ndarray:
    return frame[column].to_numpy(dtype=float)


def _mean(frame: pd.DataFrame, column: str, chosen_I: np.ndarray | slice = slice(None)) -> float:
    values = _values(frame, column)[chosen_I]
    return float(values.mean()) if len(values) else float("nan")


@dataclass(frozen=True)
class PairsResult(Printed):
    """The results of one model. `items` has a row per item with the scores of its options."""

    model: str
    metric: str
    ties: str
    sets: Sequence[SetResult]
    items: pd.DataFrame = field(repr=False)
    notes: Sequence[str] = ()

    def table(self) -> str:
        """Returns the results as plain text, one row per set, with what has to be known to read them."""
        return "\n".join([pairs_table([self]), *(f"- {note}" for note in self._remarks())])

    def paradigm_table(self) -> str:
        """Returns the accuracy of each paradigm next to its floor: a picture of the set, and no interval."""
        rows = [["set", "paradigm", "items", "accuracy", "unigram floor"]]
        for one in self.sets:
            rows += [
                [one.name, p.uid, f"{p.items:,}", percent_or_dash(p.accuracy), percent_or_dash(p.floor)]
                for p in one.paradigms
            ]
        return aligned(rows)

    def as_json(self) -> str:
        """Returns everything but the items as JSON; what is not known is null."""
        sets = {one.name: asdict(one) | {"same_tokens": one.same_tokens} for one in self.sets}
        head = {"model": self.model, "metric": self.metric, "ties": self.ties}
        return to_json(head | {"sets": sets, "notes": list(self.notes)}).rstrip()

    def write(self, folder: str | Path) -> Path:
        """Writes `pairs.json` and `predictions.parquet` (one row per item) into a new folder, both or none."""
        with atomic_folder(Path(folder)) as made:
            (made / _RESULT).write_text(self.as_json() + "\n", encoding="utf-8")
            self.items.to_parquet(made / _PREDICTIONS, index=False)
        return Path(folder)

    def __repr__(self) -> str:
        """Returns the table."""
        return self.table()

    def _remarks(self) -> list[str]:
        ties = "a tie (within 1e-4 nats) counts half" if self.ties == "half" else "a tie goes to the right sentence"
        remarks = [
            f"{self.metric} pseudo-log-likelihood; {ties}, for the model and its floor alike. Accuracy is the mean "
            "over paradigms; the interval is over items drawn anew within paradigms.",
        ]
        for one in self.sets:
            remarks.append(
                f"{one.name}: {one.same_tokens:.2%} of the items have the same tokens on both sides ({one.identical:,} "
                f"the same ids, which this tokenizer does not tell apart); {one.tied:,} ties"
            )
            if one.is_small:
                remarks.append(
                    f"{one.name} has {one.items:,} items (standard error {one.error:.1%}): not a result alone"
                )
        return [*remarks, *self.notes]


def pairs_table(results: Sequence[PairsResult]) -> str:
    """Returns the results of several models side by side, one row per model and set."""
    header = ["model", "set", "items", "accuracy", "95% interval", "unigram floor", "chance"]
    header += ["per token", "floor per token", "reordered", "their floor"]
    rows = [header]
    for result in results:
        for one in result.sets:
            rows.append(
                [
                    result.model, one.name, f"{one.items:,}", percent_or_dash(one.accuracy),
                    f"{percent_or_dash(one.low)} to {percent_or_dash(one.high)}",
                    percent_or_dash(one.floor), percent_or_dash(one.chance),
                    percent_or_dash(one.accuracy_per_token), percent_or_dash(one.floor_per_token),
                    percent_or_dash(one.reordered_accuracy), percent_or_dash(one.reordered_floor),
                ]
            )  # fmt: skip
    return aligned(rows)


def percent_or_dash(value: float) -> str:
    """Returns a share in percent, or a dash if it is not known.

    >>> percent_or_dash(0.5627), percent_or_dash(float("nan"))
    ('56.27', '-')
    """
    return "-" if math.isnan(value) else f"{100 * value:.2f}"
