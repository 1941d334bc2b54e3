"""A masked language model that learns the new tokens of its extended tokenizer.

Shapes: P pieces of a token, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch


@torch.no_grad()
def grow_vocabulary(model: Any, pieces_by_id: Mapping[int, Sequence[int]]) -> None:
    """Gives each new id the mean of its pieces: in the embeddings, the decoder, and the decoder's bias.

    Rows are added where the model has too few; every other row stays as it is, and tied weights stay tied. The global
    random state stays as it is too.
    """
    needed = max(pieces_by_id) + 1
    if needed > model.get_input_embeddings().weight.shape[0]:
        with torch.random.fork_rng(devices=[]):  # the rows that are drawn here are overwritten below
            model.resize_token_embeddings(needed, mean_resizing=False)
    for weight in _rows_by_token(model):
        for new_id, pieces_P in pieces_by_id.items():
            weight[new_id] = weight[list(pieces_P)].mean(dim=0)


def _rows_by_token(model: Any) -> list[torch.Tensor]:
    """Returns the parameters that hold a row, or a number, for each token; a tied one once."""
    decoder = model.get_output_embeddings()
    parts = (model.get_input_embeddings().weight, decoder.weight, decoder.bias)
    return list({id(part): part for part in parts if part is not None}.values())
