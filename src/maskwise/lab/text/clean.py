"""What is done to the text of a document before anything else sees it."""

from __future__ import annotations

import re
import unicodedata

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAS_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\s{_IDEOGRAPHS}]+")


def clean(text: str) -> str:
    r"""Returns the text in Unicode NFC, without control characters and half surrogates, trimmed.

    Line ends become "\n"; a control character that separates words (form feed, vertical tab) becomes a space.

    >>> clean("Cafe\u0301\x0cau\x00 lait\r\n")
    'Café au lait'
    """
    if _CONTROLS.search(text):
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = _CONTROLS.sub(lambda found: " " if found[0].isspace() else "", text)
    return unicodedata.normalize("NFC", text).strip()


def count_words(text: str) -> int:
    """Returns the number of words: runs between white space, and each Chinese or Japanese character by itself.

    >>> count_words("masked language models"), count_words("BERT是一个模型")
    (3, 6)
    """
    if text.isascii() or not _HAS_IDEOGRAPH.search(text):
        return len(text.split())
    return sum(1 for _ in _WORD.finditer(text))
