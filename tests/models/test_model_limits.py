"""What a model's tables hold."""

from __future__ import annotations

import pytest
import torch
from transformers import RobertaConfig, RobertaForMaskedLM

from architectures import ARCHITECTURES, VOCAB_SIZE, random_model
from maskwise.errors import InputError
from maskwise.masking.vocabulary import num_token_ids
from maskwise.models.model_limits import check_teacher_vocabulary, longest_window, vocabulary_size
from maskwise.models.presets import build_model


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


def sized(number):
    return build_model("tiny", number, seed=0)


def test_a_teacher_needs_every_id_of_the_tokenizer_and_may_be_padded(tiny_tokenizer):
    """ModernBERT and others pad their embeddings to a multiple of 64: sizes differ, the tokenizer does not."""
    size = num_token_ids(tiny_tokenizer)
    for teacher, student in ((size, size), (size + 57, size), (size, size + 57), (size + 1, size + 64)):
        check_teacher_vocabulary(sized(teacher), sized(student), tiny_tokenizer)
    for wrong in (size - 1, size + 1024):
        with pytest.raises(InputError, match=rf"teacher has {wrong:,} embeddings.*ids up to {size - 1}"):
            check_teacher_vocabulary(sized(wrong), sized(size), tiny_tokenizer)


def test_without_the_tokenizer_only_equal_sizes_are_known_to_fit():
    check_teacher_vocabulary(sized(90), sized(90))
    with pytest.raises(InputError, match=r"one is padded, name the tokenizer: bind\(model, tokenizer\)"):
        check_teacher_vocabulary(sized(96), sized(90))
