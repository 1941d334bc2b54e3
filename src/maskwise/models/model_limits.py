"""How far a model's tables reach: its vocabulary, and its positions."""

from __future__ import annotations

from typing import Any

from torch import nn

from maskwise.errors import InputError
from maskwise.masking.vocabulary import num_token_ids

MOST_PADDING = 1024  # rows without a token at the end of an embedding: multiples of 64 to 1,024 are common


def vocabulary_size(model: Any) -> int:
    """Returns how many tokens a masked language model predicts over; Perceiver has no decoder of its own to ask.

    >>> from transformers import BertConfig, BertForMaskedLM
    >>> config = BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    >>> vocabulary_size(BertForMaskedLM(config))
    50
    """
    decoder = model.get_output_embeddings()
    return model.config.vocab_size if decoder is None else decoder.weight.shape[0]


def check_teacher_vocabulary(teacher: nn.Module, student: nn.Module, tokenizer: Any = None) -> None:
    """Raises InputError if a teacher cannot have the tokenizer of the model in training.

    Its embedding must have a row for each id of `tokenizer`, and may have some without a token: embeddings are padded
    to a multiple of 64, say. Without `tokenizer`, teacher and student must have equal sizes.
    """
    size, students = vocabulary_size(teacher), vocabulary_size(student)
    if tokenizer is None:
        if size != students:
            raise InputError(
                f"The teacher has {size:,} embeddings and the student {students:,}. If both share a tokenizer and one "
                "is padded, name the tokenizer: bind(model, tokenizer)."
            )
        return
    needed = num_token_ids(tokenizer)
    if not needed <= size < needed + MOST_PADDING:
        raise InputError(
            f"Teacher and student must share the tokenizer; the teacher has {size:,} embeddings, and the student's "
            f"tokenizer has ids up to {needed - 1:,}. Train the student with the teacher's tokenizer "
            "(maskwise prepare --tokenizer)."
        )


def longest_window(model: nn.Module, tokenizer: Any) -> int:
    """Returns how many positions a model has, special tokens included: RoBERTa's table of 514 holds 512."""
    limits = [int(tokenizer.model_max_length), getattr(model.config, "max_position_embeddings", 512)]
    return min(limits + position_tables(model))


def position_tables(model: nn.Module) -> list[int]:
    """Returns how many tokens each table of absolute positions has room for; none where positions are relative."""
    tables = [
        module
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding)
    ]
    return [table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1) for table in tables]
