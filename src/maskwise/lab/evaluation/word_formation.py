"""Word formation: does a model prefer the forms of made-up words that people prefer?

An item is two sentences that end in two forms of a word nobody knows ("actignability", "actignableness") and the share
of people who chose the first (Hofmann et al. 2024; BabyLM's `wug_*` sets). The model's share is the softmax of the two
pseudo-log-likelihoods; the score is Spearman's correlation of the two shares.

Shapes: I items.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import rankdata

from maskwise.errors import InputError
from maskwise.evaluation.pseudo_likelihood import Metric, check_metric, score_sentences
from maskwise.evaluation.sentences import encode_sentences, require_divided_words
from maskwise.lab.evaluation.intervals import Interval, resampled
from maskwise.lab.evaluation.scored_model import Counts, open_model
from maskwise.lab.printed import Printed
from maskwise.lab.records.strict_json import to_json
from maskwise.lab.text.rows import json_objects
from maskwise.progress import silent_if_not_shown


class WordForms(NamedTuple):
    """An item: two sentences and the share of people, 0 to 1, who chose the first."""

    sentences: tuple[str, str]
    ratio: float


@dataclass(frozen=True)
class WordFormationResult(Printed):
    """Spearman's correlation with people, its interval over items drawn anew, and that of the unigram floor.

    `items` has a row per item: sums of both sentences in nats, `prob` of the first, `ratio` of people.
    """

    model: str
    metric: str
    correlation: Interval
    floor: float
    items: pd.DataFrame = field(repr=False)
    note: str = ""

    def table(self) -> str:
        """Returns the result as plain text."""
        if not math.isfinite(self.correlation.value):
            return f"{self.model}: no correlation: the model's shares are all the same"
        low, high = (f"{100 * bound:.1f}" for bound in (self.correlation.low, self.correlation.high))
        floor = f"unigram floor {100 * self.floor:.1f}" if math.isfinite(self.floor) else "no unigram floor"
        return (
            f"{self.model}: Spearman's correlation x 100 = {100 * self.correlation.value:.1f}, 95% interval {low} to "
            f"{high} over {len(self.items):,} items; {floor} ({self.note}); {self.metric} pseudo-log-likelihood"
        )

    def as_json(self) -> str:
        """Returns everything but the items as JSON."""
        head = {"model": self.model, "metric": self.metric, "items": len(self.items), "note": self.note}
        return to_json(head | self.correlation._asdict() | {"floor": self.floor}).rstrip()

    def __repr__(self) -> str:
        """Returns the result as a line."""
        return self.table()


def read_word_forms(path: str | Path) -> list[WordForms]:
    """Returns the items of a JSON lines file with `sentences` (two, with a tab between them) and `ratio`.

    Raises:
        InputError: If the file is empty, or a line has not two sentences and a share from 0 to 1; names the line.
    """
    items = []
    for number, row in json_objects(Path(path)):
        where = f"{path}, line {number:,}"
        parts = row["sentences"].split("\t") if isinstance(row.get("sentences"), str) else []
        if len(parts) != 2 or not all(part.strip() for part in parts):
            raise InputError(f"{where}: 'sentences' is not two sentences with a tab between them.")
        ratio = row.get("ratio")
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
            raise InputError(f"{where}: 'ratio' is not a share from 0 to 1: {ratio!r:.60}.")
        items.append(WordForms((parts[0], parts[1]), float(ratio)))
    if not items:
        raise InputError(f"{path} is empty.")
    return items


@silent_if_not_shown
def evaluate_word_formation(
    model: Any,
    path: str | Path,
    *,
    metric: Metric = "within-word",
    tokenizer: Any = None,
    token_counts: Counts | None = None,
    seed: int = 0,
    show: bool = True,
) -> WordFormationResult:
    """Returns how far a model's preferences among forms of made-up words agree with people's.

    Args:
        model: A run folder, a checkpoint, a hub name, or a masked language model with its `tokenizer`.
        path: A JSON lines file as `read_word_forms` reads it.
        metric: `within-word` (Kauf & Ivanova 2023) or `original` (Salazar et al. 2020).
        tokenizer: The model's tokenizer or its name, if it is not the checkpoint's own.
        token_counts: The data folder that the model was trained on, or its counts [V], for the unigram floor.
        seed: Of the bootstrap over items.
        show: Show the progress on stderr.

    Returns:
        The correlation with its interval over items, and that of word frequencies alone.

    Raises:
        InputError: If the model does not load, or the file cannot be read.

    Example:
        ```python
        from maskwise.lab import evaluate_word_formation

        evaluate_word_formation("run", "evaluation_data/wug_past_tense.jsonl")
        ```
    """
    check_metric(metric)
    forms = read_word_forms(path)
    opened = open_model(model, tokenizer, token_counts)
    texts = [sentence for form in forms for sentence in form.sentences]
    sentences = encode_sentences(opened.tokenizer, texts)
    if metric == "within-word":
        require_divided_words(texts, sentences)
    scores = score_sentences(opened.model, opened.tokenizer, sentences, metric=metric, show=show)
    floor = opened.floor(sentences)
    ratios_I = np.array([form.ratio for form in forms])
    items = _frame(scores.sums_S, ratios_I)
    prob_I = items["prob"].to_numpy()
    return WordFormationResult(
        opened.name,
        metric,
        resampled(lambda chosen: spearman(prob_I[chosen], ratios_I[chosen]), len(forms), seed=seed),
        float("nan") if floor is None else spearman(_frame(floor.sums_S, ratios_I)["prob"].to_numpy(), ratios_I),
        items,
        opened.floor_note,
    )


def _frame(sums_S: np.ndarray, ratios_I: np.ndarray) -> pd.DataFrame:
    first_I, second_I = sums_S.reshape(-1, 2).T
    return pd.DataFrame({"first": first_I, "second": second_I, "prob": expit(first_I - second_I), "ratio": ratios_I})


def spearman(ours_I: np.ndarray, theirs_I: np.ndarray) -> float:
    """Returns Spearman's rank correlation, ties at their mean rank; nan if a side is constant.

    >>> round(spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0])), 6)
    0.5
    """
    ranks_2I = np.stack([rankdata(ours_I), rankdata(theirs_I)])
    ranks_2I -= ranks_2I.mean(axis=1, keepdims=True)
    spread = np.sqrt((ranks_2I**2).sum(axis=1)).prod()
    return float(ranks_2I.prod(axis=0).sum() / spread) if spread > 0 else float("nan")
