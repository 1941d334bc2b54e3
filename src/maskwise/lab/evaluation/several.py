"""Several checkpoints on several zero-shot evaluations, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.evaluation.choices import Ties, check_ties
from maskwise.evaluation.pseudo_likelihood import Metric, check_metric
from maskwise.files.atomic_folder import atomic_folder
from maskwise.lab.evaluation.item_files import TextColumns
from maskwise.lab.evaluation.pairs import evaluate_pairs
from maskwise.lab.evaluation.perplexity import evaluate_perplexity
from maskwise.lab.evaluation.reading_times import evaluate_reading
from maskwise.lab.evaluation.scored_model import Counts, open_model
from maskwise.lab.evaluation.word_formation import evaluate_word_formation
from maskwise.lab.printed import Printed
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
        return json.dumps(found, indent=2)

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
        out: A new folder, for `<checkpoint>/<evaluation>.json` and `.parquet` with a row per item.
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
    names = [Path(checkpoint).resolve().name for checkpoint in checkpoints]
    if repeated := sorted(_repeated(names if out else checkpoints)):
        raise InputError(f"Two checkpoints are called {repeated[0]!r}. Name each once, by names that differ.")

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

    with atomic_folder(Path(out)) if out else nullcontext() as folder:
        results = {checkpoint: evaluated(checkpoint) for checkpoint in checkpoints}
        if folder is not None:
            for name, by_evaluation in zip(names, results.values(), strict=True):
                _write(folder / name, by_evaluation)
    return SeveralResults(results)


def _repeated(names: Sequence[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}


def _write(folder: Path, by_evaluation: Mapping[str, Any]) -> None:
    folder.mkdir()
    for name, result in by_evaluation.items():
        (folder / f"{name}.json").write_text(result.as_json() + "\n", encoding="utf-8")
        result.items.to_parquet(folder / f"{name}.parquet", index=False)
