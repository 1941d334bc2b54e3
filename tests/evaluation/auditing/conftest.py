"""Tokenizers of three families, and rows of Python's documentation made with them."""

import pytest

from three_tokenizers import FAMILIES, make_rows, python_topics, train_tokenizer


@pytest.fixture(scope="session")
def topics():
    return python_topics()


@pytest.fixture(scope="session")
def three_tokenizers(topics):
    """A WordPiece, a byte-level BPE and a Unigram tokenizer of 800 tokens, by family."""
    return {family: train_tokenizer(family, topics, size=800) for family in FAMILIES}


@pytest.fixture(scope="session")
def wordpiece(three_tokenizers):
    return three_tokenizers["wordpiece"]


@pytest.fixture(scope="session")
def rows_of(topics):
    """Makes rows of random lengths; the same arguments give the same rows."""

    def make(tokenizer, num_rows=48, seed=0, **settings):
        return make_rows(tokenizer, topics, num_rows, seed, **settings)

    return make
