"""A BabyLM entry: every revision of a model on the data that are there, in the pipeline's folder tree.

The files follow the pipeline: the original pseudo-log-likelihood, and ties to the right sentence. What that is worth
is reported next to it: the fair score (ties shared) and how many items it touched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.lab.evaluation import babylm_tree as tree
from maskwise.lab.evaluation.babylm_sets import FINETUNE_SIZES, BabylmSet, babylm_sets
from maskwise.lab.evaluation.item_files import read_item_sets
from maskwise.lab.evaluation.pair_results import percent_or_dash, summarize
from maskwise.lab.evaluation.pairs import count_items, score_items
from maskwise.lab.evaluation.plain_table import aligned
from maskwise.lab.evaluation.reading_data import read_reading_times
from maskwise.lab.evaluation.reading_times import evaluate_reading
from maskwise.lab.evaluation.scored_model import Counts, ScoredModel, open_model
from maskwise.lab.evaluation.word_formation import evaluate_word_formation, read_word_forms
from maskwise.lab.printed import Printed
from maskwise.lab.records.strict_json import to_json
from maskwise.lab.tuning.results import PREDICTIONS as TUNED
from maskwise.progress import silent_if_not_shown

REPORT = "babylm.json"
MAIN = "main"


@dataclass(frozen=True)
class BabylmScore:
    """One data set at one revision: the pipeline's number and ours, shares of 1 (correlations and R2 too).

    `ties` items are given to the right option in the pipeline's number and shared in the fair one.
    """

    revision: str
    dataset: str
    items: int
    pipeline: float
    fair: float
    floor: float
    ties: int


@dataclass(frozen=True)
class BabylmReport(Printed):
    """What was scored, what the collating script will miss, and where the files are."""

    model: str
    folder: Path
    scores: Sequence[BabylmScore]
    missing: Sequence[str]
    notes: Sequence[str] = ()

    def table(self) -> str:
        """Returns the scores as plain text, and what is missing."""
        rows = [["revision", "data set", "items", "pipeline's", "fair", "unigram floor", "ties"]]
        for one in self.scores:
            numbers = (percent_or_dash(one.pipeline), percent_or_dash(one.fair), percent_or_dash(one.floor))
            rows.append([one.revision, one.dataset, f"{one.items:,}", *numbers, f"{one.ties:,}"])
        touched = sum(one.ties for one in self.scores)
        lines = [
            aligned(rows),
            f"- the files give ties to the right option, as the pipeline does: {touched:,} items. The fair score "
            "shares them. Both take the original pseudo-log-likelihood.",
            *(f"- {note}" for note in self.notes),
            f"- missing for the collating script, {len(self.missing)} files: {_shown(self.missing)}",
        ]
        return "\n".join(lines)

    def as_json(self) -> str:
        """Returns everything as JSON."""
        scores = [asdict(one) for one in self.scores]
        head = {"model": self.model, "missing": list(self.missing), "notes": list(self.notes)}
        return to_json(head | {"scores": scores}).rstrip()

    def __repr__(self) -> str:
        """Returns the table."""
        return self.table()


def _shown(missing: Sequence[str], most: int = 12) -> str:
    rest = f" and {len(missing) - most} more (all are in {REPORT})" if len(missing) > most else ""
    return (", ".join(missing[:most]) or "none") + rest


@silent_if_not_shown
def evaluate_babylm(
    model: str | Path,
    data: str | Path,
    out: str | Path = "results",
    *,
    name: str | None = None,
    tuned: str | Path | None = None,
    token_counts: Counts | None = None,
    show: bool = True,
) -> BabylmReport:
    """Scores a model and its revisions on BabyLM's data, and writes the pipeline's folder tree.

    Args:
        model: A run folder, whose `chck_1M` ... are its revisions and which is itself `main`; or a checkpoint.
        data: BabyLM's evaluation data, or a folder with some of it. Full sets are for `main` alone, fast ones for
            every revision.
        out: The pipeline's `results` folder.
        name: The model's name there. [default: that of its folder]
        tuned: An output folder of `maskwise finetune`, whose predictions for BabyLM's tasks are written too.
        token_counts: The data folder that the model was trained on, for the unigram floor, if it is not its own.
        show: Show the progress on stderr.

    Returns:
        The scores, the pipeline's next to the fair ones, and the files that are still missing.

    Raises:
        InputError: If there is none of BabyLM's data, a set has another size than BabyLM's, or the model does not
            load. Sets that a model cannot read are named in the notes.

    Example:
        ```python
        from maskwise.lab import evaluate_babylm

        evaluate_babylm("run", "evaluation_data", "results", tuned="tuned")
        ```
    """
    results, name = Path(out), name or Path(model).resolve().stem
    found = find_sets(Path(data))
    require_right_sizes(found)
    answers = _tuned_answers(Path(tuned)) if tuned else {}
    scores: list[BabylmScore] = []
    notes: dict[str, None] = {}
    for revision, path in revisions_of(Path(model)).items():
        opened = open_model(path, token_counts=token_counts)
        notes[opened.floor_note] = None
        for one, folder in found:
            if one.is_fast or revision == MAIN:
                file = tree.zero_shot_file(results, name, revision, one)
                file.unlink(missing_ok=True)  # one of other weights must not stay, should this set not be scored
                try:
                    made, predictions = _score(opened, one, folder, revision, show)
                except InputError as error:
                    notes[f"{revision}, {one.name} is not scored: {error}"] = None
                    continue
                tree.write_babylm_predictions(file, predictions)
                scores += made
    for task, predictions in answers.items():
        tree.write_babylm_predictions(tree.finetune_file(results, name, MAIN, task), predictions)
    report = BabylmReport(name, results / name, scores, tree.missing_files(results, name), list(notes))
    report.folder.mkdir(parents=True, exist_ok=True)
    atomic_write(report.folder / REPORT, report.as_json() + "\n")
    return report


def find_sets(data: Path) -> list[tuple[BabylmSet, Path]]:
    """Returns BabyLM's data sets in or below a folder, by the names of their folders.

    Raises:
        InputError: If there is none.
    """
    if not data.is_dir():
        raise InputError(f"There is no folder {data}. --data is the folder of BabyLM's evaluation data.")
    folders = {path.name: path for path in [*sorted(p for p in data.rglob("*") if p.is_dir()), data.resolve()]}
    found = [(one, folders[one.name]) for one in babylm_sets() if one.name in folders]
    if not found:
        known = ", ".join(one.name for one in babylm_sets())
        raise InputError(f"{data} has none of BabyLM's data sets. Each is a folder of its name: {known}.")
    return found


def require_right_sizes(found: Sequence[tuple[BabylmSet, Path]]) -> None:
    """Raises InputError if a data set has another size than BabyLM's, before anything is scored."""
    for one, folder in found:
        if one.kind == "items":
            (item_set,) = read_item_sets([folder]).sets
            sizes = {uid: len(items) for uid, items in item_set.paradigms.items()}
        elif one.kind == "word formation":
            sizes = {one.task: len(read_word_forms(_only_file(folder)))}
        else:
            sizes = {one.task: len(read_reading_times(_only_file(folder)))}
        tree.require_sizes(one, sizes)


def revisions_of(model: Path) -> dict[str, Path]:
    """Returns the revisions in a run folder, fewest words first, and the model itself as `main`."""
    folders = model.glob("chck_*M") if model.is_dir() else ()
    words = {path: int(number[1]) for path in folders if (number := re.fullmatch(r"chck_(\d+)M", path.name))}
    return {path.name: path for path in sorted(words, key=words.__getitem__)} | {MAIN: model}


def _only_file(folder: Path) -> Path:
    files = sorted(path for path in folder.iterdir() if path.suffix in (".jsonl", ".csv"))
    if len(files) != 1:
        raise InputError(f"{folder} has {len(files)} .jsonl and .csv files, and one is expected.")
    return files[0]


def _score(
    opened: ScoredModel, one: BabylmSet, folder: Path, revision: str, show: bool
) -> tuple[list[BabylmScore], tree.BabylmPredictions]:
    score = {"items": _score_items, "word formation": _score_word_forms, "reading": _score_reading}[one.kind]
    return score(opened, one, folder, revision, show)


def _score_items(
    opened: ScoredModel, one: BabylmSet, folder: Path, revision: str, show: bool
) -> tuple[list[BabylmScore], tree.BabylmPredictions]:
    (item_set,) = read_item_sets([folder]).sets
    scored = score_items(opened, item_set, metric="original", show=show)
    first = count_items(scored, "first")
    ((theirs,), (fair,)) = summarize(first), summarize(count_items(scored, "half"))
    made = BabylmScore(revision, one.name, fair.items, theirs.accuracy, fair.accuracy, fair.floor, fair.tied)
    return [made], tree.of_items(item_set, first)


def _score_word_forms(
    opened: ScoredModel, one: BabylmSet, folder: Path, revision: str, show: bool
) -> tuple[list[BabylmScore], tree.BabylmPredictions]:
    path = _only_file(folder)
    result = evaluate_word_formation(opened, path, metric="original", show=show)
    sentences = [form.sentences for form in read_word_forms(path)]
    value = result.correlation.value
    made = BabylmScore(revision, one.name, len(sentences), value, value, result.floor, 0)
    return [made], tree.of_word_forms(one.task, sentences, result.items)


def _score_reading(
    opened: ScoredModel, one: BabylmSet, folder: Path, revision: str, show: bool
) -> tuple[list[BabylmScore], tree.BabylmPredictions]:
    """The fair number of reading times, a gain in nats, has another unit: `maskwise evaluate --reading` has it."""
    result = evaluate_reading(opened, _only_file(folder), show=show)
    made = [
        BabylmScore(revision, f"{one.name}, {kind.name}", kind.words, kind.partial_r2 / 100, math.nan, math.nan, 0)
        for kind in result.measured
    ]
    return made, tree.of_reading(result.items)


def _tuned_answers(tuned: Path) -> dict[str, tree.BabylmPredictions]:
    """Returns the predictions of the first seed of each of BabyLM's tasks in an output folder of `finetune`."""
    found: dict[str, tree.BabylmPredictions] = {}
    for task in FINETUNE_SIZES:
        files = sorted((tuned / task).glob(f"seed-*/{TUNED}"), key=lambda path: int(path.parent.name[5:]))
        if files:
            found[task] = tree.of_classes(task, tree.read_answers(files[0], task))
    if not found:
        raise InputError(f"{tuned} has no predictions of BabyLM's tasks: {', '.join(FINETUNE_SIZES)}.")
    return found
