"""Fine-tuning for retrieval: queries and documents as vectors, scored next to BM25."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwise.errors import InputError
from maskwise.lab.tasks.classification import find_folder
from maskwise.lab.tasks.retrieval import Collection, Document, load_beir
from maskwise.lab.tasks.table import Task
from maskwise.lab.tuning.bm25 import bm25_run
from maskwise.lab.tuning.fit import Fitted
from maskwise.lab.tuning.holdout import set_aside
from maskwise.lab.tuning.load import load_tokenizer
from maskwise.lab.tuning.ranking import DEPTH, mean_scores, query_scores
from maskwise.lab.tuning.results import PREDICTIONS, write_predictions, write_result
from maskwise.lab.tuning.settings import TuneSettings
from maskwise.progress import printer

if TYPE_CHECKING:
    from maskwise.lab.tuning.pairs import Grade, Pair

EXTRA = {"sentence_transformers": "sentence-transformers", "bm25s": "bm25s"}


class Retrieval:
    """The kind of task that finds the documents of a query: a `TaskKind`."""

    def load(self, task: Task, source: str | Path | None) -> Collection:
        """Returns the collection in a local folder.

        Raises InputError if the extra is not installed, and where the folder is not in the layout of BEIR.
        """
        missing = [name for module, name in EXTRA.items() if find_spec(module) is None]
        if missing:
            raise InputError(f"Retrieval needs {' and '.join(missing)}: pip install maskwise[retrieval]")
        if source is None or str(source).startswith("hub:"):
            raise InputError(
                f"The task {task.name!r} is read from a folder in the layout of BEIR: give --task-data DIR."
            )
        return load_beir(find_folder(task, Path(source)), task.held_out)

    def baselines(self, task: Task, data: Collection) -> dict[str, dict[str, float]]:
        """Returns the scores of BM25."""
        scores: dict[str, float] = {}
        for split in task.held_out:
            judged = data.judgements[split]
            found = bm25_run(data.documents, {query: data.queries[query] for query in judged}, DEPTH + 1)
            run = {query: data.without_itself(query, keys, DEPTH) for query, keys in found.items()}
            scores |= mean_scores(run, judged)
        return {"BM25": scores}

    def tune(
        self,
        checkpoint: str,
        task: Task,
        data: Collection,
        settings: TuneSettings,
        seed: int,
        out: Path,
        *,
        show: bool = True,
    ) -> dict[str, Any]:
        """Tunes a checkpoint to retrieve with one seed, and returns what `out/result.json` holds.

        `untuned` there are the scores of the checkpoint's own mean-pooled states. Such an encoder has no new weights:
        with `freeze` nothing is trained, and these are its scores. Raises InputError for a checkpoint that does not
        load.
        """
        from maskwise.lab.tuning.pairs import build_encoder, count_read_tokens, fit_pairs

        load_tokenizer(checkpoint)  # raises for a checkpoint without one
        encoder = build_encoder(checkpoint, seed, settings.max_length)
        num_cut = sum(count_read_tokens(encoder, texts)[1] for texts in (_wholes(data), list(data.queries.values())))
        if num_cut:
            printer(show)(f"{task.name}: {num_cut:,} texts are cut to {encoder.max_seq_length} tokens")
        untuned, _ = _grade_held_out(encoder, task, data)
        pairs, what = training_pairs(data)
        if settings.freeze:
            fitted = Fitted(encoder, 0, [], 0.0, 0, 0.0)
        else:
            train, grade = _selection(task, data, pairs, settings, seed)
            fitted = fit_pairs(
                encoder, settings, train, grade, seed=seed, out=out, title=f"{task.name}, seed {seed}", show=show
            )
        metrics, kept = _grade_held_out(encoder, task, data)
        write_predictions(out / PREDICTIONS, kept)
        return write_result(
            out, fitted, encoder.tokenizer, metrics, one_class=False, untuned=untuned, cut=num_cut, pairs=what,
            trained=[] if settings.freeze else "all", class_counts=data.class_counts,
        )  # fmt: skip


def training_pairs(data: Collection) -> tuple[list[list[Pair]], str]:
    """Returns the pairs to train on, those of one query together, and what they are.

    Queries with their relevant documents where there are training judgements, else titles with their texts, where a
    text that begins with its title goes without it. Raises InputError if there is neither.
    """
    from maskwise.lab.tuning.pairs import Pair

    judged = data.judgements.get("train")
    if judged:
        relevant = {query: [key for key, grade in grades.items() if grade > 0] for query, grades in judged.items()}
        groups = [
            [Pair(data.queries[query], data.documents[key].whole) for key in keys if data.documents[key].whole]
            for query, keys in relevant.items()
        ]
        return [group for group in groups if group], "queries and documents"
    pairs = [Pair(document.title, _body(document)) for document in data.documents.values()]
    whole = [[pair] for pair in pairs if pair.query and pair.document]
    if not whole:
        raise InputError(f"{data.name} has neither qrels/train.tsv nor documents with a title: nothing to train on.")
    return whole, "titles and texts"


def _body(document: Document) -> str:
    """The text without the title: a pair that shares its first words would be found by these alone."""
    return document.text.removeprefix(document.title).strip()


def _selection(
    task: Task, data: Collection, groups: Sequence[Sequence[Pair]], settings: TuneSettings, seed: int
) -> tuple[list[Pair], Any]:
    """Returns the pairs trained on, and the function that grades an encoder after each epoch.

    It asks for the documents of the queries set aside, or with `select_on="validation"` for the first metric on the
    judgements that are reported.
    """
    from maskwise.lab.tuning.pairs import grade_pairs

    if settings.select_on == "validation":
        return [pair for group in groups for pair in group], partial(_grade_by_judgements, task=task, data=data)
    train, select = set_aside(len(groups), settings.select_share, seed)
    return [pair for i in train for pair in groups[i]], partial(grade_pairs, pairs=[groups[i][0] for i in select])


def _grade_by_judgements(encoder: Any, task: Task, data: Collection) -> Grade:
    from maskwise.lab.tuning.pairs import Grade

    metrics, _ = _grade_held_out(encoder, task, data)
    return Grade(metrics[task.official[0]], 0.0)


def _grade_held_out(encoder: Any, task: Task, data: Collection) -> tuple[dict[str, float], Mapping[str, list[Any]]]:
    """Returns the metrics, and columns with a row for each query.

    They are its relevant documents, those found and their cosines, and its own metrics.
    """
    from maskwise.lab.tuning.pairs import search

    metrics: dict[str, float] = {}
    kept: dict[str, list[Any]] = {}
    keys = list(data.documents)
    for split in task.held_out:
        judged = data.judgements[split]
        found = search(encoder, _wholes(data), [data.queries[query] for query in judged], DEPTH + 1)
        cosines = {query: {keys[i]: cosine for i, cosine in hits} for query, hits in zip(judged, found, strict=True)}
        run = {query: data.without_itself(query, list(hits), DEPTH) for query, hits in cosines.items()}
        metrics |= mean_scores(run, judged)
        by_query = query_scores(run, judged)
        for query, grades in judged.items():
            row = {
                "split": split, "index": query, "label": [key for key, grade in grades.items() if grade > 0],
                "prediction": run[query], "scores": [cosines[query][key] for key in run[query]], **by_query[query],
            }  # fmt: skip
            for column, value in row.items():
                kept.setdefault(column, []).append(value)
    return metrics, kept


def _wholes(data: Collection) -> list[str]:
    return [document.whole for document in data.documents.values()]
