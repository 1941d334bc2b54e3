"""Sentences of words as examples of tokens: each word is labelled once, at its first piece.

A sentence longer than the model's window becomes several that overlap; a word is labelled in the one where it has the
most context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from maskwise.lab.tuning.batches import Example
from maskwise.masking.corrupt import IGNORE

OVERLAP = 4  # a window repeats a quarter of the one before


class WordWindow(NamedTuple):
    """The words `start` to `stop` of a sentence are seen, those in `labelled` are labelled."""

    start: int
    stop: int
    labelled: list[int]


class Windows(NamedTuple):
    """Examples, and of each the sentence it is from and the words it labels, in order.

    `num_split` sentences did not fit into one window, `num_cut_words` words not into any; `num_unread_words` have no
    piece and are read as unknown.
    """

    examples: list[Example]
    places: list[tuple[int, list[int]]]
    num_split: int
    num_cut_words: int
    num_unread_words: int

    def by_sentence(self, logits: Sequence[np.ndarray], num_words: Sequence[int]) -> list[np.ndarray]:
        """Returns [W, C], the logits of each word, for each sentence; `logits` are [T, C] for each example."""
        num_classes = logits[0].shape[-1]
        sentences = [np.empty((count, num_classes), dtype=np.float32) for count in num_words]
        for example, (sentence, words), logits_TC in zip(self.examples, self.places, logits, strict=True):
            sentences[sentence][words] = logits_TC[np.array(example["labels"]) != IGNORE]
        return sentences


def encode_windows(
    tokenizer: Any, sentences: Sequence[Sequence[str]], labels: Sequence[Sequence[int]], max_length: int
) -> Windows:
    """Returns the windows of sentences, `max_length` tokens at most, special ones included."""
    full = [i for i, words in enumerate(sentences) if words]
    sizes = dict(zip(full, pieces_per_word(tokenizer, [sentences[i] for i in full]), strict=True))
    room = max_length - tokenizer.num_special_tokens_to_add()
    cut = {i: cut_windows([min(max(size, 1), room) for size in sizes[i]], room) for i in full}
    windows = [(i, window) for i in full for window in cut[i]]
    unknown = tokenizer.unk_token or tokenizer.mask_token
    texts = [
        [sentences[i][word] if sizes[i][word] else unknown for word in range(window.start, window.stop)]
        for i, window in windows
    ]
    encoded = tokenizer(texts, is_split_into_words=True, truncation=True, max_length=max_length)
    examples = []
    for number, (i, window) in enumerate(windows):
        own = {word - window.start: labels[i][word] for word in window.labelled}
        example = {key: rows[number] for key, rows in encoded.items()}
        examples.append(example | {"labels": _at_first_pieces(encoded.word_ids(number), own)})
    counts = [size for i in full for size in sizes[i]]
    return Windows(
        examples,
        [(i, window.labelled) for i, window in windows],
        sum(len(found) > 1 for found in cut.values()),
        sum(size > room for size in counts),
        sum(size == 0 for size in counts),
    )


def separate_words(tokenizer: Any) -> Any:
    """Returns the tokenizer, a byte-level one set to put a space before each word, as running text has it."""
    pre_tokenizer = tokenizer.backend_tokenizer.pre_tokenizer
    if hasattr(pre_tokenizer, "add_prefix_space"):
        pre_tokenizer.add_prefix_space = True
        tokenizer.init_kwargs["add_prefix_space"] = True
    return tokenizer


def pieces_per_word(tokenizer: Any, sentences: Sequence[Sequence[str]]) -> list[list[int]]:
    """Returns how many pieces each word of each sentence has."""
    if not sentences:
        return []
    encoded = tokenizer(list(map(list, sentences)), is_split_into_words=True, add_special_tokens=False, verbose=False)
    ids = ([word for word in encoded.word_ids(i) if word is not None] for i in range(len(sentences)))
    return [np.bincount(found, minlength=len(words)).tolist() for found, words in zip(ids, sentences, strict=True)]


def cut_windows(sizes: Sequence[int], room: int) -> list[WordWindow]:
    """Returns windows of whole words with at most `room` pieces; every word is labelled in exactly one.

    >>> cut_windows([1] * 6, room=4)
    [WordWindow(start=0, stop=4, labelled=[0, 1, 2, 3]), WordWindow(start=3, stop=6, labelled=[4, 5])]
    """
    spans, start = [], 0
    while not spans or spans[-1][1] < len(sizes):
        stop = _end(sizes, start, room)
        spans.append((start, stop))
        start = max(start + 1, stop - _end(sizes[start:stop][::-1], 0, room // OVERLAP))
    labelled: list[list[int]] = [[] for _ in spans]
    for word in range(len(sizes)):
        context = [min(word - start, stop - 1 - word) for start, stop in spans]
        labelled[context.index(max(context))].append(word)
    return [WordWindow(start, stop, words) for (start, stop), words in zip(spans, labelled, strict=True) if words]


def _end(sizes: Sequence[int], start: int, room: int) -> int:
    """The word at which the room is full."""
    ends = np.cumsum(sizes[start:])
    return start + int(np.searchsorted(ends, room, side="right"))


def _at_first_pieces(word_ids: Sequence[int | None], labels: dict[int, int]) -> list[int]:
    before = [None, *word_ids[:-1]]
    return [
        labels.get(word, IGNORE) if word is not None and word != last else IGNORE
        for word, last in zip(word_ids, before, strict=True)
    ]
