"""Several checkpoints on several zero-shot evaluations, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwise.evaluation.choices import Ties, check_ties
from maskwise.evaluation.pseudo_likelihood import Metric, check_metric
from maskwise.lab.evaluation.evaluation_record import Evaluated, kept_in, timed, write_evaluated
from maskwise.lab.evaluation.figures import figures_of
from maskwise.lab.evaluation.item_files import TextColumns
from maskwise.lab.evaluation.pairs import evaluate_pairs
from maskwise.lab.evaluation.perplexity import evaluate_perplexity
from maskwise.lab.evaluation.reading_times import evaluate_reading
from maskwise.lab.evaluation.scored_model import Counts, open_model
from maskwise.lab.evaluation.word_formation import evaluate_word_formation
from maskwise.lab.printed import Printed
from maskwise.lab.records.attempts import Cost
from maskwise.lab.records.content import path_hash
from maskwise.lab.records.strict_json import to_json
from maskwise.progress import silent_if_not_shown


@dataclass(frozen=True)
class SeveralResults(Printed):
    """Results by checkpoint and by evaluation: `pairs`, `reading`, `word_formation`, `perplexity`."""

    results: Mapping[str, Mapping[str, Any]]

    def table(self, *, paradigms: bool = False) -> str:
        """Returns the tables of all results; with `paradigms`, that of each paradigm of the pairs too."""
        parts = []
        for by_name in self.results.values():
            for name, result in by_name.items():
                parts += [result.table(), *([result.paradigm_table()] if name == "pairs" and paradigms else [])]
        return "\n\n".join(parts)

    def as_json(self) -> str:
        """Returns all results as JSON."""
        found = {
            checkpoint: {name: json.loads(result.as_json()) for name, result in by_name.items()}
            for checkpoint, by_name in self.results.items()
        }
        return to_json(found).rstrip()

    def __repr__(self) -> str:
        """Returns the tables."""
        return self.table()


@silent_if_not_shown
def evaluate_several(
    checkpoints: Sequence[str],
    *,
    pairs: Sequence[str | Path] = (),
    reading: str | Path | None = None,
    word_formation: str | Path | None = None,
    perplexity: Sequence[str] = (),
    metric: Metric = "within-word",
    ties: Ties = "half",
    columns: TextColumns | None = None,
    token_counts: Counts | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    show: bool = True,
) -> SeveralResults:
    """Returns the results of several checkpoints on everything that is asked for.

    Args:
        checkpoints: Run folders, checkpoints, or hub names.
        pairs: Folders or files of pairs or completions, as `evaluate_pairs` takes them.
        reading: Reading times, as `evaluate_reading` takes them.
        word_formation: A set of word formation, as `evaluate_word_formation` takes it.
        perplexity: Text, as `evaluate_perplexity` takes it.
        metric: `within-word` (Kauf & Ivanova 2023) or `original` (Salazar et al. 2020).
        ties: `half` or `first`, as `evaluate_pairs` takes it.
        columns: The columns of the good and of the bad sentence, for pairs of no known layout.
        token_counts: The data folder that all the models were trained on, for the unigram floor; runs know their own.
        out: A new folder, for `<checkpoint>/<evaluation>.json`, `.parquet` with a row per item, and `record.json`.
        seed: Of bootstrap, folds and permutations.
        show: Show the progress on stderr.

    Returns:
        Every result, by checkpoint and evaluation.

    Raises:
        InputError: If a checkpoint is named twice, or one of the evaluations refuses something.

    Example:
        ```python
        from maskwise.lab import evaluate_several

        evaluate_several(["run", "another-run"], pairs=["blimp"], reading="reading_data.csv", out="zero-shot")
        ```
    """
    check_metric(metric)
    check_ties(ties)
    asked = {"pairs": pairs, "reading": reading, "word_formation": word_formation, "perplexity": perplexity}
    asked = {name: value for name, value in asked.items() if value}
    settings = {"metric": metric, "ties": ties, "columns": columns, "seed": seed, **asked}

    def evaluated(checkpoint: str) -> dict[str, Any]:
        opened, found = open_model(checkpoint, token_counts=token_counts), {}
        common = {"seed": seed, "show": show}
        if pairs:
            found["pairs"] = evaluate_pairs(opened, pairs, metric=metric, ties=ties, columns=columns, **common)
        if reading:
            found["reading"] = evaluate_reading(opened, reading, **common)
        if word_formation:
            found["word_formation"] = evaluate_word_formation(opened, word_formation, metric=metric, **common)
        if perplexity:
            found["perplexity"] = evaluate_perplexity(opened, perplexity, metric=metric, **common)
        return found

    with kept_in(out, checkpoints) as folder:
        results: dict[str, dict[str, Any]] = {}
        for checkpoint in checkpoints:
            with timed() as recorder:
                results[checkpoint] = evaluated(checkpoint)
                if folder is not None:
                    kept = _kept(results[checkpoint], recorder.cost())
                    write_evaluated(folder, checkpoint, kept, settings, _content(asked))
    return SeveralResults(results)


def _kept(results: Mapping[str, Any], cost: Cost) -> Evaluated:
    """Returns what is kept of a checkpoint's results; metrics begin with the set that they are of."""
    metrics: dict[str, float] = {}
    baselines: dict[str, dict[str, float]] = {}
    for name, result in results.items():
        for of, figures in figures_of(name, result).items():
            metrics |= {f"{of}.{metric}": value for metric, value in figures.metrics.items()}
            for floor, values in figures.baselines(f"{of}.").items():
                baselines.setdefault(floor, {}).update(values)
    json_texts = {name: result.as_json() for name, result in results.items()}
    return Evaluated(cost, json_texts, metrics, baselines, {name: one.items for name, one in results.items()})


def _content(asked: Mapping[str, Any]) -> dict[str, str]:
    """Returns the hashes of what is read, by evaluation and path."""
    found = {}
    for name, value in asked.items():
        for source in [value] if isinstance(value, str | Path) else value:
            found[f"{name} {source}"] = path_hash(Path(source))
    return found
