"""The documents that are kept: long enough, not met before, each on its side of the held-out split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from maskwise.lab.text.clean import count_words
from maskwise.lab.text.duplicates import SeenDigests, digest, share
from maskwise.lab.text.sources import Source, SourceDocument

BATCH_CHARACTERS = 1_000_000


class DocumentBatch(NamedTuple):
    """Documents [N] that are worked on together: about a million characters, at least one document."""

    texts: list[str]
    labels: list[str | None]
    held_out: np.ndarray  # bool [N]


class Corpus:
    """Batches of kept documents, in the order of the sources; `counts` is complete after one pass.

    A document is held out if it comes from `valid_sources`, or else by a hash of its text and the seed, so the split
    depends neither on order nor on what else is in the corpus. Sources of held-out text are read first: a training
    document that is also held out is dropped as the duplicate.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        valid_sources: Sequence[Source] | None,
        *,
        valid_share: float,
        min_words: int,
        keep_duplicates: bool,
        seed: int,
    ) -> None:
        self.sources, self.valid_sources = sources, valid_sources
        self.valid_share, self.min_words, self.seed = valid_share, min_words, seed
        self._seen = None if keep_duplicates else SeenDigests()
        self.counts = dict.fromkeys(("read", "kept", "too_short", "duplicates", "words", "joiners"), 0)

    def __iter__(self) -> Iterator[DocumentBatch]:
        for source in self.valid_sources or ():
            yield from self._batches(source, held_out=True)
        for source in self.sources:
            yield from self._batches(source, held_out=False if self.valid_sources is not None else None)

    def _batches(self, source: Source, held_out: bool | None) -> Iterator[DocumentBatch]:
        for documents in _grouped(source.documents()):
            batch = self._keep(documents, held_out)
            if batch.texts:
                yield batch
        self.counts["joiners"] += source.num_joiners

    def _keep(self, documents: list[SourceDocument], held_out: bool | None) -> DocumentBatch:
        texts = [document.text for document in documents]
        num_words = np.fromiter(map(count_words, texts), np.int64, len(texts))
        keep = num_words >= max(self.min_words, 1)
        self.counts["read"] += len(texts)
        self.counts["too_short"] += int((~keep).sum())
        digests = [digest(text) for text in texts]
        if self._seen is not None and keep.any():
            long_enough = np.flatnonzero(keep)
            keep[long_enough] = self._seen.add([digests[at] for at in long_enough])
            self.counts["duplicates"] += len(long_enough) - int(keep.sum())
        kept = np.flatnonzero(keep)
        self.counts["kept"] += len(kept)
        self.counts["words"] += int(num_words[kept].sum())
        return DocumentBatch(
            [texts[at] for at in kept],
            [documents[at].label for at in kept],
            np.array([self._held_out(digests[at]) if held_out is None else held_out for at in kept], bool),
        )

    def _held_out(self, digest: bytes) -> bool:
        return share(digest, self.seed) < self.valid_share


def _grouped(documents: Iterator[SourceDocument]) -> Iterator[list[SourceDocument]]:
    group, size = [], 0
    for document in documents:
        group.append(document)
        size += len(document.text)
        if size >= BATCH_CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group
