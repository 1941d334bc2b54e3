import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.lab.tuning.windows import cut_windows, encode_windows, pieces_per_word, separate_words
from maskwise.masking.corrupt import IGNORE

WORDS = st.lists(st.sampled_from(["the", "playing", "zebra", "unfriendly", "dog", "\u200b"]), max_size=30)


@given(st.lists(st.integers(1, 9), max_size=40), st.integers(9, 20))
def test_windows_hold_every_word_and_label_each_once(sizes, room):
    windows = cut_windows(sizes, room)
    assert sorted(word for window in windows for word in window.labelled) == list(range(len(sizes)))
    assert all(sum(sizes[window.start : window.stop]) <= room for window in windows)
    assert all(window.start <= word < window.stop for window in windows for word in window.labelled)


def test_a_word_is_labelled_where_it_has_the_most_context():
    windows = cut_windows([1] * 100, room=40)
    for window in windows[1:]:
        assert min(window.labelled) - window.start >= 4
    assert len(windows) > 2


@given(st.lists(WORDS, min_size=1, max_size=4).filter(any), st.sampled_from([8, 12, 64]))
def test_each_word_is_labelled_once_at_its_first_piece(tiny_tokenizer, sentences, max_length):
    """The label is the word's number in all, so that what comes back can be told apart."""
    counts = np.cumsum([0, *map(len, sentences)])
    labels = [list(range(start, start + len(words))) for start, words in zip(counts, sentences, strict=False)]
    windows = encode_windows(tiny_tokenizer, sentences, labels, max_length)
    assert all(len(example["input_ids"]) == len(example["labels"]) <= max_length for example in windows.examples)
    found = [label for example in windows.examples for label in example["labels"] if label != IGNORE]
    assert sorted(found) == list(range(counts[-1]))
    first_ids = {
        word: tiny_tokenizer(word, add_special_tokens=False)["input_ids"] for words in sentences for word in words
    }
    flat = [word for words in sentences for word in words]
    for example in windows.examples:
        for token, label in zip(example["input_ids"], example["labels"], strict=True):
            if label != IGNORE:
                assert token == (first_ids[flat[label]] or [tiny_tokenizer.unk_token_id])[0]


def test_the_logits_of_words_come_back_in_their_sentences(tiny_tokenizer):
    sentences = [["zebra"] * 12, [], ["the", "playing", "dog"]]
    labels = [[*range(12)], [], [12, 13, 14]]
    windows = encode_windows(tiny_tokenizer, sentences, labels, max_length=20)
    assert len(windows.examples) > 3 and windows.num_split == 1
    logits = [
        np.repeat(np.array(example["labels"], dtype=np.float32)[:, None], 2, axis=1) for example in windows.examples
    ]
    back = windows.by_sentence(logits, list(map(len, sentences)))
    assert [rows[:, 0].tolist() for rows in back] == labels


def test_words_that_do_not_fit_or_have_no_piece_are_counted(tiny_tokenizer):
    windows = encode_windows(tiny_tokenizer, [["x" * 30, "\u200b", "dog"]], [[0, 1, 2]], max_length=10)
    assert (windows.num_split, windows.num_cut_words, windows.num_unread_words) == (1, 1, 1)
    assert sorted(x for example in windows.examples for x in example["labels"] if x != IGNORE) == [0, 1, 2]


def test_a_byte_level_tokenizer_reads_words_as_in_running_text():
    """Without the space before it, a word would have other pieces than those it was pretrained in."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<mask>"], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(["see the dog and the dog"] * 20, trainer)
    tokenizer = separate_words(PreTrainedTokenizerFast(tokenizer_object=core, mask_token="<mask>"))
    text = tokenizer("see the dog")["input_ids"]
    assert tokenizer(["see", "the", "dog"], is_split_into_words=True)["input_ids"] == text
    assert pieces_per_word(tokenizer, [["the", "dog"]]) == [[1, 1]]


@pytest.mark.parametrize("words", [[], [[]]])
def test_nothing_has_no_pieces(tiny_tokenizer, words):
    assert pieces_per_word(tiny_tokenizer, []) == []
    assert encode_windows(tiny_tokenizer, words, words, max_length=10).examples == []
