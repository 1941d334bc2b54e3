"""Which inputs a model's forward pass takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

OPTIONAL_INPUTS = ("token_type_ids",)  # what tokenizers make and not every model takes
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def named_inputs(model: Any) -> frozenset[str]:
    """Returns the names of the parameters of a model's forward; what **kwargs would take is not among them.

    Args:
        model: A model without wrappers, or its class. Of an adapter (PEFT), the model inside decides.

    >>> from transformers import BertForMaskedLM, DistilBertForMaskedLM
    >>> [name for name in ("token_type_ids", "labels") if name in named_inputs(DistilBertForMaskedLM)]
    ['labels']
    """
    inside = model.get_base_model() if hasattr(model, "get_base_model") else model
    forward = inside.forward if isinstance(inside, type) else type(inside).forward
    parameters = inspect.signature(forward).parameters.values()
    return frozenset(parameter.name for parameter in parameters if parameter.kind in _NAMED) - {"self"}


def without_refused(inputs: Mapping[str, Any], named: frozenset[str]) -> Mapping[str, Any]:
    """Returns inputs without the optional ones that a model does not name among its own (`named_inputs`)."""
    refused = [name for name in OPTIONAL_INPUTS if name in inputs and name not in named]
    return {name: value for name, value in inputs.items() if name not in refused} if refused else inputs
