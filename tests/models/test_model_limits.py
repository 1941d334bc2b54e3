"""What a model's tables hold."""

from __future__ import annotations

import pytest
import torch
from transformers import RobertaConfig, RobertaForMaskedLM

from architectures import ARCHITECTURES, VOCAB_SIZE, random_model
from maskwise.models.model_limits import longest_window, vocabulary_size


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_tells_its_vocabulary(architecture):
    """Where one does not, a teacher of another vocabulary would pass for the same, or end in a traceback."""
    assert vocabulary_size(random_model(architecture)) == VOCAB_SIZE


def test_the_positions_of_a_padded_table_are_not_all_for_tokens(tiny_tokenizer):
    """RoBERTa's table begins behind its padding index; one position more is an index error in the model."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = RobertaConfig(vocab_size=99, max_position_embeddings=40, pad_token_id=1, **sizes)
    model = RobertaForMaskedLM(config)
    longest = longest_window(model, tiny_tokenizer)
    assert longest == 38
    model(input_ids=torch.full((1, longest), 5))
    with pytest.raises((IndexError, RuntimeError), match="out of"):
        model(input_ids=torch.full((1, longest + 1), 5))
