"""Fine-tuning on a tag for each word: parts of speech, or entities in IOB2."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoModelForTokenClassification

from maskwise.errors import InputError
from maskwise.lab.tasks.table import POOLED, Task
from maskwise.lab.tasks.tagging import Tagged, TaggedData, load_tagged
from maskwise.lab.tuning import iob
from maskwise.lab.tuning.fit import fit, uses_bf16
from maskwise.lab.tuning.holdout import set_aside
from maskwise.lab.tuning.load import load_with_head
from maskwise.lab.tuning.predict import predict
from maskwise.lab.tuning.results import PREDICTIONS, write_predictions, write_result
from maskwise.lab.tuning.settings import TuneSettings
from maskwise.lab.tuning.windows import Windows, encode_windows, separate_words
from maskwise.progress import printer

Tags = Sequence[Sequence[str]]
ENTITY_F1 = "entity_f1"


def load(task: Task, source: str | Path | None) -> TaggedData:
    """Returns the task's data; tags that are not valid IOB2 are repaired and counted, see `iob.repair`."""
    data = load_tagged(task, source, iob.repair if finds_entities(task) else None)
    wrong = [tag for tag in data.classes if finds_entities(task) and not iob.is_iob2(tag)]
    if wrong:
        raise InputError(
            f"{task.name}: the tag {wrong[0]!r} is not of IOB2, which has O, B-X and I-X. Found: "
            f"{', '.join(data.classes[:12])}.\nNumbers need their names, in label_names.json next to the data."
        )
    return data


class Tagging:
    """The kind of task that gives every word a tag: a `TaskKind`."""

    def load(self, task: Task, source: str | Path | None) -> TaggedData:
        """Returns the task's data; see `load`."""
        return load(task, source)

    def baselines(self, task: Task, data: TaggedData) -> dict[str, dict[str, float]]:
        """Returns what needs no model: the best that one tag for all words gives, and each word's commonest tag.

        The second is learnt from the training words; one not among them gets the commonest tag of all.
        """
        commonest = _commonest_tags(data.train)
        labels = {name: split.tags for name, split in data.held_out.items()}
        listed = {
            name: [[commonest[word] for word in words] for words in split.words]
            for name, split in data.held_out.items()
        }
        constant = [
            score_splits(task, labels, {name: [[tag] * len(tags) for tags in rows] for name, rows in labels.items()})
            for tag in data.classes
        ]
        best = {metric: max(scores[metric] for scores in constant) for metric in constant[0]}
        return {"constant": best, "word list": score_splits(task, labels, listed)}

    def tune(
        self,
        checkpoint: str,
        task: Task,
        data: TaggedData,
        settings: TuneSettings,
        seed: int,
        out: Path,
        *,
        show: bool = True,
    ) -> dict[str, Any]:
        """Tunes a checkpoint to label words with one seed, and returns what `out/result.json` holds.

        The metrics of the test set, if there is one, end in `_test`, those of both sets together in `_pooled`. Run
        again on an unfinished folder, it resumes from its last checkpoint. Raises InputError for a checkpoint that
        cannot be tuned.
        """
        names = dict(enumerate(data.classes))
        loaded = load_with_head(
            AutoModelForTokenClassification, checkpoint, seed=seed, freeze=settings.freeze, num_labels=len(names),
            id2label=names, label2id={tag: i for i, tag in names.items()},
        )  # fmt: skip
        if loaded.head_note:
            printer(show)(f"{task.name}: {loaded.head_note}")
        tokenizer = separate_words(loaded.tokenizer)
        encode = TagEncoder(tokenizer, data.classes, min(settings.max_length, loaded.window))
        train, select = _selection(data, settings, seed)
        windows, select_windows = encode(train), encode(select)
        held_out = {name: encode(split) for name, split in data.held_out.items()}
        long = num_long([windows, *held_out.values()])
        if show and any(long.values()):
            printer(show)(f"{task.name}: " + ", ".join(f"{count:,} {what}" for what, count in long.items() if count))
        fitted = fit(
            loaded.model, settings, windows.examples, select_windows.examples,
            lambda logits: score_tags(task, select.tags, encode.tags(select, select_windows, logits))[task.official[0]],
            pad_id=tokenizer.pad_token_id, seed=seed, out=out, title=f"{task.name}, seed {seed}", show=show,
        )  # fmt: skip
        metrics, one_class, invalid = _grade_held_out(fitted.model, task, data, settings, encode, held_out, out)
        return write_result(
            out, fitted, tokenizer, metrics, one_class=one_class, long=long, invalid_predicted_tags=invalid,
            class_counts=data.class_counts, head="new" if loaded.new else "the checkpoint's",
            trained=loaded.new if settings.freeze else "all",
        )  # fmt: skip


def finds_entities(task: Task) -> bool:
    """Returns whether a task's tags are entities in IOB2."""
    return ENTITY_F1 in task.official


def score_tags(task: Task, labels: Tags, predictions: Tags) -> dict[str, float]:
    """Returns the strict scores by entity, or the share of words whose tag is right.

    >>> from maskwise.lab.tasks.table import POS
    >>> score_tags(POS, [["NOUN", "VERB"], ["NOUN"]], [["NOUN", "NOUN"], ["NOUN"]])
    {'accuracy': 0.6666666666666666}
    """
    if finds_entities(task):
        return iob.entity_scores(labels, predictions)
    pairs = [pair for rows in zip(labels, predictions, strict=True) for pair in zip(*rows, strict=True)]
    return {"accuracy": sum(label == prediction for label, prediction in pairs) / len(pairs)}


def score_splits(task: Task, labels: Mapping[str, Tags], predictions: Mapping[str, Tags]) -> dict[str, float]:
    """Returns the scores of each held-out split by name, and of all of them together, whose names end in `_pooled`.

    The validation set's have the metrics' own names, those of the test set end in `_test`. Pooled scores are what
    comparisons are about: no epoch is selected on either set, and more sentences leave a smaller error.
    """
    scores: dict[str, float] = {}
    for split in labels:
        suffix = "" if split == "validation" else f"_{split}"
        scores |= {name + suffix: value for name, value in score_tags(task, labels[split], predictions[split]).items()}
    together = [[row for split in labels for row in rows[split]] for rows in (labels, predictions)]
    return scores | {name + POOLED: value for name, value in score_tags(task, *together).items()}


def _commonest_tags(train: Tagged) -> Mapping[str, str]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for words, tags in zip(train.words, train.tags, strict=True):
        for word, tag in zip(words, tags, strict=True):
            counts[word][tag] += 1
    overall = sum(counts.values(), Counter[str]()).most_common(1)[0][0]
    return defaultdict(lambda: overall, {word: found.most_common(1)[0][0] for word, found in counts.items()})


class TagEncoder:
    """Turns sentences into windows of tokens, and the logits of windows into tags."""

    def __init__(self, tokenizer: Any, classes: Sequence[str], max_length: int) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self.classes = list(classes)
        self.numbers = {tag: i for i, tag in enumerate(classes)}

    def __call__(self, tagged: Tagged) -> Windows:
        """Returns the windows of a split."""
        labels = [[self.numbers[tag] for tag in tags] for tags in tagged.tags]
        return encode_windows(self.tokenizer, tagged.words, labels, self.max_length)

    def tags(self, tagged: Tagged, windows: Windows, logits: Sequence[np.ndarray]) -> list[list[str]]:
        """Returns the likeliest tag of each word."""
        return [[self.classes[i] for i in logits_WC.argmax(-1)] for logits_WC in self.scores(tagged, windows, logits)]

    def scores(self, tagged: Tagged, windows: Windows, logits: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns the logits of each word, [W, C] for each sentence."""
        return windows.by_sentence(logits, [len(words) for words in tagged.words])


def _selection(data: TaggedData, settings: TuneSettings, seed: int) -> tuple[Tagged, Tagged]:
    """Returns the sentences trained on, and those that select the epoch: a share of them, or the validation set."""
    if settings.select_on == "validation":
        return data.train, data.held_out["validation"]
    parts = set_aside(len(data.train), settings.select_share, seed)
    words, tags = data.train.words, data.train.tags
    train, select = (Tagged(data.train.name, [words[i] for i in part], [tags[i] for i in part]) for part in parts)
    return train, select


def _grade_held_out(
    model: Any,
    task: Task,
    data: TaggedData,
    settings: TuneSettings,
    encode: TagEncoder,
    held_out: Mapping[str, Windows],
    out: Path,
) -> tuple[dict[str, float], bool, int]:
    """Returns the metrics, whether the model has collapsed, and how many predicted tags are not valid IOB2.

    Stores a row for each sentence; `scores` are the logits of its words.
    """
    predicted: dict[str, Tags] = {}
    kept: dict[str, list[Any]] = {key: [] for key in ("split", "index", "label", "prediction", "scores")}
    for name, windows in held_out.items():
        split = data.held_out[name]
        logits = predict(
            model, windows.examples, pad_id=encode.tokenizer.pad_token_id,
            most_tokens=settings.micro_batch_tokens, bf16=uses_bf16(settings),
        ).logits  # fmt: skip
        predictions = predicted[name] = encode.tags(split, windows, logits)
        scores = [rows.tolist() for rows in encode.scores(split, windows, logits)]
        rows = ([name] * len(split), range(len(split)), split.tags, predictions, scores)
        for column, values in zip(kept.values(), rows, strict=True):
            column += values
    write_predictions(out / PREDICTIONS, kept)
    metrics = score_splits(task, {name: split.tags for name, split in data.held_out.items()}, predicted)
    num_invalid = sum(len(iob.invalid(tags)) for tags in kept["prediction"]) if finds_entities(task) else 0
    return metrics, has_collapsed(task, kept["prediction"]), num_invalid


def has_collapsed(task: Task, predictions: Tags) -> bool:
    """Returns whether one tag was given to every word; of entities also whether none was predicted at all.

    >>> from maskwise.lab.tasks.table import NER, POS
    >>> has_collapsed(POS, [["NOUN", "NOUN"], ["NOUN"]]), has_collapsed(NER, [["O", "I-Disease"], ["O"]])
    (True, True)
    """
    if len({tag for tags in predictions for tag in tags}) == 1:
        return True
    return finds_entities(task) and not any(iob.entities(tags) for tags in predictions)


def num_long(windows: Sequence[Windows]) -> dict[str, int]:
    """Returns how much did not fit into a window or was not read as it is, in words."""
    return {
        "sentences read in parts": sum(part.num_split for part in windows),
        "words cut to the window": sum(part.num_cut_words for part in windows),
        "words without a piece": sum(part.num_unread_words for part in windows),
    }
