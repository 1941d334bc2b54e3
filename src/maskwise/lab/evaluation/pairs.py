"""Minimal pairs and completions: the share of items in which the right sentence has the higher pseudo-log-likelihood.

Shapes: I items, O options of one, S sentences: the options of all items end to end.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from maskwise.errors import InputError
from maskwise.evaluation.choices import (
    Ties,
    are_identical,
    are_reordered,
    as_table,
    chance,
    check_ties,
    credits,
    top_options,
)
from maskwise.evaluation.pseudo_likelihood import Metric, check_metric, score_sentences
from maskwise.evaluation.sentences import encode_sentences, require_divided_words
from maskwise.lab.evaluation.item_files import ItemSet, TextColumns, read_item_sets
from maskwise.lab.evaluation.pair_results import PairsResult, summarize
from maskwise.lab.evaluation.scored_model import Counts, ScoredModel, open_model
from maskwise.progress import silent_if_not_shown


@silent_if_not_shown
def evaluate_pairs(
    model: Any,
    folders: str | Path | Iterable[str | Path],
    *,
    metric: Metric = "within-word",
    ties: Ties = "half",
    columns: TextColumns | None = None,
    tokenizer: Any = None,
    token_counts: Counts | None = None,
    seed: int = 0,
    show: bool = True,
) -> PairsResult:
    """Returns how often a model prefers the right sentence, next to what the counts of its training text prefer.

    Args:
        model: A run folder, a checkpoint, a hub name, or a masked language model with its `tokenizer`.
        folders: One or several folders or files of pairs or completions, laid out as `item_files` describes.
        metric: `within-word` (Kauf & Ivanova 2023) or `original` (Salazar et al. 2020).
        ties: `half` shares an item among the options that tie for the best; `first` gives it to the right one, as
            BabyLM's evaluation pipeline does. The rule holds for the model and for its floor.
        columns: The columns of the good and of the bad sentence, for JSON lines of no known layout.
        tokenizer: The model's tokenizer or its name, if it is not the checkpoint's own.
        token_counts: The data folder that the model was trained on, or its counts [V], for the unigram floor. A run
            folder knows its own.
        seed: Of the bootstrap over items.
        show: Show the progress on stderr.

    Returns:
        The result, with every item's scores in `items`.

    Raises:
        InputError: If the model does not load, a file cannot be read, or a sentence does not fit the model.

    >>> import tempfile
    >>> from maskwise.testing import tiny_model, word_tokenizer
    >>> tokenizer = word_tokenizer("the cat sits sit")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pair = '{"sentence_good": "the cat sits", "sentence_bad": "the cat sit"}'
    ...     _ = Path(folder, "agreement.jsonl").write_text(pair)
    ...     result = evaluate_pairs(tiny_model(tokenizer), folder, tokenizer=tokenizer, show=False)
    >>> len(result.items)
    1
    """
    check_metric(metric)
    check_ties(ties)
    found = read_item_sets(folders, columns)
    opened = open_model(model, tokenizer, token_counts)
    scored = pd.concat([score_items(opened, made, metric=metric, show=show) for made in found.sets], ignore_index=True)
    items = count_items(scored, ties)
    notes = [*found.notes, opened.floor_note]
    return PairsResult(opened.name, metric, ties, summarize(items, seed=seed), items, notes)


def score_items(opened: ScoredModel, item_set: ItemSet, *, metric: Metric, show: bool = True) -> pd.DataFrame:
    """Returns one row per item of a set with what its options score, in lists with the right option first.

    Columns: set, uid, item (its number within the uid), options (how many), identical, reordered, sums (nats), tokens,
    and floor_sums (by counts; None if they are not known).
    """
    listed = [(uid, number, item) for uid, items in item_set.paradigms.items() for number, item in enumerate(items)]
    texts = [text for _, _, item in listed for text in item.texts]
    starts = [start for _, _, item in listed for start in item.scored_from]
    try:
        sentences = encode_sentences(opened.tokenizer, texts, starts)
        if metric == "within-word":
            require_divided_words(texts, sentences)
        scores = score_sentences(opened.model, opened.tokenizer, sentences, metric=metric, show=show)
    except InputError as error:
        raise InputError(f"{item_set.path}: {error}") from None
    floor = opened.floor(sentences)
    ends = list(accumulate(len(item.texts) for _, _, item in listed))
    options = [sentences[begin:end] for begin, end in pairwise([0, *ends])]
    return pd.DataFrame(
        {
            "set": item_set.name,
            "uid": [uid for uid, _, _ in listed],
            "item": [number for _, number, _ in listed],
            "options": [len(several) for several in options],
            "identical": [are_identical(several) for several in options],
            "reordered": [are_reordered(several) for several in options],
            "sums": np.split(scores.sums_S, ends[:-1]),
            "tokens": np.split(scores.num_tokens_S, ends[:-1]),
            "floor_sums": None if floor is None else np.split(floor.sums_S, ends[:-1]),
        }
    )


def count_items(scored: pd.DataFrame, ties: Ties) -> pd.DataFrame:
    """Returns the rows of `score_items` with what each item counts.

    More columns: chosen (the first option on top), tie (the right option is on top with another), credit, credit_mean
    (by nats per token), floor and floor_mean (credits by counts, nan if they are not known), chance.
    """
    num_options_I = scored["options"].to_numpy(dtype=int)
    sums_S, tokens_S = (np.concatenate(scored[name].tolist()) for name in ("sums", "tokens"))
    sums_IO = as_table(sums_S, num_options_I)
    top_IO = top_options(sums_IO)
    columns = {
        "chosen": top_IO.argmax(axis=1),
        "tie": top_IO[:, 0] & (top_IO.sum(axis=1) > 1),
        "credit": credits(sums_IO, ties=ties),
        "credit_mean": credits(as_table(sums_S / tokens_S, num_options_I), ties=ties),
        "chance": chance(sums_IO),
        "floor": np.nan,
        "floor_mean": np.nan,
    }
    floor = scored["floor_sums"].tolist()
    if all(sums is not None for sums in floor):
        floor_S = np.concatenate(floor)
        columns["floor"] = credits(as_table(floor_S, num_options_I), ties=ties)
        columns["floor_mean"] = credits(as_table(floor_S / tokens_S, num_options_I), ties=ties)
    return scored.assign(**columns)
