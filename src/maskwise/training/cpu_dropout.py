"""Dropout from 16 random bits an element: the distribution of `nn.Dropout`, at a fraction of its cost on a CPU.

Shapes: B sequences, H heads, T positions, D features of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

LANES = 4
_STEPS = 1 << 16
BIT_DROPOUT = "maskwise_bit_dropout"


class BitDropout(nn.Dropout):
    """Drops each element with probability p, p rounded to 1/65536, and scales the others by 1 / (1 - p).

    A CPU's generator makes 64 bits as fast as one uniform number, and an element needs 16 of them. The bits come from
    torch's global generator, so a checkpoint's random state restores them.

    >>> BitDropout(0.5).eval()(torch.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns `input` with elements dropped in training mode, and as it is otherwise."""
        return drop(input, self.p) if self.training else input


def drop(input: Tensor, p: float) -> Tensor:
    """Returns `input` with each element zero with probability p, p rounded to 1/65536, and the others / (1 - p)."""
    threshold = round(p * _STEPS)
    if threshold == 0:
        return input
    words = torch.empty(-(-input.numel() // LANES), dtype=torch.int64, device=input.device)
    bits = words.random_(-(1 << 63), None).view(torch.int16)[: input.numel()].view(input.shape)
    return input * ((bits >= threshold - _STEPS // 2).to(input.dtype) * (_STEPS / (_STEPS - threshold)))


def use_bit_dropout(model: nn.Module) -> None:
    """Gives `model` the cheaper way of drawing, in every `nn.Dropout` and inside the attention of transformers' models.

    Modules keep their place, their p and their mode, and nothing that is saved changes. transformers looks attention up
    by name, so the name is entered in its table; a model whose attention is not torch's fused one keeps what it has.
    """
    AttentionInterface.register(BIT_DROPOUT, bit_dropout_attention)
    AttentionMaskInterface.register(BIT_DROPOUT, sdpa_mask)
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = BitDropout
        if isinstance(module, PreTrainedModel) and module.config._attn_implementation == "sdpa":
            module.set_attn_implementation(BIT_DROPOUT)


def bit_dropout_attention(
    module: nn.Module,
    query_BHTD: Tensor,
    key_BHTD: Tensor,
    value_BHTD: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Returns [B, T, H, D]: softmax(q k^T scaling + mask), with elements dropped, times v; and no attention weights.

    On a CPU torch's fused attention has no dropout either and takes the same steps, with torch's generator. Without
    dropout, and for what encoders rarely have (causal attention, shared keys, a position bias), it is torch's.
    """
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    rare = causal or getattr(module, "num_key_value_groups", 1) > 1 or kwargs.get("position_bias") is not None
    if rare or dropout == 0.0:
        return sdpa_attention_forward(
            module, query_BHTD, key_BHTD, value_BHTD, attention_mask, dropout, scaling, is_causal, **kwargs
        )
    scale = query_BHTD.shape[-1] ** -0.5 if scaling is None else scaling
    scores_BHTT = (query_BHTD * scale) @ key_BHTD.transpose(-1, -2)
    if attention_mask is not None:
        scores_BHTT = scores_BHTT + as_summand(attention_mask, scores_BHTT.dtype)
    weights_BHTT = drop(scores_BHTT.softmax(-1), dropout)
    return (weights_BHTT.to(value_BHTD.dtype) @ value_BHTD).transpose(1, 2).contiguous(), None


def as_summand(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns an attention mask as what is added to scores: of truth values, 0 where true, the least number elsewhere.

    >>> as_summand(torch.tensor([True, False]), torch.float32)
    tensor([ 0.0000e+00, -3.4028e+38])
    """
    if mask.dtype is not torch.bool:
        return mask.to(dtype)
    return torch.zeros((), dtype=dtype, device=mask.device).where(mask, torch.finfo(dtype).min)
