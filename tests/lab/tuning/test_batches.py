import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.lab.tuning.batches import micro_batches, num_labels, pad, padded_batches
from maskwise.masking.corrupt import IGNORE

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def cost(lengths, batches, overhead):
    return sum(len(batch) * max(lengths[i] for i in batch) + overhead for batch in batches)


@given(LENGTHS, st.integers(1, 300), st.integers(0, 50))
def test_every_example_is_in_one_batch_and_no_batch_is_too_large(lengths, most, overhead):
    batches = micro_batches(lengths, most, overhead)
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= most


@given(st.lists(st.integers(1, 30), min_size=1, max_size=7), st.integers(0, 50))
def test_no_cut_is_cheaper(lengths, overhead):
    """Against every way to cut the sorted examples."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    all_cuts = []
    for number in range(len(lengths)):
        for inner in itertools.combinations(range(1, len(lengths)), number):
            borders = [0, *inner, len(lengths)]
            all_cuts.append([order[a:b] for a, b in itertools.pairwise(borders)])
    best = min(cost(lengths, cut, overhead) for cut in all_cuts)
    assert cost(lengths, micro_batches(lengths, 10_000, overhead), overhead) == best


@given(LENGTHS, st.integers(1, 300), st.integers(0, 20))
def test_padded_lengths_are_multiples_of_eight_unless_the_model_takes_no_more(lengths, most, room):
    longest = max(lengths) + room
    examples = [{"input_ids": [number + 1] * length} for number, length in enumerate(lengths)]
    batches = padded_batches(examples, 0, most_tokens=most, longest=longest)
    assert sorted(itertools.chain(*(numbers for numbers, _ in batches))) == list(range(len(lengths)))
    for numbers, batch in batches:
        length = batch["input_ids"].shape[1]
        needed = max(lengths[i] for i in numbers)
        assert needed <= length < needed + 8 and (length % 8 == 0 or length == longest)
        assert batch["input_ids"].count_nonzero(dim=1).tolist() == [lengths[i] for i in numbers]
        assert batch["input_ids"][:, 0].tolist() == [i + 1 for i in numbers]


def test_the_same_lengths_are_cut_where_a_batch_is_full():
    assert [len(batch) for batch in micro_batches([10] * 25, most_tokens=100)] == [10, 10, 5]


def test_padding_differs_by_column():
    batch = pad(
        [
            {"input_ids": [2, 7, 3], "attention_mask": [1, 1, 1], "labels": [IGNORE, 4, IGNORE]},
            {"input_ids": [2], "attention_mask": [1], "labels": [5]},
        ],
        pad_id=9,
        length=4,
    )
    assert batch["input_ids"].tolist() == [[2, 7, 3, 9], [2, 9, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORE, 4, IGNORE, IGNORE], [5, IGNORE, IGNORE, IGNORE]]
    assert num_labels(batch) == 2


@pytest.mark.parametrize(("labels", "kind"), [([0, 1], torch.int64), ([0.5, 5.0], torch.float32)])
def test_labels_of_sequences_are_one_number_each(labels, kind):
    batch = pad([{"input_ids": [2], "labels": label} for label in labels], 0, length=1)
    assert batch["labels"].dtype == kind
    assert num_labels(batch) == 2
