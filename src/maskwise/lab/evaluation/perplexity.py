"""Pseudo-perplexity per word: how probable a model finds a text, comparable across tokenizers.

The text is cut into windows of 48 words of one document, each scored by its pseudo-log-likelihood. Per word, not per
token: a tokenizer of small pieces makes each piece easy and every word dear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from maskwise.errors import InputError
from maskwise.evaluation.pseudo_likelihood import Metric, check_metric, score_sentences
from maskwise.evaluation.sentences import encode_sentences, require_divided_words
from maskwise.lab.evaluation.intervals import Interval, resampled
from maskwise.lab.evaluation.scored_model import Counts, open_model
from maskwise.lab.evaluation.side_by_side import WINDOW_WORDS, word_windows
from maskwise.lab.printed import Printed
from maskwise.lab.records.strict_json import to_json
from maskwise.models.model_limits import longest_window
from maskwise.progress import silent_if_not_shown

NUM_WINDOWS = 256
MAX_EXPONENT = 700.0


@dataclass(frozen=True)
class PerplexityResult(Printed):
    """exp(-sum of log-likelihoods / words), its interval over windows drawn anew, and the unigram model's.

    `unknown` counts tokens that stand for words the tokenizer does not know: they are easier than the words.
    `skipped` windows are longer than the model's positions. `items` has a row per window.
    """

    model: str
    metric: str
    words: int
    perplexity: Interval
    floor: float
    unknown: int
    skipped: int
    items: pd.DataFrame = field(repr=False)
    note: str = ""

    def table(self) -> str:
        """Returns the result as plain text."""
        one, floor = self.perplexity, "not known" if np.isnan(self.floor) else f"{self.floor:,.1f}"
        return (
            f"{self.model}: pseudo-perplexity {one.value:,.1f} per word, 95% interval {one.low:,.1f} to "
            f"{one.high:,.1f} over {len(self.items):,} windows of {WINDOW_WORDS} words; unigram floor {floor} "
            f"({self.note}); {self.unknown:,} unknown tokens; {self.skipped:,} windows too long for the model; "
            f"{self.metric} pseudo-log-likelihood"
        )

    def as_json(self) -> str:
        """Returns everything but the windows as JSON."""
        head = {"model": self.model, "metric": self.metric, "words": self.words, "floor": self.floor}
        counts = {"unknown": self.unknown, "skipped": self.skipped, "note": self.note}
        return to_json(head | counts | {"perplexity": self.perplexity._asdict()}).rstrip()

    def __repr__(self) -> str:
        """Returns the result as a line."""
        return self.table()


@silent_if_not_shown
def evaluate_perplexity(
    model: Any,
    sources: str | Sequence[str],
    *,
    num_windows: int = NUM_WINDOWS,
    metric: Metric = "within-word",
    tokenizer: Any = None,
    token_counts: Counts | None = None,
    seed: int = 0,
    show: bool = True,
) -> PerplexityResult:
    """Returns a model's pseudo-perplexity per word of a text.

    Args:
        model: A run folder, a checkpoint, a hub name, or a masked language model with its `tokenizer`.
        sources: One text or several, as `maskwise prepare` takes them.
        num_windows: How many windows of 48 words are scored, the first of the text.
        metric: `within-word` (Kauf & Ivanova 2023) or `original` (Salazar et al. 2020).
        tokenizer: The model's tokenizer or its name, if it is not the checkpoint's own.
        token_counts: The data folder that the model was trained on, or its counts [V], for the unigram floor.
        seed: Of the bootstrap over windows.
        show: Show the progress on stderr.

    Returns:
        The perplexity with its interval over windows, and the floor of word frequencies alone.

    Raises:
        InputError: If the model does not load, or no window is left that fits it.

    Example:
        ```python
        from maskwise.lab import evaluate_perplexity

        evaluate_perplexity("run", "held-out.txt", num_windows=256)
        ```
    """
    check_metric(metric)
    sources = [sources] if isinstance(sources, str) else sources
    opened = open_model(model, tokenizer, token_counts)
    texts = [" ".join(words) for words in islice(word_windows(sources), num_windows)]
    sentences = encode_sentences(opened.tokenizer, texts)
    longest = longest_window(opened.model, opened.tokenizer)
    fitting = [number for number, sentence in enumerate(sentences) if len(sentence.input_ids_T) <= longest]
    if not fitting:
        raise InputError(
            f"There is nothing to score in {', '.join(sources)}: a window has {WINDOW_WORDS} words of one document, "
            f"and {len(texts):,} of them are longer than the model's {longest:,} positions."
        )
    num_skipped = len(texts) - len(fitting)
    texts, sentences = [texts[i] for i in fitting], [sentences[i] for i in fitting]
    if metric == "within-word":
        require_divided_words(texts, sentences)
    scores = score_sentences(opened.model, opened.tokenizer, sentences, metric=metric, show=show)
    floor, unknown_id = opened.floor(sentences), opened.tokenizer.unk_token_id
    num_words = len(texts) * WINDOW_WORDS
    return PerplexityResult(
        opened.name,
        metric,
        num_words,
        resampled(lambda chosen: _per_word(scores.sums_S[chosen]), len(texts), seed=seed),
        float("nan") if floor is None else _per_word(floor.sums_S),
        sum(int((sentence.scored_ids_N == unknown_id).sum()) for sentence in sentences),
        num_skipped,
        pd.DataFrame({"text": texts, "sum": scores.sums_S, "tokens": scores.num_tokens_S}),
        opened.floor_note,
    )


def _per_word(sums_S: np.ndarray) -> float:
    """Returns the pseudo-perplexity of windows, all of which have the same number of words."""
    return float(np.exp(min(-sums_S.mean() / WINDOW_WORDS, MAX_EXPONENT)))
