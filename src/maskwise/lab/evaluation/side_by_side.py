"""Several checkpoints side by side on one evaluation.

Checkpoints with one tokenizer are graded token by token. Across tokenizers a loss per token means nothing, since the
tokens differ; there whole words of the text are masked and graded in nats per character.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwise.errors import InputError
from maskwise.evaluation.held_out import (
    HELD_OUT_SEED,
    HeldOutResult,
    entropy_quintiles,
    evaluate_mlm,
    evaluate_unigram,
    held_out_table,
    make_held_out_eval,
)
from maskwise.lab.evaluation.evaluation_record import Evaluated, kept_in, timed, write_evaluated
from maskwise.lab.printed import Printed
from maskwise.lab.records.attempts import Cost
from maskwise.lab.records.content import path_hash
from maskwise.lab.records.strict_json import to_json
from maskwise.lab.text.sources import documents
from maskwise.lab.tokens.blocks import open_data
from maskwise.lab.tokens.content import data_hash
from maskwise.masking.noise import Stream, mix_int
from maskwise.models.device import nth_device
from maskwise.models.loading import check_positions, check_same_tokenizer, load_checkpoint, load_tokenizer
from maskwise.models.model_limits import longest_window
from maskwise.models.sparse import SparseHead
from maskwise.progress import Progress, silent_if_not_shown

FLOOR = "unigram floor"
WINDOW_WORDS = 48
WORD_RATE = 0.15


@dataclass(frozen=True)
class SideBySide(Printed):
    """Several checkpoints on one held-out evaluation, the unigram floor first; `quintiles` names what they are of."""

    results: dict[str, HeldOutResult]
    quintiles: str = "token frequency, q1 the most frequent"

    def table(self) -> str:
        """Returns the grades as plain text."""
        return f"{held_out_table(self.results)}\nq1 to q5: fifths of the graded tokens by {self.quintiles}."

    def __repr__(self) -> str:
        return self.table()

    def as_json(self) -> str:
        """Returns the grades as JSON."""
        return to_json({name: result.as_dict() for name, result in self.results.items()}).rstrip()


class WordGrade(NamedTuple):
    """Sums over the graded words: `loss` in nats, their `characters`, `hits` (every piece right), `words`."""

    loss: float = 0.0
    characters: int = 0
    hits: int = 0
    words: int = 0

    def plus(self, other: WordGrade) -> WordGrade:
        """Returns the sums over both."""
        return WordGrade(
            self.loss + other.loss,
            self.characters + other.characters,
            self.hits + other.hits,
            self.words + other.words,
        )

    def shares(self) -> dict[str, float]:
        """Returns the loss in nats per character, and the share of words that are right."""
        loss, hits = self.loss / max(self.characters, 1), self.hits / max(self.words, 1)
        return {"nats_per_character": loss, "whole_words_right": hits}


@dataclass(frozen=True)
class WordReport(Printed):
    """Whole-word grades of several checkpoints; `skipped` words could not be asked of at least one of them."""

    results: dict[str, WordGrade]
    skipped: int

    def table(self) -> str:
        """Returns the grades as plain text."""
        width = max(map(len, self.results))
        lines = [f"{'model'.ljust(width)}  nats/character  whole words right"]
        for name, grade in self.results.items():
            loss, hits = grade.shares().values()
            lines.append(f"{name.ljust(width)}  {loss:14.4f}  {hits:17.2%}")
        words = next(iter(self.results.values())).words
        return "\n".join([*lines, f"{words:,} words graded; {self.skipped:,} that a model cannot spell were left out."])

    def __repr__(self) -> str:
        return self.table()

    def as_json(self) -> str:
        """Returns the sums as JSON."""
        return to_json({"skipped": self.skipped} | {n: g._asdict() for n, g in self.results.items()}).rstrip()


@silent_if_not_shown
def evaluate(
    checkpoints: str | PathLike[str] | Sequence[str | PathLike[str]],
    data: str | PathLike[str],
    *,
    blocks: int = 1024,
    by_entropy_of: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    show: bool = True,
) -> SideBySide:
    """Grades checkpoints that share a tokenizer on held-out text, token by token, next to the unigram model.

    Args:
        checkpoints: A run folder, a checkpoint or a hub name, or several; what `pretrain` returned will do.
        data: The data folder whose held-out part is the evaluation.
        blocks: How many held-out blocks are taken, evenly spaced.
        by_entropy_of: A checkpoint whose entropy cuts the graded tokens into fifths, in place of token frequency.
        out: A new folder, for `<checkpoint>/held_out.json` and `record.json`. None keeps nothing.
        show: Whether to show progress.

    Returns:
        Loss (nats per token), perplexity, top-1 and top-5 of each: `table()`, `as_json()`, `results`.

    Raises:
        InputError: For a checkpoint made with another tokenizer, or with weights that are not finite.

    Example:
        ```python
        from maskwise.lab import evaluate

        evaluate(["run", "another-run"], "data").table()
        ```
    """
    teacher = None if by_entropy_of is None else fspath(by_entropy_of)
    names = names_of(checkpoints)
    with kept_in(out, names) as folder:
        return _evaluate(names, Path(data), blocks, teacher, folder, show)


def names_of(checkpoints: str | PathLike[str] | Sequence[str | PathLike[str]]) -> list[str]:
    """Returns the names of one checkpoint or several, or raises InputError.

    >>> names_of("run"), names_of([Path("a"), "b"])
    (['run'], ['a', 'b'])
    """
    try:
        is_one = isinstance(checkpoints, str | PathLike)
        names = [fspath(one) for one in ([checkpoints] if is_one else checkpoints)]
    except TypeError:
        raise InputError(f"A checkpoint is the name of a folder, or a hub name; found {checkpoints!r:.80}.") from None
    if not names:
        raise InputError("There is no checkpoint to grade: name one at least.")
    return names


def _evaluate(
    checkpoints: Sequence[str],
    data_folder: Path,
    blocks: int,
    by_entropy_of: str | None,
    folder: Path | None,
    show: bool,
) -> SideBySide:
    data = open_data(data_folder)
    content = {"data": data_hash(data)}
    for name in [*checkpoints, *([by_entropy_of] if by_entropy_of else [])]:
        check_same_tokenizer(name, data.tokenizer, data_folder)
    held_out = make_held_out_eval(data.valid, data.tokenizer, data.token_counts, blocks=blocks)

    def load(name: str) -> Any:
        model = _load_finite(name, data.tokenizer)
        check_positions(name, model, data.manifest["block"], data.path)
        return model

    quintiles = entropy_quintiles(load(by_entropy_of), held_out) if by_entropy_of else None
    floor = evaluate_unigram(held_out, quintiles=quintiles)
    results = {FLOOR: floor}
    settings = {"data": str(data_folder), "blocks": blocks, "by_entropy_of": by_entropy_of}
    for name in checkpoints:
        with Progress(f"evaluate {name}", None, "models", show=show) as progress, timed() as recorder:
            results[name] = evaluate_mlm(load(name), held_out, quintiles=quintiles)
            _check_finite(name, [results[name].sums])
            progress.advance()
            if folder is not None:
                kept = _kept_grades(results[name], floor, recorder.cost())
                write_evaluated(folder, name, kept, settings, content)
    return (
        SideBySide(results, f"the entropy of {by_entropy_of}, q1 the lowest") if by_entropy_of else SideBySide(results)
    )


def _kept_grades(grade: HeldOutResult, floor: HeldOutResult, cost: Cost) -> Evaluated:
    figures, under = grade.as_dict(), grade_figures(floor)
    return Evaluated(cost, {"held_out": to_json(figures).rstrip()}, grade_figures(grade), {FLOOR: under})


def grade_figures(grade: HeldOutResult) -> dict[str, float]:
    """Returns the figures of a grade as records keep them: without the counts of tokens."""
    return {name: value for name, value in grade.as_dict().items() if name != "tokens"}


@silent_if_not_shown
def evaluate_words(
    checkpoints: str | PathLike[str] | Sequence[str | PathLike[str]],
    sources: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    windows: int = 1024,
    out: str | PathLike[str] | None = None,
    show: bool = True,
) -> WordReport:
    """Grades checkpoints with any tokenizers on whole words of a text, in nats per character.

    15% of the words of each window are masked, all pieces of each at once, the same words for every checkpoint. A word
    is left out if a tokenizer does not know it or a model has too few positions for its window.

    Args:
        checkpoints: A run folder, a checkpoint or a hub name, or several.
        sources: Files, folders, globs, `hub:NAME[:CONFIG]` or `python-docs`, one or several.
        windows: How many windows of 48 words are taken, from the first on.
        out: A new folder, for `<checkpoint>/words.json` and `record.json`. None keeps nothing.
        show: Whether to show progress.

    Returns:
        The sums over the graded words of each: `table()`, `as_json()`, `results`.

    Raises:
        InputError: If no word is left, and for a checkpoint with weights that are not finite.

    Example:
        ```python
        from maskwise.lab import evaluate_words

        evaluate_words(["run", "bert-base-uncased"], "held-out.txt").table()
        ```
    """
    names, texts = names_of(checkpoints), names_of(sources)
    with kept_in(out, names) as folder, timed() as recorder:
        report = _evaluate_words(names, texts, windows, show)
        if folder is not None:
            content = {f"text {source}": path_hash(Path(source)) for source in texts}
            for name, grade in report.results.items():
                kept = Evaluated(recorder.cost(), {"words": to_json(grade._asdict()).rstrip()}, grade.shares())
                write_evaluated(folder, name, kept, {"sources": texts, "windows": windows}, content)
        return report


def _evaluate_words(checkpoints: Sequence[str], sources: Sequence[str], windows: int, show: bool) -> WordReport:
    models = {name: _load_evaluated(name) for name in checkpoints}
    results, skipped = dict.fromkeys(checkpoints, WordGrade()), 0
    with Progress("evaluate", windows, "windows", show=show) as progress:
        for number, words in enumerate(islice(word_windows(sources), windows)):
            questions = {i for i in range(len(words)) if _is_asked(number, i)}
            fits = all(model.has_room_for(words) for model in models.values())
            known = {i for i in questions if fits and all(model.knows(words[i]) for model in models.values())}
            skipped += len(questions) - len(known)
            for name, model in models.items():
                results[name] = results[name].plus(_grade_window(model, words, sorted(known)))
            progress.advance()
    for name, grade in results.items():
        _check_finite(name, [torch.tensor(grade.loss)])
    if not any(grade.words for grade in results.values()):
        raise InputError(
            f"There is no word to grade in {', '.join(sources)}: windows have {WINDOW_WORDS} words of "
            f"one document, and {skipped:,} words were left out that a model cannot spell. Give longer documents in a "
            "language that all models know."
        )
    return WordReport(results, skipped)


class EvaluatedModel(NamedTuple):
    """A checkpoint on the whole-word evaluation: its head, its tokenizer, and how many positions it has."""

    head: SparseHead
    tokenizer: Any
    longest: int

    def knows(self, word: str) -> bool:
        """Returns True where the word is made of ordinary tokens: neither unknown, special, nor none at all."""
        tokens = self.tokenizer(word, add_special_tokens=False)["input_ids"]
        return bool(tokens) and not set(tokens) & set(self.tokenizer.all_special_ids)

    def has_room_for(self, words: Sequence[str]) -> bool:
        """Returns True where the window is not longer than the model's positions."""
        return len(self.tokenizer(" ".join(words))["input_ids"]) <= self.longest


def _load_evaluated(name: str) -> EvaluatedModel:
    tokenizer = load_tokenizer(name)
    model = _load_finite(name, tokenizer)
    return EvaluatedModel(SparseHead(model), tokenizer, longest_window(model, tokenizer))


def _load_finite(name: str, tokenizer: Any) -> Any:
    model = load_checkpoint(name, tokenizer)
    _check_finite(name, model.parameters())
    return model.to(nth_device())


def _check_finite(name: str, tensors: Iterable[Tensor]) -> None:
    """A run that went wrong can leave weights, or losses, that are no numbers: no grade, and no order of entropies."""
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise InputError(
            f"The checkpoint {name!r} has weights or losses that are not finite (nan or infinity), so it cannot be "
            "graded.\nTake an earlier checkpoint of its run, or train again with a lower learning rate."
        )


def word_windows(sources: Sequence[str]) -> Iterator[list[str]]:
    """Yields windows of `WINDOW_WORDS` words of one document each; what is left at a document's end is left out."""
    for document in documents(sources):
        words = document.text.split()
        yield from (words[i : i + WINDOW_WORDS] for i in range(0, len(words) - WINDOW_WORDS + 1, WINDOW_WORDS))


def _is_asked(window: int, word: int) -> bool:
    bits = mix_int(mix_int(mix_int(HELD_OUT_SEED) + int(Stream.HELD_OUT)) + window * WINDOW_WORDS + word)
    return bits / 2**64 < WORD_RATE


@torch.no_grad()
def _grade_window(model: EvaluatedModel, words: list[str], asked: list[int]) -> WordGrade:
    """Masks every piece that touches an asked word, and sums the losses of those pieces."""
    if not asked:
        return WordGrade()
    input_ids_T, owner_T = _encode(model.tokenizer, words, asked)
    rows_T = owner_T >= 0
    masked_1T = torch.where(rows_T, model.tokenizer.mask_token_id, input_ids_T)[None]
    device = nth_device()
    logits_RV = model.head.logits({"input_ids": masked_1T.to(device)}, rows_T[None].to(device)).float().cpu()
    targets_R = input_ids_T[rows_T]
    wrong = set(owner_T[rows_T][logits_RV.argmax(-1) != targets_R].tolist())
    loss = F.cross_entropy(logits_RV, targets_R, reduction="sum").item()
    return WordGrade(loss, sum(len(words[i]) for i in asked), len(asked) - len(wrong), len(asked))


def _encode(tokenizer: Any, words: list[str], asked: list[int]) -> tuple[Tensor, Tensor]:
    """Returns the window's token ids and, per token, the asked word it belongs to (-1 for none)."""
    encoding = tokenizer(" ".join(words), return_offsets_mapping=True)
    owner_of_character: list[int] = []
    for i, word in enumerate(words):
        owner_of_character += [i if i in asked else -1] * len(word) + [-1]
    owners = [max(owner_of_character[start:end], default=-1) for start, end in encoding["offset_mapping"]]
    return torch.tensor(encoding["input_ids"]), torch.tensor(owners)
