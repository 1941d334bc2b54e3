"""Reading times: does a model's surprisal say more of how long people read than frequency and length do?

Two numbers are given:

- *BabyLM's*: partial R2 x 100 in the sample, for eye tracking the mean over four measures. It is never negative, so
  noise has a positive score, and a bootstrap of it calls noise a finding.
- *held out*, signed: the gain in log-likelihood per word of sentences left out of the fit (10-fold by sentence), with
  an interval over sentences drawn anew.

Next to each stand two floors: the same number for surprisals that have changed places within their sentences, and for
the unigram surprisal by the counts of the training text. A model that learnt nothing is above the first: a word of
many pieces has a high surprisal in any model, and is read longer.

For self-paced reading the base also has the previous word's length and surprisal, since a word is still being read
while the next is shown.

Shapes: W words, Y measures, K predictors, P predictors tried: the surprisal, then the permuted ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from maskwise.errors import InputError
from maskwise.evaluation.surprisal import NUM_MASKS, encode_last_words, word_surprisal
from maskwise.lab.evaluation import reading_data as data
from maskwise.lab.evaluation.intervals import Interval, resampled
from maskwise.lab.evaluation.plain_table import aligned
from maskwise.lab.evaluation.reading_fits import (
    design,
    folds_of_sentences,
    held_out_gains,
    partial_r2,
    permuted_within,
)
from maskwise.lab.evaluation.scored_model import Counts, ScoredModel, open_model
from maskwise.lab.printed import Printed
from maskwise.lab.records.strict_json import to_json
from maskwise.progress import silent_if_not_shown

NUM_PERMUTATIONS = 200
MIN_SENTENCES = 20
_ALPHA = 0.05
EYE, PACED = "eye tracking", "self-paced"


@dataclass(frozen=True)
class MeasuredReading:
    """One kind of reading: eye tracking, or self-paced.

    `partial_r2` is BabyLM's number (x 100, in the sample), `gain` ours (nats per word, held out, signed). `*_permuted`
    are the mean and the 97.5% quantile over permuted surprisals, `*_unigram` the numbers of the unigram surprisal (nan
    if the counts are not known). `p` is the share of permutations with a gain at least as large.
    """

    name: str
    words: int
    sentences: int
    partial_r2: float
    partial_r2_permuted: tuple[float, float]
    partial_r2_unigram: float
    gain: Interval
    gain_permuted: tuple[float, float]
    gain_unigram: float
    p: float

    @property
    def is_finding(self) -> bool:
        """True if the held-out gain is above 0 and above what permuted surprisals give, each at 2.5%."""
        return self.gain.low > 0 and self.p <= _ALPHA / 2


@dataclass(frozen=True)
class ReadingResult(Printed):
    """The results of one model. `items` has a row per word: `pred`, `prev_pred` and `unigram` are in nats."""

    model: str
    measured: tuple[MeasuredReading, ...]
    items: pd.DataFrame = field(repr=False)
    note: str = ""

    def table(self) -> str:
        """Returns the results as plain text."""
        head = ["model", "reading", "words", "partial R2 x 100", "permuted", "unigram"]
        rows = [[*head, "held-out gain, nats per word", "95% interval", "permuted, 97.5%", "unigram", "p", "finding"]]
        for one in self.measured:
            rows.append(
                [
                    self.model, one.name, f"{one.words:,}", f"{one.partial_r2:.2f}",
                    f"{one.partial_r2_permuted[0]:.2f}", f"{one.partial_r2_unigram:.2f}", f"{one.gain.value:+.4f}",
                    f"{one.gain.low:+.4f} to {one.gain.high:+.4f}", f"{one.gain_permuted[1]:+.4f}",
                    f"{one.gain_unigram:+.4f}", f"{one.p:.3f}", "yes" if one.is_finding else "no",
                ]
            )  # fmt: skip
        return f"{aligned(rows)}\n- unigram: {self.note}" if self.note else aligned(rows)

    def as_json(self) -> str:
        """Returns everything but the words as JSON."""
        measured = {one.name: _as_dict(one) for one in self.measured}
        return to_json({"model": self.model, "note": self.note, "measured": measured}).rstrip()

    def __repr__(self) -> str:
        """Returns the table."""
        return self.table()


def _as_dict(one: MeasuredReading) -> dict[str, Any]:
    return asdict(one) | {"gain": one.gain._asdict(), "is_finding": one.is_finding}


@silent_if_not_shown
def evaluate_reading(
    model: Any,
    path: str | Path,
    *,
    tokenizer: Any = None,
    token_counts: Counts | None = None,
    num_masks: int = NUM_MASKS,
    num_permutations: int = NUM_PERMUTATIONS,
    seed: int = 0,
    show: bool = True,
) -> ReadingResult:
    """Returns how far a model's surprisals explain reading times, next to what permuted surprisals explain.

    Args:
        model: A run folder, a checkpoint, a hub name, or a masked language model with its `tokenizer`.
        path: BabyLM's `reading_data.csv`, or a file with its columns.
        tokenizer: The model's tokenizer or its name, if it is not the checkpoint's own.
        token_counts: The data folder that the model was trained on, or its counts [V], for the unigram surprisal.
        num_masks: How many [MASK] stand for the word and what follows it.
        num_permutations: How many times surprisals change places, for the floors.
        seed: Of the folds, the permutations and the bootstrap.
        show: Show the progress on stderr.

    Returns:
        What was gained per kind of reading, in nats per word of held-out data, and BabyLM's partial R2.

    Raises:
        InputError: If the model does not load, or the file cannot be read or has fewer than 20 sentences.

    Example:
        ```python
        from maskwise.lab import evaluate_reading

        evaluate_reading("run", "evaluation_data/reading/reading_data.csv")
        ```
    """
    words = data.read_reading_times(path)
    opened = open_model(model, tokenizer, token_counts)
    words = add_surprisals(words, opened, num_masks=num_masks, show=show)
    measured = fit_reading(words, num_permutations=num_permutations, seed=seed)
    return ReadingResult(opened.name, measured, words, opened.floor_note)


def add_surprisals(
    words: pd.DataFrame, opened: ScoredModel, *, num_masks: int = NUM_MASKS, show: bool = True
) -> pd.DataFrame:
    """Returns the words with surprisals: `pred`, `prev_pred` of the word before, and `unigram` by counts.

    nan stands for the word before if the file names none, and for counts that are not known.
    """
    has_previous_W = np.array([bool(item) for item in words["prev_item"]])
    contexts = [*words["item"], *words["prev_item"][has_previous_W]]
    asked = [*words["word"], *words["prev_word"][has_previous_W]]
    found = word_surprisal(opened.model, opened.tokenizer, contexts, asked, num_masks=num_masks, show=show)
    previous_W = np.full(len(words), np.nan)
    previous_W[has_previous_W] = found[len(words) :]
    floor = opened.floor(encode_last_words(opened.tokenizer, contexts[: len(words)], asked[: len(words)]))
    unigram_W = np.full(len(words), np.nan) if floor is None else -floor.sums_S
    return words.assign(pred=found[: len(words)], prev_pred=previous_W, unigram=unigram_W)


def fit_reading(
    words: pd.DataFrame, *, num_permutations: int = NUM_PERMUTATIONS, seed: int = 0
) -> tuple[MeasuredReading, ...]:
    """Returns the results of words with `pred`, `prev_pred` and `unigram`.

    A word with a missing value is left out of the fits that need it.
    """
    known = (data.FREQUENCY, data.LENGTH, data.CONTEXT_LENGTH)
    spilling = (*known, data.PREVIOUS_LENGTH, "prev_pred")
    return (
        _measure(words, EYE, known, data.EYE_TRACKING, num_permutations, seed),
        _measure(words, PACED, spilling, (data.SELF_PACED,), num_permutations, seed),
    )


def _measure(
    words: pd.DataFrame, name: str, base: tuple[str, ...], times: tuple[str, ...], num_permutations: int, seed: int
) -> MeasuredReading:
    is_whole_W = np.isfinite(words[[*base, *times, "pred"]].to_numpy(dtype=float)).all(axis=1)
    whole = pd.DataFrame(words.loc[is_whole_W])
    sentences_W = whole[data.SENTENCE].to_numpy()
    num_sentences = len(set(sentences_W))
    if num_sentences < MIN_SENTENCES:
        raise InputError(
            f"{num_sentences} sentences have {name} times and no value missing; at least {MIN_SENTENCES} are needed."
        )
    base_WK = design(whole[list(base)].to_numpy(dtype=float))
    times_WY, values_W = whole[list(times)].to_numpy(dtype=float), whole["pred"].to_numpy(dtype=float)
    fold_W, rng = folds_of_sentences(sentences_W, seed), np.random.default_rng([seed, 1])
    permuted = [values_W[permuted_within(sentences_W, rng)] for _ in range(num_permutations)]
    values_WP = np.column_stack([values_W, *permuted])
    shares_P = 100 * partial_r2(base_WK, values_WP, times_WY)
    gains_WP = held_out_gains(base_WK, values_WP, times_WY, fold_W)
    gain, gains_P = over_sentences(gains_WP[:, 0], sentences_W, seed=seed), gains_WP.mean(axis=0)
    unigram_W1 = whole[["unigram"]].to_numpy(dtype=float)
    has_unigram = bool(np.isfinite(unigram_W1).all())
    return MeasuredReading(
        name=name,
        words=len(values_W),
        sentences=num_sentences,
        partial_r2=float(shares_P[0]),
        partial_r2_permuted=_mean_and_top(shares_P[1:]),
        partial_r2_unigram=float(100 * partial_r2(base_WK, unigram_W1, times_WY)[0]) if has_unigram else float("nan"),
        gain=gain,
        gain_permuted=_mean_and_top(gains_P[1:]),
        gain_unigram=float(held_out_gains(base_WK, unigram_W1, times_WY, fold_W).mean())
        if has_unigram
        else float("nan"),
        p=(int((gains_P[1:] >= gain.value).sum()) + 1) / (num_permutations + 1),
    )


def over_sentences(gain_W: np.ndarray, sentences_W: np.ndarray, *, seed: int = 0) -> Interval:
    """Returns the mean gain per word with its interval over sentences drawn anew."""
    _, number_W = np.unique(sentences_W, return_inverse=True)
    sums_S, sizes_S = np.bincount(number_W, weights=gain_W), np.bincount(number_W)

    def mean_of(chosen: np.ndarray) -> float:
        return float(sums_S[chosen].sum() / sizes_S[chosen].sum())

    return resampled(mean_of, len(sums_S), seed=seed)


def _mean_and_top(values_P: np.ndarray) -> tuple[float, float]:
    return float(values_P.mean()), float(np.quantile(values_P, 1 - _ALPHA / 2))
