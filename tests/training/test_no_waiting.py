"""A step asks the device for no value: a GPU works through its queue while the next kernels are put in.

Meta tensors have shapes and no values. Whatever would make the program wait for a GPU (`item`, `bool`, `nonzero`, a
bool index, a copy to the CPU) raises an error on them, so a step that runs on the meta device waits for nothing.
"""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from maskwise.masking.corrupt import IGNORE
from maskwise.masking.linear_loss import linear_mlm_loss
from maskwise.masking.masker import Masker
from maskwise.masking.rows import Rows
from maskwise.masking.score import uniform
from maskwise.masking.score_context import TrainState
from maskwise.models.sparse import SparseHead
from maskwise.scores.model import Entropy
from maskwise.training.distill import Distillation
from maskwise.training.rate_meter import RateMeter

B, T = 4, 16


@pytest.fixture
def make_model(tiny_tokenizer):
    def make():
        config = BertConfig(
            vocab_size=len(tiny_tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=64, pad_token_id=None,  # or transformers looks for padding, to warn of it
        )  # fmt: skip
        return BertForMaskedLM(config)

    return make


def on_meta(model):
    """The model without values; what its head is made of has been found out before, as in a first step."""
    head = SparseHead(model)
    assert head.is_linear({"input_ids": torch.ones(1, 8, dtype=torch.long)})
    model.to("meta")
    head._added_biases = [bias.to("meta") for bias in head._added_biases]
    return head


@pytest.fixture
def batch():
    with torch.device("meta"):
        return {"input_ids": torch.ones(B, T, dtype=torch.long), "example_id": torch.arange(B)}


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """It knows no meta device."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)


@pytest.mark.parametrize("source", ["random", "80/10/10", "self", "self in folds"])
def test_masking_and_the_loss_wait_for_nothing(make_model, tiny_tokenizer, batch, source):
    head = on_meta(make_model())
    score = uniform
    if source.startswith("self"):
        score = Entropy(folds=4 if "folds" in source else None, compiled=False)
        score.bind(head.model)
        score.student = head
    corruption = (0.8, 0.1, 0.1) if source == "80/10/10" else (1.0, 0.0, 0.0)
    masker = Masker(score, tiny_tokenizer, pick="sample" if score is uniform else "high", corruption=corruption)
    masked = masker(batch, TrainState())
    meter = RateMeter()
    meter.add(masker.eligible(batch), masked["labels"] != IGNORE)
    rows = masker.rows(masked["labels"], TrainState())
    assert rows.index_R.shape == (B * masker.most_masked(T, TrainState()),)
    with head.before_decoder(rows) as taken:
        head.model(input_ids=masked["input_ids"])
    count = (masked["labels"] != IGNORE).sum()
    linear_mlm_loss(*taken(), rows.take(masked["labels"], IGNORE), count, compiled=False).backward()
    assert head.model.get_output_embeddings().weight.grad.is_meta


def test_distillation_waits_for_nothing(make_model, batch):
    head, taught = on_meta(make_model()), Distillation(make_model())
    taught.teacher = on_meta(taught.teacher.model)
    labels_BT = torch.ones(B, T, dtype=torch.long, device="meta")
    rows = Rows.of(labels_BT != IGNORE, B * 2)
    inputs = {"input_ids": batch["input_ids"]}
    logits_RV, teacher_RV = head.logits(inputs, rows), taught.teacher_logits(inputs, rows)
    taught.loss(logits_RV, teacher_RV, rows.take(labels_BT, IGNORE), (labels_BT != IGNORE).sum()).backward()


@pytest.mark.parametrize("budget", ["exact", "bernoulli"])
@pytest.mark.parametrize("unit", ["token", "word"])
def test_the_most_that_is_masked_is_known_where_no_chance_decides(tiny_tokenizer, budget, unit):
    masker = Masker(uniform, tiny_tokenizer, unit=unit, budget=budget, rate=0.15)
    most = masker.most_masked(T, TrainState())
    if (unit, budget) != ("token", "exact"):
        assert most is None
        return
    draw = np.random.default_rng(0)
    for length in range(1, T + 1):
        ids = torch.from_numpy(draw.integers(0, len(tiny_tokenizer), (8, length)))
        labelled_B = (masker({"input_ids": ids, "example_id": torch.arange(8)})["labels"] != IGNORE).sum(-1)
        assert labelled_B.max() <= masker.most_masked(length, TrainState())
