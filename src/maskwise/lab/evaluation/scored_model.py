"""The model that is evaluated, with its tokenizer and the counts of the text that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwise.errors import InputError, first_line
from maskwise.evaluation.pseudo_likelihood import SentenceScores
from maskwise.evaluation.sentences import Sentence
from maskwise.evaluation.unigram import score_by_counts, unigram_log_probabilities
from maskwise.lab.records.run_folder import CONFIG, stored_settings
from maskwise.lab.tokens.blocks import open_data
from maskwise.models.device import nth_device
from maskwise.models.loading import load_checkpoint, load_tokenizer

Counts = str | Path | np.ndarray


@dataclass(frozen=True)
class ScoredModel:
    """A masked language model to evaluate. `floor_note` says where its unigram floor is from, or why it has none."""

    name: str
    model: Any
    tokenizer: Any
    unigram_V: np.ndarray | None
    floor_note: str

    def floor(self, sentences: list[Sentence]) -> SentenceScores | None:
        """Returns what the counts of the training text alone score, None if they are not known."""
        return None if self.unigram_V is None else score_by_counts(sentences, self.unigram_V)


def open_model(model: Any, tokenizer: Any = None, token_counts: Counts | None = None) -> ScoredModel:
    """Returns a model ready to be scored.

    Args:
        model: A run folder, a checkpoint, a hub name, or a model of transformers. What is open already is returned.
        tokenizer: The model's tokenizer or its name; for a model object it has to be given.
        token_counts: The data folder that the model was trained on, or its counts [V], for the unigram floor. A run
            folder knows its own.

    Raises:
        InputError: If the model or its tokenizer does not load, or the counts are of another vocabulary.
    """
    if isinstance(model, ScoredModel):
        return model
    if isinstance(model, str | Path):
        name = str(model)
        tokenizer = load_tokenizer(str(tokenizer or name)) if not _is_object(tokenizer) else tokenizer
        loaded = load_checkpoint(name, tokenizer).to(nth_device())
    else:
        name, loaded = getattr(model, "name_or_path", "") or type(model).__name__, model
        if tokenizer is None:
            raise InputError(f"A {type(model).__name__} does not name its tokenizer: give tokenizer=.")
        tokenizer = tokenizer if _is_object(tokenizer) else load_tokenizer(str(tokenizer))
    counts_V, note = _counts(name, tokenizer, token_counts)
    unigram_V = None if counts_V is None else unigram_log_probabilities(counts_V, tokenizer)
    return ScoredModel(name, loaded, tokenizer, unigram_V, note)


def _is_object(tokenizer: Any) -> bool:
    return tokenizer is not None and not isinstance(tokenizer, str | Path)


def _counts(name: str, tokenizer: Any, given: Counts | None) -> tuple[np.ndarray | None, str]:
    if given is None:
        return _counts_of_run(name, tokenizer)
    if isinstance(given, str | Path):
        data = open_data(given)
        if data.tokenizer.get_vocab() != tokenizer.get_vocab():
            raise InputError(
                f"{given} and {name} have different vocabularies ({len(data.tokenizer):,} and {len(tokenizer):,} "
                "tokens), so its counts are no floor for the model. Name the data folder that the model was trained on."
            )
        return data.token_counts, f"counts of {given}"
    return given, "counts as given"


def _counts_of_run(name: str, tokenizer: Any) -> tuple[np.ndarray | None, str]:
    """Returns the counts of the data folder that a run's settings name, and where they are from."""
    run = next((folder for folder in (Path(name), Path(name).parent) if (folder / CONFIG).is_file()), None)
    if run is None:
        return None, f"the text that {name} was trained on is not known: name its data folder to have a unigram floor"
    settings = stored_settings(run)
    try:
        data = open_data(settings.data.path)
    except InputError as error:
        return None, f"no unigram floor: {first_line(error)}"
    if data.tokenizer.get_vocab() != tokenizer.get_vocab():
        return None, f"no unigram floor: {data.path} has another vocabulary now"
    adapted = f", which {settings.model.checkpoint} was adapted to" if settings.model.checkpoint else ""
    return data.token_counts, f"counts of {data.path}{adapted}"
