"""Scores by frequency, against their formulas written out row by row."""

import numpy as np
import pytest
import torch

from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.score_context import TrainState
from maskwise.scores.by_frequency import RareFirst, RarityRank
from maskwise.testing import check_score, make_batch

RATE = 0.15


@pytest.fixture
def counts(tiny_tokenizer):
    return np.random.default_rng(0).zipf(1.5, len(tiny_tokenizer)).clip(max=10_000)


def batch_of(tokenizer, num_rows=8, length=40):
    ids = np.random.default_rng(1).integers(7, len(tokenizer), (num_rows, length))
    return make_batch(tokenizer, [[2, *row, 3] for row in ids.tolist()])


def test_both_keep_the_contract_of_every_score(tiny_tokenizer, counts):
    check_score(RareFirst(counts), tiny_tokenizer, num_batches=2)
    check_score(RarityRank(counts), tiny_tokenizer, num_batches=2, state=TrainState(epoch=4))


def test_the_weight_of_a_type_is_its_count_to_the_power_with_a_floor(tiny_tokenizer, counts):
    batch = batch_of(tiny_tokenizer)
    found = RareFirst(counts, least=10, power=0.5)(batch)
    assert found.numpy() == pytest.approx(np.maximum(counts[batch["input_ids"].numpy()], 10) ** -0.5)
    with pytest.raises(InputError, match="least is a count of at least 1; found 0"):
        RareFirst(counts, least=0)


def expected_row(ids, counts, power, rate):
    """Min-max of the ranks first, then the power, then the rescaling to the rate."""
    order = np.argsort(-counts, kind="stable")
    ranks = np.empty(len(counts))
    ranks[order] = np.arange(len(counts))
    ranks = ranks[ids]
    weights = ((ranks - ranks.min()) / (ranks.max() - ranks.min())) ** power
    mean = weights.mean()
    return weights * rate / mean if mean > rate else 1 - (1 - weights) * (1 - rate) / (1 - mean)


@pytest.mark.parametrize(("epoch", "power"), [(0, 0.02), (1, 0.02), (9, 0.02), (30, 0.02), (9, 40.0)])
def test_rarity_is_its_formula_and_its_mean_is_the_rate(tiny_tokenizer, counts, epoch, power):
    masker = Masker(RarityRank(counts, power), tiny_tokenizer, rate=RATE, budget="from-scores")
    prepared = masker.prepare(batch_of(tiny_tokenizer), TrainState(epoch))
    found = masker.scores(prepared)
    for row in range(8):
        ids = prepared["input_ids"][row, 1:-1].numpy()
        expected = expected_row(ids, counts, power * min(epoch / 9, 1), RATE)
        assert found[row, 1:-1].numpy() == pytest.approx(expected, rel=1e-5, abs=1e-7)
        assert found[row, 1:-1].mean().item() == pytest.approx(RATE, rel=1e-5)


def test_rows_of_one_type_have_the_rate(tiny_tokenizer, counts):
    masker = Masker(RarityRank(counts), tiny_tokenizer, rate=RATE, budget="from-scores")
    prepared = masker.prepare(make_batch(tiny_tokenizer, [[2, 20, 20, 3], [2, 3]]), TrainState(5))
    assert masker.scores(prepared)[0, 1:3].tolist() == pytest.approx([RATE, RATE])


def test_rare_types_are_masked_more_often(tiny_tokenizer, counts):
    batch = batch_of(tiny_tokenizer, 200)
    picked_BT = Masker(RareFirst(counts), tiny_tokenizer)(batch)["labels"] != IGNORE
    of_tokens = torch.as_tensor(counts)[batch["input_ids"]].double()
    assert of_tokens[picked_BT].log().mean() < of_tokens[:, 1:-1].log().mean() - 0.05
