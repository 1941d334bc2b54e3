"""Encoders to train from scratch: four BERT shapes by name, any other by its config.json.

The shapes are those of the entropy paper's Table (BERTlet) and of its neighbours: `tiny` and `mini` for runs of
minutes on a processor, `bert` for the original.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForMaskedLM, BertConfig, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from maskwise.errors import InputError, first_line, nearest
from maskwise.files.path_names import path_text
from maskwise.models.initialization import attend_to_neighbours
from maskwise.models.loading import CANNOT_LOAD, check_attention


class Shape(NamedTuple):
    """Layers, width, heads and feed-forward width of an encoder, with its dropout."""

    num_layers: int
    width: int
    num_heads: int
    feed_forward: int
    dropout: float


PRESETS = {
    "tiny": Shape(2, 128, 2, 512, 0.0),
    "mini": Shape(4, 256, 4, 1024, 0.0),
    "bertlet": Shape(4, 512, 8, 2048, 0.1),
    "bert": Shape(12, 768, 12, 3072, 0.1),
}


def preset_config(name: str, vocab_size: int, pad_token_id: int = 0, max_position: int = 512) -> BertConfig:
    """Returns the BERT configuration of a preset. Raises InputError for an unknown name.

    >>> preset_config("bertlet", vocab_size=30522).num_hidden_layers
    4
    """
    if name not in PRESETS:
        raise InputError(f"There is no model {name!r}.{nearest(name, PRESETS)} Known: {', '.join(PRESETS)}.")
    shape = PRESETS[name]
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=shape.width,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        intermediate_size=shape.feed_forward,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=shape.dropout,
        max_position_embeddings=max_position,
        pad_token_id=pad_token_id,
    )


def build_model(
    name_or_config: str | Path, vocab_size: int, seed: int, pad_token_id: int = 0, *, near_heads: bool = True
) -> PreTrainedModel:
    """Returns a new masked-LM with random weights, the same for the same seed; the global random state stays as it is.

    `name_or_config` is a preset's name, a config.json, or a folder with one; the vocabulary size and the padding id are
    set from the tokenizer. A preset starts with heads that `attend_to_neighbours`; with near_heads=False, and for a
    config.json, the weights are as transformers draws them. Raises InputError for an unknown name and for a
    configuration without a masked-LM.
    """
    config = _config(name_or_config, vocab_size, pad_token_id)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            model = AutoModelForMaskedLM.from_config(config)
        except CANNOT_LOAD as error:
            raise InputError(f"{name_or_config} makes no model: {first_line(error)}") from error
        if near_heads and str(name_or_config) in PRESETS:
            attend_to_neighbours(model)
        return model


def _config(name_or_config: str | Path, vocab_size: int, pad_token_id: int) -> PreTrainedConfig:
    path = Path(path_text(name_or_config, "model"))
    if not path.exists():
        return preset_config(str(name_or_config), vocab_size, pad_token_id)
    changes: dict[str, Any] = {"vocab_size": vocab_size, "pad_token_id": pad_token_id}
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False, **changes)
    except CANNOT_LOAD as error:
        raise InputError(f"{path} is not a model configuration: {first_line(error)}") from error
    check_attention(config, str(path))
    if config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise InputError(
            f"{path} describes a {config.model_type!r} model, which has no masked-LM head. Use an encoder."
        )
    return config
