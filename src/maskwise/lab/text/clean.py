"""What is done to the text of a document before anything else sees it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
MAX_MARKS = 30
JOINER = "\u034f"
# Combining marks are neither letters nor white space nor ASCII; dashes and emoji are not either. A mark decomposes to
# two at most and a letter in front ends with three at most, so a run of 13 has no more than 29.
_MAYBE_MARKS = re.compile(r"[^\w\s\x00-\x7f]{14,}")
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAS_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
PART_CHARACTERS = 1_000_000
_SPACE_AFTER_WORD = re.compile(r"(?<=\S)\s")
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\s{_IDEOGRAPHS}]+")


def clean(text: str) -> str:
    r"""Returns the text as every command reads it: normalized, and without white space around it.

    >>> clean("  au lait\r\n")
    'au lait'
    """
    return normalize(text).strip()


def normalize(text: str) -> str:
    r"""Returns the text in Unicode NFC, without control characters and half surrogates.

    Line ends become "\n"; a control character that separates words (form feed, vertical tab) becomes a space. After 30
    combining marks in a row a combining grapheme joiner is inserted, which is Unicode's Stream-Safe Text Format (UAX
    #15, section 13): the time that normalization takes grows with the square of such a row. `count_joiners` counts
    them.

    >>> normalize("Cafe\u0301\x0cau\x00 lait")
    'Café au lait'
    """
    if _CONTROLS.search(text):
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = _CONTROLS.sub(lambda found: " " if found[0].isspace() else "", text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", _MAYBE_MARKS.sub(_with_joiners, text))
    return text


def count_joiners(text: str) -> int:
    r"""Returns how many combining grapheme joiners a text has: more after `clean` than before, if marks were too many.

    >>> count_joiners(clean("o" + 70 * "\u0301"))
    2
    """
    return text.count(JOINER)


def _with_joiners(found: re.Match[str]) -> str:
    """Returns a run that may be of combining marks, with a joiner in front of each mark that would be the 31st."""
    _, count = _marks_of(found.string[found.start() - 1]) if found.start() else (False, 0)
    parts = []
    for character in found[0]:
        is_mark, num_marks = _marks_of(character)
        if not is_mark:
            count = 0
        elif count + num_marks > MAX_MARKS:
            parts.append(JOINER)
            count = 0
        count += num_marks
        parts.append(character)
    return "".join(parts)


def _marks_of(character: str) -> tuple[bool, int]:
    """Returns whether a character decomposes to combining marks alone, and how many marks it ends with."""
    are_marks = [unicodedata.combining(part) > 0 for part in unicodedata.normalize("NFD", character)]
    return all(are_marks), len(are_marks) if all(are_marks) else are_marks[::-1].index(False)


def count_words(text: str) -> int:
    """Returns the number of words: runs between white space, and each Chinese or Japanese character by itself.

    >>> count_words("masked language models"), count_words("BERT是一个模型")
    (3, 6)
    """
    if text.isascii() or not _HAS_IDEOGRAPH.search(text):
        return sum(len(part.split()) for part in text_parts(text))
    return sum(1 for _ in _WORD.finditer(text))


def text_parts(text: str, length: int | None = None) -> Iterator[str]:
    """Yields a text in parts that end between a word and the white space after it.

    A list of the words of 60 MB of text takes 700 MB; of its parts, one after the other, a few.

    Args:
        text: The text.
        length: The characters of a part, without what is left of its last word. [default: a million]

    >>> list(text_parts("one two three", length=5))
    ['one two', ' three']
    """
    begin, length = 0, length or PART_CHARACTERS
    while begin < len(text):
        found = _SPACE_AFTER_WORD.search(text, begin + length) if begin + length < len(text) else None
        end = found.start() if found else len(text)
        yield text[begin:end]
        begin = end
