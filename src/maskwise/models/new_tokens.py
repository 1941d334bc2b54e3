"""A masked language model that learns the new tokens of its extended tokenizer.

Shapes: P pieces of a token, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from maskwise.errors import InputError, first_line


@torch.no_grad()
def grow_vocabulary(model: Any, pieces_by_id: Mapping[int, Sequence[int]]) -> None:
    """Gives each new id the mean of its pieces: in the embeddings, the decoder, and the decoder's bias.

    Rows are added where the model has too few; every other row stays as it is, and tied weights stay tied. The global
    random state stays as it is too. Raises InputError for the few models that cannot be resized (ESM, MobileBERT).
    """
    needed = max(pieces_by_id) + 1
    if needed > model.get_input_embeddings().weight.shape[0]:
        with torch.random.fork_rng(devices=[]):  # the rows that are drawn here are overwritten below
            _resize(model, needed)
    for weight in _rows_by_token(model):
        for new_id, pieces_P in pieces_by_id.items():
            weight[new_id] = weight[list(pieces_P)].mean(dim=0)


def _resize(model: Any, num_tokens: int) -> None:
    """Adds rows, and runs the model once: ESM has a bias after its decoder that is not resized with it."""
    try:
        model.resize_token_embeddings(num_tokens, mean_resizing=False)
        model(input_ids=torch.full((1, 4), num_tokens - 1, device=model.device))
    except (TypeError, RuntimeError) as error:
        kind = model.config.model_type
        raise InputError(f"A {kind} model cannot take new tokens: {first_line(error)}") from error


def _rows_by_token(model: Any) -> list[torch.Tensor]:
    """Returns the parameters that hold a row, or a number, for each token; a tied one once."""
    decoder = model.get_output_embeddings()
    parts = (model.get_input_embeddings().weight, decoder.weight, decoder.bias)
    return list({id(part): part for part in parts if part is not None}.values())
