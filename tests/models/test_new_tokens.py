"""New tokens of a model: what their embeddings, decoder rows and biases start as, and what stays."""

import copy

import pytest
import torch
import transformers

from maskwise.errors import InputError
from maskwise.models.new_tokens import grow_vocabulary
from maskwise.models.presets import build_model

SMALL = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 32, "pad_token_id": 0,
}  # fmt: skip
CONFIGS = {
    "bert": transformers.BertConfig(**SMALL),
    "distilbert, not tied": transformers.DistilBertConfig(
        vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=32, tie_word_embeddings=False
    ),
    "roberta": transformers.RobertaConfig(**SMALL),
    "albert": transformers.AlbertConfig(**SMALL, embedding_size=8),
    "electra": transformers.ElectraConfig(**SMALL, embedding_size=8),
    "distilbert": transformers.DistilBertConfig(vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=32),
    "deberta-v2": transformers.DebertaV2Config(**SMALL),
    "modernbert": transformers.ModernBertConfig(
        **SMALL, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2
    ),
    "mpnet": transformers.MPNetConfig(**SMALL),
}
PIECES = {50: [5, 6], 51: [7, 8, 9], 52: [10]}
IDS = torch.tensor([[5, 6, 7, 8, 9]])


def make(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForMaskedLM.from_config(copy.deepcopy(CONFIGS[name])).eval()
        bias = model.get_output_embeddings().bias
        if bias is not None:
            torch.nn.init.normal_(bias)
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_a_new_token_starts_as_the_mean_of_its_pieces_and_nothing_else_moves(name):
    """The logit of a new token is the mean of its pieces' logits: decoder and bias at once, whatever they are named."""
    model = make(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    logits = model(IDS).logits
    embeddings = model.get_input_embeddings().weight.clone()
    grow_vocabulary(model, PIECES)
    grown = model.get_input_embeddings().weight
    assert grown.shape[0] == model.config.vocab_size == 53
    for new, pieces in PIECES.items():
        assert torch.equal(grown[new], embeddings[pieces].mean(dim=0))
    after = model(IDS).logits
    torch.testing.assert_close(after[..., :50], logits, rtol=0, atol=0)
    expected = torch.stack([logits[..., pieces].mean(dim=-1) for pieces in PIECES.values()], dim=-1)
    torch.testing.assert_close(after[..., 50:], expected, rtol=0, atol=1e-6)
    for key, value in model.state_dict().items():
        assert torch.equal(value[:50] if value.shape[:1] == (53,) else value, before[key]), key


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert, not tied"])
def test_tied_weights_stay_tied_through_a_folder(name, tmp_path):
    model = make(name)
    grow_vocabulary(model, PIECES)
    model.save_pretrained(tmp_path)
    for each in (model, transformers.AutoModelForMaskedLM.from_pretrained(tmp_path)):
        tied = each.get_output_embeddings().weight is each.get_input_embeddings().weight
        assert tied == (name != "distilbert, not tied")
        assert torch.equal(each.get_input_embeddings().weight, model.get_input_embeddings().weight)
        assert torch.equal(each.get_output_embeddings().bias, model.get_output_embeddings().bias)


def test_spare_rows_are_used_before_any_is_added():
    """Vocabularies are often padded to a round number; such a model must not shrink to the tokens in use."""
    model = make("bert")
    with torch.no_grad():
        expected = model.get_input_embeddings().weight[[1, 2]].mean(dim=0)
    grow_vocabulary(model, {40: [1, 2]})
    assert model.get_input_embeddings().weight.shape[0] == 50
    assert torch.equal(model.get_input_embeddings().weight[40], expected)


@pytest.mark.parametrize(
    "config",
    [
        transformers.EsmConfig(**SMALL, mask_token_id=4, position_embedding_type="rotary"),
        transformers.MobileBertConfig(**SMALL, embedding_size=8, true_hidden_size=16),
    ],
    ids=lambda config: config.model_type,
)
def test_a_model_that_cannot_be_resized_is_refused_before_any_training(config):
    model = transformers.AutoModelForMaskedLM.from_config(config)
    with pytest.raises(InputError, match=f"A {config.model_type} model cannot take new tokens"):
        grow_vocabulary(model, PIECES)


def test_growing_leaves_the_global_random_state_alone():
    model = build_model("tiny", 50, seed=0)
    before = torch.get_rng_state()
    grow_vocabulary(model, PIECES)
    assert torch.equal(torch.get_rng_state(), before)
