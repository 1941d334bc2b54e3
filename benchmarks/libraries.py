"""Other libraries' entropy of rows against a vocabulary, where they are installed and there is a GPU.

Written for trl 1.16 and liger-kernel 0.8, whose kernels are made for causal language models. Liger's has no bias: a
column of ones and the bias as a column of the weight stand in for it, made outside the clock and filled up with zeros
to a multiple of 8, as the tensor cores want it.

Shapes: R rows, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

COLUMN_MULTIPLE = 8
TRL_CHUNK = 8192


def entropies(hidden_RD: Tensor, weight_VD: Tensor, bias_V: Tensor) -> dict[str, Callable[[], object]]:
    """Returns the routines that import, by the library's name; none without a GPU."""
    found: dict[str, Callable[[], object]] = {}
    for make in (_trl, _liger) if hidden_RD.is_cuda else ():
        try:
            found[make.__name__.removeprefix("_")] = make(hidden_RD, weight_VD, bias_V)
        except ImportError as error:
            print(f"left out: {error}")
    return found


def _trl(hidden_RD: Tensor, weight_VD: Tensor, bias_V: Tensor) -> Callable[[], object]:
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction

    targets_R = torch.zeros(len(hidden_RD), dtype=torch.int64, device=hidden_RD.device)
    options = (1.0, TRL_CHUNK, None, 1.0, ("entropy",))  # temperature, chunk, no soft cap, logit scale, outputs
    return lambda: ChunkedLogProbFunction.apply(hidden_RD, weight_VD, bias_V, targets_R, *options)


def _liger(hidden_RD: Tensor, weight_VD: Tensor, bias_V: Tensor) -> Callable[[], object]:
    from liger_kernel.ops import LigerFusedLinearScaledCrossEntropyFunction

    targets_R = torch.zeros(len(hidden_RD), dtype=torch.int64, device=hidden_RD.device)
    wide_RD = _beside(hidden_RD, torch.ones(len(hidden_RD), device=hidden_RD.device))
    wide_VD = _beside(weight_VD, bias_V)
    options = (1.0, -100, 1, True)  # temperature, ignored target, tiles a cluster, with entropy
    return lambda: LigerFusedLinearScaledCrossEntropyFunction.apply(wide_RD, wide_VD, targets_R, *options)


def _beside(matrix_RD: Tensor, column_R: Tensor) -> Tensor:
    padding = matrix_RD.new_zeros(len(matrix_RD), COLUMN_MULTIPLE - 1)
    return torch.cat([matrix_RD, column_R[:, None].to(matrix_RD.dtype), padding], dim=1)
