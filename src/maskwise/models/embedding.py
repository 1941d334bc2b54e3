"""The input embedding of any encoder: what it makes of tokens, and the gradient at its output.

Shapes: B sequences, T positions, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from maskwise.errors import InputError
from maskwise.models.sparse import unwrapped


class EmbeddingTap:
    """Takes the gradient at the output of a model's input embedding, out of a backward pass that runs anyway.

    Works on all encoders of `AutoModelForMaskedLM` (47 architectures), wrapped in DistributedDataParallel too.
    It cannot see inside `torch.compile`, which ignores hooks added later. Raises InputError for Perceiver, whose
    input embedding is not a module; the gradient of encoder-decoders (BART, mBART, MVP) is refused when asked for,
    since they embed their input twice.

    >>> from transformers import BertConfig, BertForMaskedLM
    >>> model = BertForMaskedLM(BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    >>> tap, ids_BT = EmbeddingTap(model), torch.ones(2, 3, dtype=torch.long)
    >>> with tap.open():
    ...     model(ids_BT)[0].sum().backward()
    >>> tap.gradients(ids_BT).shape
    torch.Size([2, 3, 8])
    """

    def __init__(self, model: nn.Module) -> None:
        self.name = type(unwrapped(model)).__name__
        self.embedding = unwrapped(model).get_input_embeddings()
        self._gradients: list[Tensor] = []
        if not isinstance(self.embedding, nn.Module):
            raise InputError(f"The input embedding of {self.name} is not a module, so its gradient cannot be taken.")

    @contextmanager
    def open(self) -> Iterator[None]:
        """Takes gradients of the model's calls and the backward pass inside the `with` block."""
        self._gradients = []
        handle = self.embedding.register_forward_hook(self._watch)
        try:
            yield
        finally:
            handle.remove()

    def gradients(self, input_ids_BT: Tensor) -> Tensor:
        """Returns the gradient [B, T, D] of the last block; raises InputError unless the input was embedded once."""
        if len(self._gradients) != 1:
            raise InputError(
                f"{self.name} passed {len(self._gradients)} gradients to its input embedding in one step, and saliency "
                "needs one. Encoder-decoders embed their input twice: use an encoder."
            )
        # Longformer and Reformer fill their input up on the right.
        return self._gradients[0][:, : input_ids_BT.shape[1]]

    @torch.no_grad()
    def embed(self, ids_BT: Tensor) -> Tensor:
        """Returns what the embedding makes of tokens [B, T, D], a scale it may have included."""
        return _first(self.embedding(ids_BT))

    def _watch(self, module: nn.Module, args: Any, output: Any) -> None:
        embedded_BTD = _first(output)
        if torch.is_grad_enabled():
            if not embedded_BTD.requires_grad:  # frozen weights
                embedded_BTD.requires_grad_()
            embedded_BTD.register_hook(self._gradients.append)


def _first(output: Any) -> Tensor:
    """I-BERT's embedding returns its quantisation's scale too."""
    return output[0] if isinstance(output, tuple) else output
