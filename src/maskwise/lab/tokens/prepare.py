"""The job `prepare`: text sources in, a data folder of token blocks out."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import chain, compress
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from maskwise.errors import InputError, nearest
from maskwise.files.atomic_folder import atomic_folder
from maskwise.files.checksums import record_files
from maskwise.lab.records.recorder import Recorder
from maskwise.lab.seeds import SEED_LIMIT
from maskwise.lab.text.clean import text_parts
from maskwise.lab.text.corpus import Corpus, DocumentBatch
from maskwise.lab.text.find_files import PassedOver
from maskwise.lab.text.sources import BUILT_IN, Sources, find_sources, one_document_note
from maskwise.lab.tokens.blocks import (
    MANIFEST,
    SPLITS,
    TOKEN_COUNTS,
    TOKENIZER,
    BlockWriter,
    DataFolder,
    Mode,
    open_data,
)
from maskwise.lab.tokens.content import write_prepare_record
from maskwise.lab.tokens.extend_tokenizer import Extension, WordCounter, check_extendable, extend
from maskwise.lab.tokens.parallel import encode_batches
from maskwise.lab.tokens.tokenizer import (
    TokenizerKind,
    block_borders,
    open_tokenizer,
    plain_backend,
    tokenizer_hash,
    train_tokenizer,
)
from maskwise.masking.vocabulary import num_token_ids
from maskwise.masking.word_marks import separates_words, word_marks
from maskwise.progress import Progress, silent_if_not_shown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MAX_BLOCK = np.iinfo(np.int16).max
LONG_WORD_PIECES = 16


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """What `prepare` does; a field is the flag of the command line with underscores."""

    sources: tuple[str, ...]  # as `maskwise.lab.text.sources.documents` takes them
    out: Path  # the data folder to make
    tokenizer: str | None = None  # a hub name, a folder, or a BERT vocabulary file (.txt)
    train_tokenizer: int | None = None  # instead: the size of a vocabulary to train on the training documents
    tokenizer_kind: TokenizerKind = "wordpiece"  # what is trained
    cased: bool = False  # a trained WordPiece vocabulary keeps capitals and accents; byte-level BPE always does
    extend_tokenizer: str | None = None  # instead: a tokenizer, named as above, that gets whole words of the text
    new_words: int | None = None  # how many
    block: int = 128  # tokens of a block, [CLS] and [SEP] included
    mode: Mode = "concat"  # or "document": no block crosses a document
    label_column: str | None = None  # document: the column with the class of each text, kept as `label`
    valid: tuple[str, ...] | None = None  # sources of held-out text, instead of a share of the documents
    valid_share: float = 0.05
    min_words: int = 5  # shorter documents are dropped
    keep_duplicates: bool = False
    seed: int = 0  # of the held-out split
    workers: int | None = None  # processes that tokenize; None: one a core

    def __post_init__(self) -> None:
        if not self.sources:
            raise InputError("no source was given: name at least one file, folder, or python-docs.")
        if sum(choice is not None for choice in (self.tokenizer, self.train_tokenizer, self.extend_tokenizer)) != 1:
            raise InputError(
                "give one of --tokenizer NAME, --train-tokenizer SIZE (for instance 30522) and --extend-tokenizer BASE."
            )
        if (self.extend_tokenizer is None) != (self.new_words is None):
            raise InputError("--extend-tokenizer BASE and --new-words N (for instance 1000) go together.")
        if self.train_tokenizer is None and (self.cased or self.tokenizer_kind != "wordpiece"):
            option = "--cased" if self.cased else "--tokenizer-kind"
            raise InputError(
                f"{option} is about the tokenizer that --train-tokenizer SIZE trains, and none is trained."
            )
        if not 0 <= self.seed < SEED_LIMIT:
            raise InputError(f"--seed is {self.seed}; it must lie between 0 and {SEED_LIMIT - 1:,}.")
        if self.new_words is not None and self.new_words < 1:
            raise InputError(f"--new-words is {self.new_words}; give at least 1.")
        if not 8 <= self.block <= MAX_BLOCK:
            raise InputError(f"--block is {self.block}; it must lie between 8 and {MAX_BLOCK}.")
        if not 0 <= self.valid_share < 1:
            raise InputError(f"--valid-share is {self.valid_share}; it is a share, from 0 to below 1.")
        if self.label_column is not None and self.mode != "document":
            raise InputError(
                "--label-column labels documents, and a block of several has no one label: --mode document."
            )
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers is {self.workers}; give at least 1.")
        for name, value, choices in (("mode", self.mode, Mode), ("tokenizer-kind", self.tokenizer_kind, TokenizerKind)):
            if value not in get_args(choices):
                raise InputError(f"--{name} is {value!r}; choose from {', '.join(get_args(choices))}.")


@silent_if_not_shown
def prepare(
    sources: PrepareSettings | str | PathLike[str] | Sequence[str | PathLike[str]],
    out: str | Path | None = None,
    *,
    show: bool = True,
    recorder: Recorder | None = None,
    **settings: Any,
) -> DataFolder:
    r"""Turns text into token blocks on disk; `maskwise.lab.tokens.blocks` describes what the folder holds.

    Documents are cleaned (`maskwise.lab.text.clean`), short ones and exact duplicates dropped and counted, then
    tokenized and cut into blocks; no token is dropped. The folder is the same whatever the number of workers, and
    memory does not grow with the corpus but for 16 bytes a document (`keep_duplicates`: not even those). What a reader
    of the figures should know, such as the files that were passed over, is in the manifest's `notes`. The record of the
    job is next to the folder.

    Args:
        sources: Files, folders, globs, `hub:NAME[:CONFIG]` or `python-docs`, one or several; or all settings as a
            `PrepareSettings`.
        out: The data folder to make.
        show: Whether progress is shown.
        recorder: What keeps the job's attempts and its place in a study, if it has one.
        **settings: The other fields of `PrepareSettings`. One of `tokenizer` (a name, a folder or a vocab.txt),
            `train_tokenizer` (a size) and `extend_tokenizer` with `new_words` is needed; `block` is the number of
            tokens of a block (128), `mode` "concat" or "document", `valid_share` the share of documents held out.

    Returns:
        The data folder. It stands for its path wherever a path is asked for.

    Raises:
        InputError: For anything wrong with the settings or the sources; nothing is left behind then.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     text = Path(folder, "text.txt")
        ...     lines = (f"one two three four number{i} and more" for i in range(40))
        ...     _ = text.write_text("\n\n".join(lines))
        ...     data = prepare(text, f"{folder}/data", train_tokenizer=100, block=16, show=False)
        ...     sorted(data.train[0])
        ['input_ids', 'word_ids']
    """
    complete, recorder = prepare_settings(sources, out, settings), recorder or Recorder()
    with recorder.attempt_in(None):
        data = _prepare(complete, show)
        write_prepare_record(data, asdict(complete) | {"out": str(complete.out)}, recorder)
    return data


def prepare_settings(sources: Any, out: Any, settings: Mapping[str, Any]) -> PrepareSettings:
    """Returns checked settings of `prepare` from its arguments; raises InputError for what cannot work."""
    if isinstance(sources, PrepareSettings):
        if out is not None or settings:
            raise InputError(f"PrepareSettings hold all settings; found {', '.join([*settings, 'out'])} next to them.")
        return sources
    known = [field.name for field in fields(PrepareSettings)]
    for name in settings:
        if name not in known:
            raise InputError(f"prepare has no setting {name!r}.{nearest(name, known)} It has {', '.join(known)}.")
    if out is None:
        raise InputError("A data folder needs a place: prepare(sources, out='data', ...).")
    given = dict(settings)
    for name in ("tokenizer", "extend_tokenizer"):
        if isinstance(given.get(name), PathLike):
            given[name] = fspath(given[name])
    if given.get("valid") is not None:
        given["valid"] = _names(given["valid"])
    return PrepareSettings(sources=_names(sources), out=Path(out), **given)


def _names(sources: Any) -> tuple[str, ...]:
    one = isinstance(sources, str | PathLike)
    try:
        return tuple(fspath(source) for source in ([sources] if one else sources))
    except TypeError:
        raise InputError(f"Sources are names of files and folders; found {sources!r:.80}.") from None


def _prepare(settings: PrepareSettings, show: bool) -> DataFolder:
    sources = find_sources(settings.sources, settings.label_column)
    valid_sources = None if settings.valid is None else find_sources(settings.valid, settings.label_column)
    corpus = Corpus(
        sources, valid_sources, valid_share=settings.valid_share, min_words=settings.min_words,
        keep_duplicates=settings.keep_duplicates, seed=settings.seed,
    )  # fmt: skip
    given = open_tokenizer(settings.tokenizer) if settings.tokenizer is not None else None
    base = open_tokenizer(settings.extend_tokenizer) if settings.extend_tokenizer is not None else None
    if base is not None:
        check_extendable(str(settings.extend_tokenizer), base)
    with atomic_folder(settings.out) as folder:
        batches: Iterable[DocumentBatch] = corpus if given else _spooled(corpus, folder, show)
        extension = _extension(base, folder, settings) if base else None
        tokenizer = given or (extension.tokenizer if extension else _trained(folder, settings))
        with Progress("tokenize", None, "words", show=show) as progress:
            written = _write_blocks(batches, tokenizer, settings, folder, progress)
        notes = _notes(settings, sources, valid_sources or Sources(), corpus)
        _require_blocks(written, corpus, settings, notes)
        tokenizer.save_pretrained(folder / TOKENIZER)
        _spool(folder).unlink(missing_ok=True)
        manifest = _manifest(settings, sources, valid_sources or Sources(), corpus, tokenizer, written)
        manifest["notes"] = notes
        manifest["files"] = record_files(folder, [*(f"{split}.arrow" for split in SPLITS), TOKEN_COUNTS, TOKENIZER])
        _write_manifest(folder, manifest | ({"extended_tokenizer": extension.record} if extension else {}))
    return open_data(settings.out)


def _spool(folder: Path) -> Path:
    return folder / "kept.pickle"


def _spooled(corpus: Corpus, folder: Path, show: bool) -> Iterator[DocumentBatch]:
    """Puts the kept documents down on disk, since training a tokenizer takes two more passes; returns them again."""
    with Progress("read", None, "words", show=show) as progress, _spool(folder).open("wb") as file:
        for batch in corpus:
            pickle.dump(batch, file)
            progress.advance(corpus.counts["words"] - progress.done)
    return _read_spool(folder)


def _read_spool(folder: Path) -> Iterator[DocumentBatch]:
    with _spool(folder).open("rb") as file:
        while file.peek(1):
            yield pickle.load(file)


def _extension(base: PreTrainedTokenizerFast, folder: Path, settings: PrepareSettings) -> Extension:
    counters = {split: WordCounter(base.backend_tokenizer) for split in SPLITS}
    for batch in _read_spool(folder):
        for split, here in (("train", ~batch.held_out), ("valid", batch.held_out)):
            counters[split].add(compress(batch.texts, here))
    assert settings.extend_tokenizer is not None and settings.new_words is not None
    counts = {split: counter.counts for split, counter in counters.items()}
    return extend(settings.extend_tokenizer, base, counts, settings.new_words)


def _trained(folder: Path, settings: PrepareSettings) -> PreTrainedTokenizerFast:
    def training_texts() -> Iterator[str]:
        for batch in _read_spool(folder):
            texts = (text for text, held_out in zip(batch.texts, batch.held_out, strict=True) if not held_out)
            yield from chain.from_iterable(map(text_parts, texts))

    if next(training_texts(), None) is None:
        raise InputError(f"nothing to train a tokenizer on: no document is left of {', '.join(settings.sources)}.")
    assert settings.train_tokenizer is not None
    return train_tokenizer(
        training_texts, settings.train_tokenizer, settings.tokenizer_kind, lowercase=not settings.cased
    )


def _write_blocks(
    batches: Iterable[DocumentBatch],
    tokenizer: PreTrainedTokenizerFast,
    settings: PrepareSettings,
    folder: Path,
    progress: Progress,
) -> dict:
    """Writes both splits and the token counts; returns the counts of the manifest by name."""
    writers = {
        split: BlockWriter(
            folder / f"{split}.arrow", mode=settings.mode, block=settings.block, borders=block_borders(tokenizer),
            vocabulary_size=num_token_ids(tokenizer),
            labelled=_is_labelled(settings),
        )
        for split in SPLITS
    }  # fmt: skip
    counts = {
        "documents": dict.fromkeys(SPLITS, 0),
        "tokens": dict.fromkeys(SPLITS, 0),
        "long_words": 0,
        "train_words": 0,
    }
    for batch, pieces in encode_batches(plain_backend(tokenizer), batches, settings.workers):
        counts["long_words"] += int((pieces.word_lengths() > LONG_WORD_PIECES).sum())
        for split, here in (("train", ~batch.held_out), ("valid", batch.held_out)):
            if here.any():
                part = pieces.select(here)
                writers[split].add(part, [label for label, keep in zip(batch.labels, here, strict=True) if keep])
                counts["documents"][split] += len(part.lengths_N)
                counts["tokens"][split] += len(part.ids_P)
        counts["train_words"] += sum(len(text.split()) for text in compress(batch.texts, ~batch.held_out))
        progress.advance(sum(text.count(" ") + 1 for text in batch.texts))
    for writer in writers.values():
        writer.close()
    np.save(folder / TOKEN_COUNTS, writers["train"].token_counts)
    return counts | {"blocks": {split: writer.num_blocks for split, writer in writers.items()}}


def _is_labelled(settings: PrepareSettings) -> bool:
    built_in = BUILT_IN in chain(settings.sources, settings.valid or ())
    return settings.label_column is not None or (settings.mode == "document" and built_in)


def _notes(settings: PrepareSettings, sources: Sources, valid_sources: Sources, corpus: Corpus) -> list[str]:
    """Returns what a reader of the figures should know, for people."""
    passed_over = PassedOver()
    for group in (sources, valid_sources):
        passed_over.add(group.passed_over)
    notes = [f"passed over: {passed_over}"] if str(passed_over) else []
    if note := one_document_note([*sources, *valid_sources]):
        notes.append(note)
    if settings.train_tokenizer is not None and settings.tokenizer_kind == "wordpiece" and not settings.cased:
        notes.append("the trained tokenizer makes text lower-case and strips accents; --cased keeps both")
    if joiners := corpus.counts["joiners"]:
        notes.append(f"{joiners:,} rows of more than 30 combining marks were broken up, each by a joiner (U+034F)")
    return notes


def _require_blocks(written: dict, corpus: Corpus, settings: PrepareSettings, notes: list[str]) -> None:
    counts, said = corpus.counts, "".join(f"\n{note}" for note in notes if "blank line" in note)
    if not written["blocks"]["train"]:
        raise InputError(
            f"no training block: of {counts['read']:,} documents {counts['too_short']:,} have fewer than "
            f"{settings.min_words} words, {counts['duplicates']:,} are duplicates, and "
            f"{written['documents']['valid']:,} are held out.{said}\nGive more text, or lower --min-words or "
            "--valid-share."
        )
    if not written["blocks"]["valid"] and (settings.valid is not None or settings.valid_share > 0):
        raise InputError(
            f"no held-out block: none of {counts['kept']:,} documents fell into the share of {settings.valid_share}, "
            f"or --valid holds none.{said}\nGive more text, raise --valid-share, or set it to 0 to hold out nothing."
        )


def _manifest(
    settings: PrepareSettings,
    sources: Sources,
    valid_sources: Sources,
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerFast,
    written: dict,
) -> dict:
    counts = corpus.counts
    return {
        "version": importlib.metadata.version("maskwise"),
        "sources": [
            {"name": source.name, "split": split, "sha256": source.sha256, "bytes": source.size,
             "documents": source.num_documents}
            for split, group in zip(SPLITS, (sources, valid_sources), strict=True) for source in group
        ],
        "passed_over": {
            split: group.passed_over.counts()
            for split, group in zip(SPLITS, (sources, valid_sources), strict=True)
        },
        "tokenizer_sha256": tokenizer_hash(tokenizer),
        "vocabulary": num_token_ids(tokenizer),
        "block": settings.block,
        "mode": settings.mode,
        "word_borders": _word_borders(tokenizer),
        "counts": {
            "documents": {name: counts[name] for name in ("read", "too_short", "duplicates", "kept")}
            | written["documents"],
            "words": counts["words"],
            "train_words": written["train_words"],
            "tokens": written["tokens"],
            "blocks": written["blocks"],
            "long_words": written["long_words"],
            "joiners": counts["joiners"],
        },
        "settings": asdict(settings) | {"out": str(settings.out)},
    }  # fmt: skip


def _word_borders(tokenizer: PreTrainedTokenizerFast) -> str:
    """Returns what tells words apart: the `tokenizer`, else the `marks` of its vocabulary, else `nothing`."""
    if separates_words(tokenizer.backend_tokenizer):
        return "tokenizer"
    return "nothing" if word_marks(tokenizer.backend_tokenizer) is None else "marks"


def _write_manifest(folder: Path, manifest: dict) -> None:
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=2, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
