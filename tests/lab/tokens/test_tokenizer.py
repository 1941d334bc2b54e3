import subprocess
import sys

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from fixtures.corpora import TEXTS
from maskwise.errors import InputError
from maskwise.lab.tokens.tokenizer import (
    block_borders,
    checked_tokenizer,
    open_tokenizer,
    tokenizer_hash,
    train_tokenizer,
)

TRAINING = [f"{text} {number}" for number in range(20) for text in TEXTS]


def train(kind, size=400):
    return train_tokenizer(lambda: iter(TRAINING), size, kind)


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe"])
def test_a_trained_tokenizer_survives_its_folder_and_is_fit_for_masking(tmp_path, kind):
    tokenizer = train(kind)
    tokenizer.save_pretrained(tmp_path)
    again = open_tokenizer(str(tmp_path))
    assert tokenizer_hash(again) == tokenizer_hash(tokenizer)
    first, last = block_borders(again)
    ids = again("the cat [MASK] <mask> walked")["input_ids"]
    assert (ids[0], ids[-1]) == (first, last)
    assert ids == tokenizer("the cat [MASK] <mask> walked")["input_ids"]
    assert again.mask_token_id in ids
    assert len(again) <= 400
    assert "cat" in again.decode(ids)


TRAIN_AND_PRINT = """
import sys
sys.path.insert(0, {root!r})
from lab.tokens.test_tokenizer import train
from maskwise.lab.tokens.tokenizer import tokenizer_hash
print(tokenizer_hash(train({kind!r})))
"""


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe"])
def test_training_gives_the_same_tokenizer_in_every_process(kind, request):
    """The trainer's hash tables are seeded anew in each process, and with them the numbers it gives to tokens."""
    script = TRAIN_AND_PRINT.format(root=str(request.config.rootpath / "tests"), kind=kind)
    done = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True) for _ in range(2)
    ]
    assert {run.stdout.strip() for run in done} == {tokenizer_hash(train(kind))}


def test_pieces_inside_words_are_learnt_and_letters_that_never_are_inside_take_no_place():
    vocabulary = train("wordpiece").get_vocab()
    assert any(token.startswith("##") and len(token) > 3 for token in vocabulary)
    assert "##e" in vocabulary
    assert "." in vocabulary
    assert "中" not in vocabulary  # not in the texts
    assert "我" in vocabulary
    assert not {"##.", "##我"} & vocabulary.keys()


def test_a_vocabulary_too_small_for_its_alphabet_is_refused():
    with pytest.raises(InputError, match=r"vocabulary of 200 has no room.*\n.*at least"):
        train("byte-bpe", 200)


def test_a_vocabulary_file_without_capitals_is_uncased(tmp_path, vocabulary_file, tiny_tokenizer):
    tokenizer = open_tokenizer(str(vocabulary_file))
    assert tokenizer("The CAT playing")["input_ids"] == tiny_tokenizer("the cat playing")["input_ids"]
    assert tokenizer.get_vocab() == tiny_tokenizer.get_vocab()
    vocabulary_file.write_text(vocabulary_file.read_text() + "Cat\n")
    cased = open_tokenizer(str(vocabulary_file))
    assert cased.tokenize("Cat cat") == ["Cat", "cat"]


def test_the_hash_tells_tokenizers_apart(tmp_path, vocabulary_file):
    before = tokenizer_hash(open_tokenizer(str(vocabulary_file)))
    vocabulary_file.write_text(vocabulary_file.read_text() + "more\n")
    assert tokenizer_hash(open_tokenizer(str(vocabulary_file))) != before


def test_a_vocabulary_file_without_its_special_tokens_or_with_doubles_is_refused(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("the\ncat\n[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
    with pytest.raises(InputError, match=r"has no \[MASK\]"):
        open_tokenizer(str(path))
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncat\ncat\n")
    with pytest.raises(InputError, match="twice, the first is 'cat'"):
        open_tokenizer(str(path))
    with pytest.raises(InputError, match="cannot read the vocabulary file"):
        open_tokenizer(str(tmp_path / "none.txt"))


def test_a_tokenizer_without_a_mask_token_is_refused(tmp_path, tiny_tokenizer):
    bare = PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer.backend_tokenizer, unk_token="[UNK]")
    bare.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"has no mask token \(special tokens found: \[UNK\]\)"):
        open_tokenizer(str(tmp_path))


def test_a_tokenizer_without_tokens_around_a_block_is_refused(tiny_tokenizer):
    bare = PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer.backend_tokenizer, mask_token="[MASK]")
    with pytest.raises(InputError, match=r"no tokens to open and close a block.*\[MASK\]"):
        checked_tokenizer(bare, "bare")


def test_a_slow_tokenizer_is_refused():
    from transformers import CanineTokenizer

    with pytest.raises(InputError, match=r"'canine' \(CanineTokenizer\) has no fast version"):
        checked_tokenizer(CanineTokenizer(), "canine")


def test_a_name_that_loads_nothing_is_an_error_that_says_what_to_give(tmp_path):
    with pytest.raises(InputError, match=r"cannot load a tokenizer from .*\nGive a folder"):
        open_tokenizer(str(tmp_path))
    with pytest.raises(InputError, match=r"cannot load a tokenizer from 'no-such/name'"):
        open_tokenizer("no-such/name")


def test_loading_by_auto_tokenizer_gives_the_same(tmp_path, vocabulary_file):
    tokenizer = open_tokenizer(str(vocabulary_file))
    tokenizer.save_pretrained(tmp_path / "saved")
    assert tokenizer_hash(AutoTokenizer.from_pretrained(tmp_path / "saved")) == tokenizer_hash(tokenizer)
