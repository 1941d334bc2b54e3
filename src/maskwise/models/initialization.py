"""Initial weights from which a masked language model uses its context within its first hundreds of steps.

A [MASK] has nothing of its own to go by: until attention finds its neighbours, a new encoder knows only how often each
token occurs, and random weights stay there for millions of tokens (EXPERIMENTS.md). These start where that is known,
and where heads look at the places next to them. The trained model is the same architecture, with the same shapes.

Shapes: V vocabulary, P positions, D width, F frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

POSITION_AMPLITUDE = 0.06  # three times a token embedding's standard deviation: places are told apart first
SLOWEST, FASTEST = 1 / 3, 1.0  # radians a place: beyond a few places, two positions have little in common
VALUE_GAIN = 4.0


def start_at_unigram(model: Any, token_counts_V: Tensor, never_predicted: Sequence[int] = ()) -> None:
    """Sets the decoder's bias to the log frequency of each token, so that the first loss is the unigram entropy.

    Tokens not seen, and the ids in `never_predicted` (the special ones), count as seen once. A model whose decoder has
    no bias of its own stays as it is.

    >>> from maskwise.models.presets import build_model
    >>> model = build_model("tiny", vocab_size=4, seed=0)
    >>> start_at_unigram(model, torch.tensor([0, 1, 3, 9]))
    >>> [round(bias, 2) for bias in model.get_output_embeddings().bias.exp().tolist()]
    [0.07, 0.07, 0.21, 0.64]
    """
    bias_V = getattr(model.get_output_embeddings(), "bias", None)
    if bias_V is None or len(bias_V) != len(token_counts_V):
        return
    seen_V = token_counts_V.double().clamp(min=1)
    seen_V[list(never_predicted)] = 1
    with torch.no_grad():
        bias_V.copy_((seen_V / seen_V.sum()).log())


@torch.no_grad()
def attend_to_neighbours(model: Any) -> None:
    """Makes the heads of a new BERT look at the places next to them: -1, +1, -2, +2 ... by head.

    Positions are sinusoids in the first half of the width (Vaswani et al. 2017, 3.5), where queries and keys look;
    a query is turned by its head's distance. Values are read from the other half, and added large enough to be heard
    next to the residual. Random numbers come from torch's default generator. (Starting attention from position products
    follows Trockman & Kolter 2023, "Mimetic initialization of self-attention layers".)
    """
    encoder = model.base_model
    positions_PD = encoder.embeddings.position_embeddings.weight
    frequencies_F = torch.linspace(math.log(FASTEST), math.log(SLOWEST), positions_PD.shape[1] // 4).exp()
    encoder.embeddings.token_type_embeddings.weight.zero_()
    positions_PD.copy_(_sinusoids(positions_PD.shape, frequencies_F))
    for layer in encoder.encoder.layer:
        attention = layer.attention.self
        _look_beside(attention.query.weight, attention.key.weight, attention.num_attention_heads, frequencies_F)
        _read_the_other_half(attention.value.weight)
        nn.init.orthogonal_(layer.attention.output.dense.weight)


def _sinusoids(shape: torch.Size, frequencies_F: Tensor) -> Tensor:
    angles_PF = torch.arange(shape[0])[:, None] * frequencies_F
    waves_PD = torch.zeros(shape)
    waves_PD[:, : 2 * len(frequencies_F)] = torch.cat([angles_PF.sin(), angles_PF.cos()], dim=1)
    return POSITION_AMPLITUDE * waves_PD


def _look_beside(query_DD: Tensor, key_DD: Tensor, num_heads: int, frequencies_F: Tensor) -> None:
    """Writes rotations: the query at place p, turned by d, equals the key at place p + d."""
    num_waves, width = len(frequencies_F), query_DD.shape[0] // num_heads
    pairs = min(width // 2, num_waves)
    waves = torch.arange(pairs) * (num_waves // pairs)
    query_DD.zero_()
    key_DD.zero_()
    for head in range(num_heads):
        distance = (1 + head // 2) * (-1 if head % 2 == 0 else 1)
        cos, sin = (frequencies_F[waves] * distance).cos(), (frequencies_F[waves] * distance).sin()
        sines = head * width + torch.arange(pairs)
        cosines = sines + pairs
        key_DD[sines, waves] = key_DD[cosines, waves + num_waves] = 1.0
        query_DD[sines, waves], query_DD[sines, waves + num_waves] = cos, sin
        query_DD[cosines, waves], query_DD[cosines, waves + num_waves] = -sin, cos


def _read_the_other_half(value_DD: Tensor) -> None:
    half = value_DD.shape[1] // 2
    value_DD.zero_()
    for rows_HD in value_DD.split(half):
        nn.init.orthogonal_(rows_HD[:, half:], gain=VALUE_GAIN)
