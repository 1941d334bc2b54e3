from __future__ import annotations

import pytest
import torch
from transformers import BertForMaskedLM, ElectraConfig, GPT2Config

from maskwise.errors import InputError
from maskwise.models.presets import PRESETS, build_model, preset_config


def num_parameters(name: str) -> int:
    with torch.device("meta"):
        return BertForMaskedLM(preset_config(name, vocab_size=30522)).num_parameters()


def test_presets_have_the_published_sizes():
    assert {name: round(num_parameters(name) / 1e6, 1) for name in PRESETS} == {
        "tiny": 4.4,
        "mini": 11.2,
        "bertlet": 28.8,
        "bert": 109.5,
    }


def test_small_presets_have_no_dropout_and_the_paper_s_have():
    assert {name: preset_config(name, 97).hidden_dropout_prob for name in PRESETS} == {
        "tiny": 0.0,
        "mini": 0.0,
        "bertlet": 0.1,
        "bert": 0.1,
    }


def test_an_unknown_preset_is_an_error_that_names_the_nearest():
    with pytest.raises(InputError, match=r"no model 'bertlett'[.] Did you mean 'bertlet'"):
        preset_config("bertlett", vocab_size=97)


def test_a_seed_gives_one_model_and_the_global_random_state_stays():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = build_model("tiny", 97, seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    again, other = build_model("tiny", 97, seed=1).state_dict(), build_model("tiny", 97, seed=2).state_dict()
    assert all(torch.equal(again[name], first[name]) for name in first)
    assert any(not torch.equal(other[name], first[name]) for name in first)


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_config_json_becomes_a_model_with_the_tokenizer_s_vocabulary(tmp_path, as_folder):
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ElectraConfig(vocab_size=1000, embedding_size=16, **shape).save_pretrained(tmp_path)
    model = build_model(tmp_path if as_folder else tmp_path / "config.json", vocab_size=97, seed=0, pad_token_id=3)
    assert type(model).__name__ == "ElectraForMaskedLM"
    assert model.get_input_embeddings().weight.shape == (97, 16)
    assert model.config.pad_token_id == 3


def test_a_decoder_s_config_is_an_error(tmp_path):
    GPT2Config(n_layer=1).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="'gpt2' model, which has no masked-LM head"):
        build_model(tmp_path, vocab_size=97, seed=0)


def test_a_file_that_is_no_config_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text("{broken")
    with pytest.raises(InputError, match="is not a model configuration"):
        build_model(tmp_path / "config.json", vocab_size=97, seed=0)
