"""transformers without its reports: we say ourselves what is wrong with a checkpoint."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import transformers

MISSING_KEYS = re.compile(r"missing keys in the checkpoint model loaded: (\[.*\])")


@contextmanager
def only_errors() -> Iterator[None]:
    """Keeps transformers from reporting new weights and loading bars; what it said before is put back."""
    before = transformers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
        if bars:
            transformers.logging.enable_progress_bar()


@contextmanager
def silent_on_tied_weights(model: Any) -> Iterator[None]:
    """Keeps the Trainer, where it resumes, from reporting weights as missing that are tied to others it has loaded.

    A checkpoint holds the memory that several names share once; a report that names any other weight is let through.
    """

    def is_news(record: logging.LogRecord) -> bool:
        report = MISSING_KEYS.search(record.getMessage())
        return report is None or not all_tied(model, set(ast.literal_eval(report[1])))

    logger = logging.getLogger("transformers.trainer")
    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)


def all_tied(model: Any, names: set[str]) -> bool:
    """Returns True where each of these weights shares its memory with one of the model's others."""
    place = {name: weight.data_ptr() for name, weight in model.state_dict().items()}
    others = {place[name] for name in place.keys() - names}
    return all(place.get(name) in others for name in names)
