"""What a model's forward asks for by name."""

from __future__ import annotations

import inspect
from typing import Any

from maskwise.models.sparse import unwrapped

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def named_inputs(model: Any) -> frozenset[str]:
    """Returns the names of the parameters of a model's forward; what **kwargs would take is not among them.

    >>> from transformers import BertConfig, BertForMaskedLM
    >>> config = BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    >>> "token_type_ids" in named_inputs(BertForMaskedLM(config))
    True
    """
    parameters = inspect.signature(unwrapped(model).forward).parameters.values()
    return frozenset(parameter.name for parameter in parameters if parameter.kind in _NAMED)
