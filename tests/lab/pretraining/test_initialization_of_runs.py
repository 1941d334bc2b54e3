from __future__ import annotations

import pytest
import torch

from maskwise.evaluation.held_out import evaluate_mlm, evaluate_unigram, make_held_out_eval
from maskwise.lab.config import resolve
from maskwise.lab.pretraining.build import load_model
from maskwise.lab.tokens.blocks import open_data


def new_model(data, **model):
    settings = resolve({"data": {"path": str(data)}, "model": {"preset": "tiny"} | model})
    return load_model(settings, open_data(data))


def test_a_new_model_knows_the_unigram_frequencies_and_nothing_more(tiny_data):
    data = open_data(tiny_data)
    held_out = make_held_out_eval(data.valid, data.tokenizer, data.token_counts)
    floor = evaluate_unigram(held_out).grade("loss")
    assert evaluate_mlm(new_model(tiny_data), held_out).grade("loss") == pytest.approx(floor, abs=0.1)
    assert evaluate_mlm(new_model(tiny_data, initialization="default"), held_out).grade("loss") > floor + 0.5


def test_special_tokens_start_as_if_never_seen(tiny_data):
    bias_V, tokenizer = new_model(tiny_data).get_output_embeddings().bias, open_data(tiny_data).tokenizer
    assert tokenizer.cls_token_id in tokenizer.all_special_ids
    assert torch.equal(bias_V[tokenizer.all_special_ids], bias_V.min().expand(len(tokenizer.all_special_ids)))
