"""Which inputs a model's forward pass takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

OPTIONAL_INPUTS = ("token_type_ids",)  # what tokenizers make and not every model takes


def refused_inputs(model: Any) -> frozenset[str]:
    """Returns which optional inputs a model does not name among the parameters of its forward pass.

    Args:
        model: A model without wrappers. Of an adapter (PEFT), the model inside decides.

    >>> from transformers import BertForMaskedLM, DistilBertForMaskedLM
    >>> refused_inputs(BertForMaskedLM), refused_inputs(DistilBertForMaskedLM)
    (frozenset(), frozenset({'token_type_ids'}))
    """
    inside = model.get_base_model() if hasattr(model, "get_base_model") else model
    named = inspect.signature(type(inside).forward if not isinstance(inside, type) else inside.forward).parameters
    return frozenset(name for name in OPTIONAL_INPUTS if name not in named)


def without(inputs: Mapping[str, Any], refused: frozenset[str]) -> Mapping[str, Any]:
    """Returns inputs without those that a model does not take."""
    if refused.isdisjoint(inputs):
        return inputs
    return {name: value for name, value in inputs.items() if name not in refused}
