"""A tokenizer with whole words added: those for which a domain's text pays the most pieces.

A new word goes into the tokenizer's own vocabulary, not into its list of added tokens: it is met after the tokenizer's
normalizer and only as what the pre-tokenizer cuts out, so its casing and its borders are the tokenizer's, a byte-level
word keeps its leading space, and texts are encoded as fast as before.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenizers import Tokenizer

from maskwise.errors import InputError
from maskwise.lab.text.clean import text_parts
from maskwise.lab.tokens.subwords import chunk_splitter
from maskwise.masking.word_marks import separates_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MIN_COUNT = 5  # a rarer word has too few places to learn a meaning from
PIECE_BONUS = 1e-3  # nats a piece saved, by which a Unigram model prefers the word to its pieces
UNKNOWN_PENALTY = 10.0  # nats below the least likely piece, as the Unigram model has it


class Extension(NamedTuple):
    """An extended tokenizer, and what the manifest says about it."""

    tokenizer: PreTrainedTokenizerFast
    record: dict[str, Any]


def extend(name: str, base: PreTrainedTokenizerFast, counts: Mapping[str, Counter[str]], num_words: int) -> Extension:
    """Returns the tokenizer `base` (called `name`) with the most useful words of the training text.

    `counts`: the words of each split, "train" among them. The record has the pieces a word of each split takes, before
    and after; those of the held-out text are the ones to believe. Raises InputError as the functions below do.
    """
    words = most_useful_words(base.backend_tokenizer, counts["train"], num_words)
    tokenizer = with_words(base, words)
    cores = {"before": base.backend_tokenizer, "after": tokenizer.backend_tokenizer}
    record = {
        "base": name,
        "base_vocabulary": len(base),
        "words_asked": num_words,
        "words": words,
        "pieces_per_word": {
            split: {when: mean_pieces_per_word(core, counted) for when, core in cores.items()}
            for split, counted in counts.items()
            if counted
        },
    }
    return Extension(tokenizer, record)


def check_extendable(name: str, base: PreTrainedTokenizerFast) -> None:
    """Raises InputError for a tokenizer of a kind without whole words, or one that gives one word to a whole text."""
    kind = json.loads(base.backend_tokenizer.to_str())["model"]["type"]
    if kind not in _ADD:
        raise InputError(f"cannot extend a tokenizer of the kind {kind}; known: {', '.join(_ADD)}.")
    if not separates_words(base.backend_tokenizer):
        raise InputError(
            f"cannot extend {name}: it takes a whole text as one word, so it would never meet a new word.\n"
            "Use it as it is, with --tokenizer."
        )


class WordCounter:
    """Counts the words of letters in texts, each as the tokenizer's vocabulary would hold it ("Ġheart", "▁heart")."""

    def __init__(self, core: Tokenizer) -> None:
        split = chunk_splitter(core)
        self._core, self._splits, self._split = core, split is not None, split or (lambda text: [text])
        self.counts: Counter[str] = Counter()

    def add(self, texts: Iterable[str]) -> None:
        """Counts the words of more texts."""
        parts = chain.from_iterable(map(text_parts, texts)) if self._splits else texts
        for chunk, count in Counter(chain.from_iterable(map(self._split, parts))).items():
            for word in self._words(chunk):
                self.counts[word] += count

    def _words(self, chunk: str) -> list[str]:
        normalizer, pre_tokenizer = self._core.normalizer, self._core.pre_tokenizer
        text = normalizer.normalize_str(chunk) if normalizer else chunk
        parts = pre_tokenizer.pre_tokenize_str(text) if pre_tokenizer else []
        return [word for word, (begin, end) in parts if text[begin:end].strip().isalpha()]


def most_useful_words(core: Tokenizer, counts: Mapping[str, int], num_words: int) -> list[str]:
    """Returns at most `num_words` words by the pieces that each saves as one token: count x (pieces - 1).

    Words met fewer than `MIN_COUNT` times are passed over. Raises InputError if no word would save anything.
    """
    frequent = ((word, count) for word, count in counts.items() if count >= MIN_COUNT)
    saved = {word: count * (len(core.model.tokenize(word)) - 1) for word, count in frequent}
    useful = sorted((word for word in saved if saved[word] > 0), key=lambda word: (-saved[word], word))
    if not useful:
        raise InputError(
            f"no word of letters occurs {MIN_COUNT} times or more and takes more than one piece: the tokenizer has "
            "the words of this text.\nUse it as it is, with --tokenizer."
        )
    return useful[:num_words]


def mean_pieces_per_word(core: Tokenizer, counts: Mapping[str, int]) -> float:
    """Returns how many pieces a word of letters takes on average; nan if there is no word."""
    num_pieces = sum(count * len(core.model.tokenize(word)) for word, count in counts.items())
    return num_pieces / total if (total := sum(counts.values())) else float("nan")


def with_words(base: PreTrainedTokenizerFast, words: Iterable[str]) -> PreTrainedTokenizerFast:
    """Returns `base` with the words numbered from its largest id on; what it had keeps its numbers.

    - WordPiece takes the longest beginning, so a new word may also begin a longer one.
    - BPE gives a whole word its own token before any merge (`ignore_merges`).
    - Unigram gives it hardly more than the probability of its pieces, so no other word is cut anew.

    The class is the plain one of `tokenizer.json`: special ones rebuild themselves from their vocabulary when they are
    loaded, and forget what else a tokenizer.json says. `check_extendable` says for which tokenizers.
    """
    from transformers import PreTrainedTokenizerFast

    parts = json.loads(base.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    model = parts["model"]
    known = {number: token for token, number in base.get_vocab().items()}
    _ADD[model["type"]](model, known, list(words), base.backend_tokenizer)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(parts)),
        model_max_length=base.model_max_length,
        model_input_names=base.model_input_names,
        **base.special_tokens_map,
    )


def extends(base: PreTrainedTokenizerFast, tokenizer: PreTrainedTokenizerFast) -> bool:
    """Returns True where `tokenizer` has every token of `base` under its number, and more."""
    known, grown = base.get_vocab(), tokenizer.get_vocab()
    return len(known) < len(grown) and known.items() <= grown.items()


def pieces_of_new_tokens(base: PreTrainedTokenizerFast, extended: PreTrainedTokenizerFast) -> dict[int, list[int]]:
    """Returns the ids into which `base` cuts each token that only `extended` has, by the new token's id."""
    known, model = base.get_vocab(), base.backend_tokenizer.model
    new = sorted((number, token) for token, number in extended.get_vocab().items() if token not in known)
    return {number: [piece.id for piece in model.tokenize(token)] for number, token in new}


def _add_to_wordpiece(model: dict[str, Any], known: dict[int, str], words: list[str], core: Tokenizer) -> None:
    model["vocab"] |= {token: number for number, token in known.items()}
    model["vocab"] |= {word: number for number, word in enumerate(words, start=max(known) + 1)}


def _add_to_bpe(model: dict[str, Any], known: dict[int, str], words: list[str], core: Tokenizer) -> None:
    _add_to_wordpiece(model, known, words, core)
    model["ignore_merges"] = True


def _add_to_unigram(model: dict[str, Any], known: dict[int, str], words: list[str], core: Tokenizer) -> None:
    scores = dict(model["vocab"])
    least = min(scores.values()) - UNKNOWN_PENALTY
    if model["unk_id"] is not None:
        scores[known[model["unk_id"]]] = least
    pieces = {word: [piece.value for piece in core.model.tokenize(word)] for word in words}
    missing = range(len(model["vocab"]), max(known) + 1)  # its tokens are numbered by their place: holes are filled
    model["vocab"] += [[known.get(number, f"[unused{number}]"), least] for number in missing]
    model["vocab"] += [
        [word, sum(scores.get(piece, least) for piece in parts) + PIECE_BONUS * (len(parts) - 1)]
        for word, parts in pieces.items()
    ]


_ADD: dict[str, Callable[[dict[str, Any], dict[int, str], list[str], Tokenizer], None]] = {
    "WordPiece": _add_to_wordpiece,
    "BPE": _add_to_bpe,
    "Unigram": _add_to_unigram,
}
