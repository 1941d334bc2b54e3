"""Scores that return something else than one number a token: one message each, and no traceback.

Shapes: B sequences, T positions.
"""

import numpy as np
import pytest
import torch

from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.own_results import checked_scores


def batch_of(num_rows=3, num_tokens=6):
    return {"input_ids": torch.arange(num_rows * num_tokens).view(num_rows, -1) % 50 + 10}


BAD = {
    "nothing": (lambda batch: None, r"returned nothing \(None\)"),
    "an array": (lambda batch: np.ones(batch["input_ids"].shape), "returned a ndarray"),
    "a list": (lambda batch: [[1.0] * 6] * 3, "returned a list"),
    "a number": (lambda batch: 0.5, "returned a float"),
    "a dictionary": (lambda batch: {"scores": 1}, "returned a dict"),
    "a class": (lambda batch: torch.Tensor, "returned the class Tensor"),
    "a pair": (lambda batch: (torch.ones(3, 6), None), "returned a tuple"),
    "a number for each row": (lambda batch: torch.ones(3), r"shape \(3, 6\); .* returned shape \(3,\)"),
    "logits": (lambda batch: torch.ones(3, 6, 9), r"returned shape \(3, 6, 9\)"),
    "a row too few": (lambda batch: torch.ones(2, 6), r"returned shape \(2, 6\)"),
    "meta": (lambda batch: torch.ones(3, 6, device="meta"), r"without plain values \(meta\)"),
    "sparse": (lambda batch: torch.ones(3, 6).to_sparse(), r"without plain values \(sparse_coo\)"),
    "compressed": (lambda batch: torch.eye(3, 6).to_sparse_csc(), r"without plain values \(sparse_csc\)"),
    "complex": (lambda batch: torch.ones(3, 6, dtype=torch.complex64), "complex numbers"),
    "not a number": (lambda batch: torch.full((3, 6), torch.nan), r"gave nan in row 0 .*\(example"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_a_score_that_returns_something_else_is_told_what_to_return(tiny_tokenizer, name):
    score, message = BAD[name]
    with pytest.raises(InputError, match=f"[Tt]he score '<lambda>'.*{message}|{message}"):
        Masker(score, tiny_tokenizer)(batch_of())


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.float16, torch.float64])
def test_a_score_may_have_any_type_of_real_numbers(tiny_tokenizer, dtype):
    score = lambda batch: (batch["input_ids"] % 2).to(dtype)  # noqa: E731
    labels_BT = Masker(score, tiny_tokenizer, pick="high", rate=0.5)(batch_of())["labels"]
    assert torch.equal(labels_BT != IGNORE, batch_of()["input_ids"] % 2 == 1)


def test_a_score_with_a_gradient_gives_masks_without_one(tiny_tokenizer):
    weight = torch.nn.Parameter(torch.ones(()))
    found = checked_scores(torch.ones(2, 3) * weight, "own", torch.ones(2, 3, dtype=torch.bool), torch.arange(2))
    assert not found.requires_grad and found.dtype == torch.float32


def test_scores_that_float32_does_not_hold_stay_finite_and_infinite_ones_infinite():
    """A score of 1e300 would become infinite, and so always be masked."""
    scores = torch.tensor([[1e300, -1e300, torch.inf, -torch.inf, 0.25]], dtype=torch.float64)
    found = checked_scores(scores, "own", torch.ones(1, 5, dtype=torch.bool), torch.arange(1))
    assert found.tolist()[0][2:] == [torch.inf, -torch.inf, 0.25]
    assert torch.isfinite(found[0, :2]).all() and found[0, 0] > 1e30


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"text": ["a", "b"]}, "found text. Rows are made into one by MaskingCollator"),
        ([{"input_ids": [1]}], "found list"),
        ({"input_ids": [[1, 2], [3, 4]]}, "found input_ids"),
        ({"input_ids": torch.tensor([1, 2])}, r"found input_ids of shape \(2,\)"),
        ({"input_ids": torch.ones(2, 2)}, "type torch.float32"),
        ({"input_ids": torch.tensor([[7, -100]])}, "has the id -100, and the tokenizer's ids are 0 to 134"),
        ({"input_ids": torch.tensor([[7, 135]])}, "has the id 135"),
    ],
)
def test_a_batch_that_is_none_is_told_what_one_is(tiny_tokenizer, batch, message):
    with pytest.raises(InputError, match=message):
        Masker(lambda batch: batch["input_ids"], tiny_tokenizer)(batch)


def test_an_empty_batch_stays_empty(tiny_tokenizer):
    empty = {"input_ids": torch.zeros(0, 5, dtype=torch.int64), "example_id": torch.zeros(0, dtype=torch.int64)}
    masker = Masker(lambda batch: batch["input_ids"], tiny_tokenizer)
    assert masker(empty)["labels"].shape == (0, 5)
