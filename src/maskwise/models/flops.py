"""How much arithmetic a forward pass takes, counted without running it: the one definition of flops.

Matrix products are counted, 2 operations a multiplication; norms, activations and softmax are left out. A backward pass
is twice its forward pass.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForMaskedLM

from maskwise.models.loading import load_config
from maskwise.models.presets import PRESETS, preset_config

TRAINING = 3  # forward passes that a forward and a backward pass are worth


class ForwardFlops(NamedTuple):
    """Operations of one forward pass: of the body, and of the head over one row, both a token."""

    body: float
    head: float


@lru_cache(maxsize=32)
def forward_flops(model: str, length: int, vocabulary: int) -> ForwardFlops:
    """Returns the operations a token of a preset, a configuration or a checkpoint takes in sequences of this length.

    The model is run without memory for its weights. Raises InputError if there is no such model.

    >>> forward_flops("bertlet", 128, 30522)
    ForwardFlops(body=26214400.0, head=31778816.0)
    """
    config = preset_config(model, vocabulary) if model in PRESETS else _config(model)
    config.vocab_size = vocabulary
    with torch.device("meta"):
        network = AutoModelForMaskedLM.from_config(config, attn_implementation="eager").eval()
        ids_1T = torch.ones(1, length, dtype=torch.long)
    network.config.pad_token_id = None  # or it looks for padding, which takes values
    whole, body = _count(network, ids_1T), _count(network.base_model, ids_1T)
    return ForwardFlops(body / length, (whole - body) / length)


def body_flops(config: Any, length: int) -> float | None:
    """Returns the operations that a token takes in the body of a configured model, in sequences of this length.

    None if the architecture cannot be run without memory for its weights.
    """
    return _body_flops(config.model_type, json.dumps(config.to_dict(), sort_keys=True, default=str), length)


@lru_cache(maxsize=32)
def _body_flops(model_type: str, config: str, length: int) -> float | None:
    try:
        settings = AutoConfig.for_model(model_type, **_own_settings(json.loads(config)))
        with torch.device("meta"):
            network = AutoModelForMaskedLM.from_config(settings, attn_implementation="eager").eval().base_model
            ids_1T = torch.ones(1, length, dtype=torch.long)
        network.config.pad_token_id = None
        return _count(network, ids_1T) / length
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError):
        return None


def _own_settings(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in ("model_type", "dtype", "torch_dtype")}


def _config(model: str) -> Any:
    return load_config(model)


def _count(network: Any, ids_1T: torch.Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(input_ids=ids_1T)
    return counter.get_total_flops()
