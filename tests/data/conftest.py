"""Small corpora and tokenizers of every family that counts words in its own way."""

import pytest

from maskwise.data.prepare import PrepareSettings, prepare

ENGLISH = [
    "The cat and the dog walked along the river; it's a well-known street.\nA bird was on the tree, playing.",
    "  Two  spaces,\n\na blank line,\ttabs \n and trailing space  ",
    "Café, naïve façade: ΑΒΓ Σς, Straße № 5 — “quotes” … ½ 100.5%!",
    "[MASK] and </s> are written in this text, <mask> too [SEP].",
    "unbelievablyunfriendlyunworkableplayfulness zebra",
]
CHINESE = [
    "我们 在 河边 散步，然后 回家。这是一个没有空格的长句子。",
    "日本語のテキストもあります。カタカナ、ひらがな。",
]
TEXTS = ENGLISH + CHINESE


def spelled(number):
    """Returns the number in letters, which the tiny tokenizer knows: 204 is "cae"."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


@pytest.fixture
def make_corpus(tmp_path):
    """Writes a text file of different documents that have two lines each; returns its path."""

    def make(count, name="corpus.txt"):
        path = tmp_path / name
        documents = (
            f"The girl saw river {spelled(i)} of the city.\nIt is a long street, playing {spelled(i * 7)} songs.\n"
            for i in range(count)
        )
        path.write_text("\n".join(documents), encoding="utf-8")
        return path

    return make


@pytest.fixture
def vocabulary_file(tmp_path, tiny_tokenizer):
    """The tiny tokenizer's vocabulary as a BERT vocabulary file."""
    path = tmp_path / "vocab.txt"
    ids = tiny_tokenizer.get_vocab()
    path.write_text("\n".join(sorted(ids, key=ids.get)) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def make_data(tmp_path, vocabulary_file):
    """Prepares sources into tmp_path/"data" in this process, quietly."""

    def make(*sources, **settings):
        given = {"out": tmp_path / "data", "tokenizer": str(vocabulary_file), "block": 16, "workers": 1} | settings
        if "train_tokenizer" in given:
            given["tokenizer"] = None
        return prepare(PrepareSettings(sources=tuple(map(str, sources)), **given), show=False)

    return make
