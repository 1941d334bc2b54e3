"""Texts to token pieces with the borders of their words, in bulk.

Legend: N documents, P pieces (tokens of all documents one after another), C chunks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from maskwise.lab.text.clean import PART_CHARACTERS, text_parts
from maskwise.masking.word_marks import WordMarks

MAX_CACHED_CHUNKS = 1_000_000


class Pieces(NamedTuple):
    """The tokens of documents end to end, without any special token."""

    ids_P: np.ndarray  # int32
    starts_P: np.ndarray  # bool: the first piece of a word, as `Encoding.word_ids` has it; a document starts a word
    lengths_N: np.ndarray  # int64

    def select(self, keep_N: np.ndarray) -> Pieces:
        """Returns the pieces of the documents where `keep_N` is True."""
        keep_P = np.repeat(keep_N, self.lengths_N)
        return Pieces(self.ids_P[keep_P], self.starts_P[keep_P], self.lengths_N[keep_N])

    def word_lengths(self) -> np.ndarray:
        """Returns int64 [words]: the pieces of each word."""
        return np.diff(np.flatnonzero(np.append(self.starts_P, True)))


def encode_pieces(tokenizer: Tokenizer, texts: Sequence[str], marks: WordMarks | None = None) -> Pieces:
    """Returns the pieces of the texts, straight from the tokenizer; the reference for `ChunkEncoder`.

    `tokenizer` must not truncate or pad. Special tokens written in a text ("[MASK]") are read as ordinary text.
    `marks`: where words begin besides, for a tokenizer whose word ids do not separate them (`word_marks`).
    """
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    lengths_N = np.fromiter(map(len, encodings), np.int64, len(encodings))
    total = int(lengths_N.sum())
    ids_P = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32, total)
    words_P = np.fromiter(chain.from_iterable(encoding.word_ids for encoding in encodings), np.int64, total)
    starts_P = np.ones(total, bool)
    starts_P[1:] = words_P[1:] != words_P[:-1]
    starts_P[_firsts(lengths_N[lengths_N > 0])] = True
    if marks is not None:
        starts_P |= marks.starts(ids_P)
    return Pieces(ids_P, starts_P, lengths_N)


class ChunkEncoder:
    """`encode_pieces`, several times faster: each distinct chunk between white space goes to the tokenizer once.

    Exact for tokenizers that never look across white space (`chunk_splitter` knows which). Half of the words of a text
    are among the few hundred most frequent ones, so most chunks are found in a table of those met before.
    """

    def __init__(self, tokenizer: Tokenizer, split: Callable[[str], list[str]]) -> None:
        self.tokenizer, self.split = tokenizer, split
        self._forget()

    def _forget(self) -> None:
        self._index: dict[str, int] = {}
        self._known = Pieces(np.zeros(0, np.int32), np.zeros(0, bool), np.zeros(0, np.int64))

    def __call__(self, texts: Sequence[str]) -> Pieces:
        """Returns what `encode_pieces` returns; long texts go through in parts, so that chunks take little memory."""
        if sum(map(len, texts)) <= PART_CHARACTERS:
            return self._encode(texts)
        parts_by_text = [list(text_parts(text)) or [""] for text in texts]
        num_parts_N = np.fromiter(map(len, parts_by_text), np.int64, len(texts))
        groups = map(self._encode, _grouped(chain.from_iterable(parts_by_text)))
        ids_P, starts_P, lengths = map(np.concatenate, zip(*groups, strict=True))
        return Pieces(ids_P, starts_P, np.add.reduceat(lengths, _firsts(num_parts_N)))

    def _encode(self, texts: Sequence[str]) -> Pieces:
        chunks_by_text = [self.split(text) for text in texts]
        num_chunks_N = np.fromiter(map(len, chunks_by_text), np.int64, len(texts))
        chunks = list(chain.from_iterable(chunks_by_text))
        self._learn(chunks)
        index_C = np.fromiter(map(self._index.__getitem__, chunks), np.int64, len(chunks))
        lengths_C = self._known.lengths_N[index_C]
        take_P = _ranges(_firsts(self._known.lengths_N)[index_C], lengths_C)
        bounds_N = np.concatenate([[0], np.cumsum(lengths_C)])[np.concatenate([[0], np.cumsum(num_chunks_N)])]
        return Pieces(self._known.ids_P[take_P], self._known.starts_P[take_P], np.diff(bounds_N))

    def _learn(self, chunks: list[str]) -> None:
        if len(self._index) > MAX_CACHED_CHUNKS:
            self._forget()
        new = [chunk for chunk in dict.fromkeys(chunks) if chunk not in self._index]
        blank = [chunk for chunk in new if chunk.isspace()]
        solid = [chunk for chunk in new if not chunk.isspace()]
        for group, encode_group in ((solid, _encode_lines), (blank, encode_pieces)):
            if group:
                self._index.update(zip(group, range(len(self._index), len(self._index) + len(group)), strict=True))
                learnt = encode_group(self.tokenizer, group)
                self._known = Pieces(*map(np.concatenate, zip(self._known, learnt, strict=True)))


def _grouped(parts: Iterable[str]) -> Iterator[list[str]]:
    """Yields the parts in groups of about `PART_CHARACTERS`, each of one part at least."""
    group, size = [], 0
    for part in parts:
        if group and size + len(part) > PART_CHARACTERS:
            yield group
            group, size = [], 0
        group.append(part)
        size += len(part)
    yield group


def _encode_lines(tokenizer: Tokenizer, chunks: Sequence[str]) -> Pieces:
    """Returns `encode_pieces` of chunks that are not blank, sent as the lines of one text: half the time."""
    encoding = tokenizer.encode("\n".join(chunks), add_special_tokens=False)
    ids_P, words_P = np.array(encoding.ids, np.int32), np.array(encoding.word_ids, np.int64)
    begins_P = np.fromiter((begin for begin, _ in encoding.offsets), np.int64, len(ids_P))
    lengths_C = np.fromiter(map(len, chunks), np.int64, len(chunks))
    begins_C = _firsts(lengths_C + 1)
    chunk_P = np.searchsorted(begins_C, begins_P, side="right") - 1
    starts_P = np.diff(words_P, prepend=-1) != 0
    is_chunk_P = begins_P < (begins_C + lengths_C)[chunk_P]  # byte-level tokenizers have a token for the line's end
    lengths_C = np.bincount(chunk_P[is_chunk_P], minlength=len(chunks))
    return Pieces(ids_P[is_chunk_P], starts_P[is_chunk_P], lengths_C)


def chunk_splitter(tokenizer: Tokenizer) -> Callable[[str], list[str]] | None:
    """Returns how to cut texts into chunks that this tokenizer encodes independently, or None if that is not known.

    BERT's normalizer and pre-tokenizer cut at every white space; GPT-2's byte-level pattern cuts in front of the last
    white space of a run (with `add_prefix_space` a chunk would gain a space that it has not in its text).
    """
    parts = json.loads(tokenizer.to_str())
    if any(not token["special"] for token in parts["added_tokens"]):
        return None  # such a token may hold white space or reach across it
    normalizer, pre_tokenizer = (parts[name] or {"type": None} for name in ("normalizer", "pre_tokenizer"))
    if normalizer["type"] in (None, "BertNormalizer") and pre_tokenizer["type"] == "BertPreTokenizer":
        return str.split
    byte_level = pre_tokenizer["type"] == "ByteLevel" and pre_tokenizer["use_regex"]
    if normalizer["type"] in (None, "NFC") and byte_level and not pre_tokenizer["add_prefix_space"]:
        return re.compile(r"\s?\S+|\s+(?=\s\S)|\s+\Z").findall
    return None


def _firsts(lengths: np.ndarray) -> np.ndarray:
    """Returns where each of consecutive pieces of these lengths begins."""
    return np.cumsum(lengths) - lengths


def _ranges(begins: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns the ranges `begin, begin + 1, ...` of these lengths, end to end."""
    return np.repeat(begins - _firsts(lengths), lengths) + np.arange(int(lengths.sum()))
