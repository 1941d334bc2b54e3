"""The numbers of a zero-shot result by name, next to those of what reads nothing, as records and studies keep them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from maskwise.lab.evaluation.pair_results import PairsResult, SetResult
from maskwise.lab.evaluation.perplexity import PerplexityResult
from maskwise.lab.evaluation.reading_times import ReadingResult
from maskwise.lab.evaluation.word_formation import WordFormationResult

FLOORS = {"unigram": "unigram floor"}  # what records call the floor of a zero-shot set


class Figures(NamedTuple):
    """Metrics by name; `primary` is the one that the floors are of, by `unigram` counts, `chance` or `permuted`."""

    primary: str
    metrics: Mapping[str, float]
    floors: Mapping[str, float]

    def baselines(self, prefix: str = "") -> dict[str, dict[str, float]]:
        """Returns the floors as records name them."""
        return {FLOORS.get(name, name): {prefix + self.primary: value} for name, value in self.floors.items()}


def figures_of_set(one: SetResult) -> Figures:
    """Returns the figures of a set of pairs or completions."""
    metrics = {"accuracy": one.accuracy, "accuracy_per_token": one.accuracy_per_token}
    metrics |= {"reordered_accuracy": one.reordered_accuracy, "ties": one.tied / one.items}
    return Figures("accuracy", metrics, {"unigram": one.floor, "chance": one.chance})


def figures_of_reading(result: ReadingResult) -> Figures:
    """Returns the figures of reading times."""
    eye, paced = result.measured
    metrics = {"gain": eye.gain.value, "partial_r2": eye.partial_r2}
    metrics |= {"gain_self_paced": paced.gain.value, "partial_r2_self_paced": paced.partial_r2}
    return Figures("gain", metrics, {"unigram": eye.gain_unigram, "permuted": eye.gain_permuted[0]})


def figures_of_word_formation(result: WordFormationResult) -> Figures:
    """Returns the figures of word formation."""
    return Figures("correlation", {"correlation": result.correlation.value}, {"unigram": result.floor, "chance": 0.0})


def figures_of_perplexity(result: PerplexityResult) -> Figures:
    """Returns the figures of a text."""
    return Figures("perplexity", {"perplexity": result.perplexity.value}, {"unigram": result.floor})


def figures_of(name: str, result: Any) -> dict[str, Figures]:
    """Returns the figures of one evaluation, by the set that they are of: several for pairs of several sets."""
    if isinstance(result, PairsResult):
        return {one.name: figures_of_set(one) for one in result.sets}
    if isinstance(result, ReadingResult):
        return {name: figures_of_reading(result)}
    if isinstance(result, WordFormationResult):
        return {name: figures_of_word_formation(result)}
    assert isinstance(result, PerplexityResult)
    return {name: figures_of_perplexity(result)}
