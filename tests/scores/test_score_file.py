"""The flat file behind stored and stale scores: every row comes back where its tokens are."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.scores.score_file import ScoreFile, row_offsets


def filled(path, lengths):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    file = ScoreFile(path, offsets)
    file.reserve()
    file.write(0, np.arange(offsets[-1], dtype=np.float32) + 1)
    return file


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    draws=st.lists(st.tuples(st.integers(0, 7), st.booleans(), st.integers(0, 3)), min_size=1, max_size=6),
)
def test_rows_are_read_by_number_whatever_their_order_and_padding(tmp_path_factory, lengths, draws):
    """A row read at its neighbour's place would mask by somebody else's entropy, and nobody would see it."""
    file = filled(tmp_path_factory.mktemp("file") / "values.f32", lengths)
    rows = [row % len(lengths) for row, _, _ in draws]
    width = max(lengths[row] for row in rows) + max(extra for _, _, extra in draws)
    mask = torch.zeros(len(rows), width, dtype=torch.int64)
    expected = torch.zeros(len(rows), width)
    for i, (row, (_, left, _)) in enumerate(zip(rows, draws, strict=True)):
        begin = width - lengths[row] if left else 0
        mask[i, begin : begin + lengths[row]] = 1
        first = sum(lengths[:row]) + 1
        expected[i, begin : begin + lengths[row]] = torch.arange(first, first + lengths[row])
    batch = {"input_ids": torch.zeros_like(mask), "attention_mask": mask, "example_id": torch.tensor(rows)}
    assert torch.equal(file.read(batch), expected)


def test_full_blocks_need_no_attention_mask(tmp_path):
    file = filled(tmp_path / "values.f32", [3, 3])
    batch = {"input_ids": torch.zeros(2, 3, dtype=torch.int64), "example_id": torch.tensor([1, 0])}
    assert file.read(batch).tolist() == [[4, 5, 6], [1, 2, 3]]


@pytest.mark.parametrize("row", [-1, 2, 2**40])
def test_a_row_that_is_not_there_is_refused(tmp_path, row):
    """Ids made from content, as for rows without numbers, must not wrap around to some row."""
    batch = {"input_ids": torch.zeros(1, 3, dtype=torch.int64), "example_id": torch.tensor([row])}
    with pytest.raises(InputError, match=f"asks for example {row}"):
        filled(tmp_path / "values.f32", [3, 3]).read(batch)


def test_a_row_of_another_length_is_refused(tmp_path):
    batch = {"input_ids": torch.zeros(1, 4, dtype=torch.int64), "example_id": torch.tensor([1])}
    with pytest.raises(InputError, match="3 tokens for example 1, the batch 4"):
        filled(tmp_path / "values.f32", [3, 3]).read(batch)


def test_a_process_gets_the_name_of_the_file_and_not_its_content(tmp_path):
    """A worker would otherwise be sent all scores of the data set."""
    file = filled(tmp_path / "values.f32", [30_000, 30_000])
    batch = {"input_ids": torch.zeros(1, 30_000, dtype=torch.int64), "example_id": torch.tensor([1])}
    here = file.read(batch)
    assert len(pickle.dumps(file)) < 2_000
    assert torch.equal(pickle.loads(pickle.dumps(file)).read(batch), here)


def test_offsets_of_a_dataset_are_those_of_its_rows():
    """The quick way over Arrow must see a selection's rows, not those of the table below it."""
    from datasets import Dataset

    dataset = Dataset.from_dict({"input_ids": [[1] * n for n in (3, 1, 4, 1, 5)]})
    assert row_offsets(dataset).tolist() == [0, 3, 4, 8, 9, 14]
    assert row_offsets(dataset.select([4, 0])).tolist() == [0, 5, 8]
    padded = Dataset.from_dict({"input_ids": [[1, 2, 0], [1, 0, 0]], "attention_mask": [[1, 1, 0], [1, 0, 0]]})
    assert row_offsets(padded).tolist() == [0, 2, 3]
    assert row_offsets([]).tolist() == [0]


def test_a_full_disk_is_said_in_words(tmp_path, monkeypatch):
    import errno

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(InputError, match="disk is full"):
        ScoreFile(tmp_path / "values.f32", np.array([0, 10])).reserve()
