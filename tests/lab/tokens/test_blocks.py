import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.lab.tokens.blocks import BlockWriter, lay_out, open_data, split_lengths
from maskwise.lab.tokens.subwords import Pieces

CLS, SEP = 1, 2
DOCUMENTS = st.lists(st.lists(st.integers(1, 4), max_size=12), max_size=8)  # lengths of the words of each document


def pieces_of(documents):
    """Returns pieces with ids counted up from 10, and the same ids as lists by document and word."""
    number, by_word = 10, []
    for words in documents:
        by_word.append([])
        for length in words:
            by_word[-1].append(list(range(number, number + length)))
            number += length
    starts = [at == 0 for words in documents for length in words for at in range(length)]
    lengths = np.array([sum(words) for words in documents], np.int64)
    return Pieces(np.arange(10, number, dtype=np.int32), np.array(starts, bool), lengths), by_word


def reference(stream, body):
    """The blocks of (id, word) pairs, written plainly: cut, number words anew from 0, wrap."""
    for begin in range(0, len(stream), body):
        part, words, word, last = stream[begin : begin + body], [], -1, None
        for _, owner in part:
            word += owner is not None and owner != last
            last = last if owner is None else owner
            words.append(-1 if owner is None else word)
        yield [CLS, *(token for token, _ in part), SEP], [-1, *words, -1]


def streams(by_word, mode):
    documents = [
        [(token, (d, w)) for w, word in enumerate(words) for token in word] for d, words in enumerate(by_word) if words
    ]
    if mode == "document":
        return documents
    joined = [pair for document in documents for pair in [(SEP, None), *document]]
    return [joined[1:]]


def write(path, mode, block, batches):
    writer = BlockWriter(path, mode=mode, block=block, borders=(CLS, SEP), vocabulary_size=600, labelled=False)
    for pieces in batches:
        writer.add(pieces, [None] * len(pieces.lengths_N))
    writer.close()
    from datasets import Dataset

    return writer, Dataset.from_file(str(path))


@pytest.mark.parametrize("mode", ["concat", "document"])
@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, st.integers(8, 20), st.integers(0, 8))
def test_blocks_equal_the_plain_reference_however_the_documents_are_batched(
    tmp_path_factory, mode, documents, block, cut
):
    pieces, by_word = pieces_of(documents)
    cut = min(cut, len(documents))
    first = np.arange(len(documents)) < cut
    path = tmp_path_factory.mktemp("blocks") / "rows.arrow"
    writer, rows = write(path, mode, block, [pieces.select(first), pieces.select(~first)])
    expected = [row for stream in streams(by_word, mode) for row in reference(stream, block - 2)]
    assert rows["input_ids"][:] == [ids for ids, _ in expected]
    assert rows["word_ids"][:] == [words for _, words in expected]
    assert writer.num_blocks == len(expected)
    counts = np.bincount([token for ids, _ in expected for token in ids] or [0], minlength=600) * bool(expected)
    assert writer.token_counts.tolist() == counts.tolist()


def test_the_last_short_block_is_kept_and_nothing_is_padded(tmp_path):
    pieces, _ = pieces_of([[1] * 8, [1] * 5])
    _, rows = write(tmp_path / "rows.arrow", "concat", 8, [pieces])
    assert [len(ids) for ids in rows["input_ids"]] == [8, 8, 4]
    assert rows[1] == {"input_ids": [CLS, 16, 17, SEP, 18, 19, 20, SEP], "word_ids": [-1, 0, 1, -1, 2, 3, 4, -1]}


def test_a_word_cut_by_a_blocks_end_is_a_word_in_both():
    pieces, _ = pieces_of([[1, 3, 1]])
    blocks = lay_out(pieces, np.array([2, 3]), CLS, SEP)
    assert blocks.words_X.tolist() == [-1, 0, 1, -1, -1, 0, 0, 1, -1]


@given(st.lists(st.integers(0, 30)), st.integers(1, 9))
def test_parts_are_full_but_for_the_last_of_each_document(lengths, most):
    expected = [min(most, length - at) for length in lengths for at in range(0, length, most)]
    assert split_lengths(np.array(lengths, np.int64), most).tolist() == expected


@pytest.mark.parametrize(("size", "name"), [(1 << 16, "uint16"), ((1 << 16) + 1, "int32")])
def test_ids_are_stored_in_the_smallest_type_that_holds_the_vocabulary(tmp_path, size, name):
    writer = BlockWriter(
        tmp_path / "rows.arrow", mode="concat", block=8, borders=(0, size - 1), vocabulary_size=size, labelled=False
    )
    writer.add(Pieces(np.array([size - 2], np.int32), np.array([True]), np.array([1])), [None])
    writer.close()
    from datasets import Dataset

    rows = Dataset.from_file(str(tmp_path / "rows.arrow"))
    assert rows.features["input_ids"].feature.dtype == name
    assert rows.features["word_ids"].feature.dtype == "int16"
    assert rows[0]["input_ids"] == [0, size - 2, size - 1]


def test_a_folder_without_a_manifest_is_no_data_folder(tmp_path, make_data, make_corpus):
    with pytest.raises(InputError, match=r"none does not exist.\nMake one with: maskwise prepare"):
        open_data(tmp_path / "none")
    data = make_data(make_corpus(60), valid_share=0.2)
    assert open_data(str(data.path)).manifest == data.manifest
    (data.path / "train.arrow").rename(data.path / "away")
    with pytest.raises(InputError, match=r"is broken: train.arrow missing"):
        open_data(data.path)
    (data.path / "away").rename(data.path / "train.arrow")
    (data.path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest.json is not JSON"):
        open_data(data.path)
    (data.path / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"holds no manifest.json, so it is not a finished data folder"):
        open_data(data.path)


def damaged(name, content):
    return lambda folder: (folder / name).write_bytes(content((folder / name).read_bytes()))


def edited(**changes):
    def change(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        for key, value in changes.items():
            manifest[key] = value
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return change


def saved(array):
    return lambda folder: np.save(folder / "token_counts.npy", array)


@pytest.mark.parametrize(
    "change",
    [
        damaged("manifest.json", lambda data: b""),
        damaged("manifest.json", lambda data: data[:50]),
        damaged("manifest.json", lambda data: b"[]"),
        damaged("manifest.json", lambda data: b"{}"),
        damaged("manifest.json", lambda data: b"[" * 100_000),
        edited(block="16"),
        edited(counts={"blocks": 3}),
        edited(counts=None),
        damaged("train.arrow", lambda data: b""),
        damaged("train.arrow", lambda data: data[: len(data) // 2]),
        damaged("train.arrow", lambda data: b"rubbish" * 100),
        damaged("train.arrow", lambda data: bytes(len(data))),
        lambda folder: shutil.copy(folder / "valid.arrow", folder / "train.arrow"),
        damaged("token_counts.npy", lambda data: b""),
        damaged("token_counts.npy", lambda data: data[: len(data) // 2]),
        damaged("token_counts.npy", lambda data: b"rubbish" * 100),
        saved(np.zeros((2, 2), np.int64)),
        saved(np.zeros(5)),
        saved(np.array({"a": 1}, object)),
        damaged("tokenizer/tokenizer.json", lambda data: b""),
        damaged("tokenizer/tokenizer.json", lambda data: data[: len(data) // 2]),
        damaged("tokenizer/tokenizer.json", lambda data: b"{}"),
        damaged("tokenizer/tokenizer.json", lambda data: b'{"model": 1}'),
        damaged("tokenizer/tokenizer_config.json", lambda data: b"[]"),
        damaged("tokenizer/tokenizer_config.json", lambda data: b"{"),
        lambda folder: (folder / "valid.arrow").unlink(),
        lambda folder: shutil.rmtree(folder / "tokenizer"),
    ],
)
def test_a_damaged_folder_is_one_message_that_names_it(change, make_data, make_corpus):
    """Short, empty, of another shape: whatever the libraries raise for it."""
    data = make_data(make_corpus(60), valid_share=0.2)
    change(data.path)
    with pytest.raises(InputError) as error:
        read_all(data.path)
    assert str(data.path) in str(error.value)
    assert len(str(error.value).splitlines()) <= 3


def read_all(folder):
    data = open_data(folder)
    return data.train, data.valid, data.token_counts, data.tokenizer


def test_record_batches_are_few_however_little_was_added_at_a_time(tmp_path, monkeypatch):
    """Opening a corpus reads something of each record batch, so that their number is what opening costs."""
    monkeypatch.setattr("maskwise.lab.tokens.blocks.BATCH_TOKENS", 200)
    one_block = pieces_of([[1] * 8])[0]
    _, rows = write(tmp_path / "train.arrow", "document", 10, [one_block] * 50)
    assert len(rows) == 50
    assert [len(batch) for batch in rows.data.table.to_batches()] == [20, 20, 10]
