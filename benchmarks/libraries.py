"""Other libraries' entropy of rows against a vocabulary, where they are installed and there is a GPU.

Written for trl 1.16 and liger-kernel 0.8, whose kernels are made for causal language models. Liger's has no bias: a
column of ones and the bias as a column of the weight stand in for it, made outside the clock and filled up with zeros
to a multiple of 8, as the tensor cores want it.

Shapes: R rows, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from common import wait_for
from torch import Tensor

Routine = Callable[[], object]

COLUMN_MULTIPLE = 8
TRL_CHUNK = 8192


def entropies(hidden_RD: Tensor, weight_VD: Tensor, bias_V: Tensor) -> dict[str, Routine]:
    """Returns the routines that work here, by the library's name; none without a GPU."""
    makers = {"trl": _trl, "liger": _liger} if hidden_RD.is_cuda else {}
    return working({name: partial(make, hidden_RD, weight_VD, bias_V) for name, make in makers.items()})


@torch.no_grad()
def working(makers: Mapping[str, Callable[[], Routine]]) -> dict[str, Routine]:
    """Returns the routines that are made and called once without an error; says which are left out, and why."""
    found: dict[str, Routine] = {}
    for name, make in makers.items():
        try:
            routine = make()
            routine()
            wait_for("cuda" if torch.cuda.is_available() else "cpu")
        except Exception as error:  # what fails in another library, of whatever release, is no reason to end the run
            reason = str(error).strip().partition("\n")[0]
            print(f"{name} is left out: {type(error).__name__}: {reason}")
        else:
            found[name] = routine
    return found


def _trl(hidden_RD: Tensor, weight_VD: Tensor, bias_V: Tensor) -> Routine:
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction  # pyright: ignore[reportMissingImports]

    targets_R = torch.zeros(len(hidden_RD), dtype=torch.int64, device=hidden_RD.device)
    options = (1.0, TRL_CHUNK, None, 1.0, ("entropy",))  # temperature, chunk, no soft cap, logit scale, outputs
    return lambda: ChunkedLogProbFunction.apply(hidden_RD, weight_VD, bias_V, targets_R, *options)


def _liger(hidden_RD: Tensor, weight_VD: Tensor, bias_V: Tensor) -> Routine:
    from liger_kernel.ops import (  # pyright: ignore[reportMissingImports]
        LigerFusedLinearScaledCrossEntropyFunction,
    )

    targets_R = torch.zeros(len(hidden_RD), dtype=torch.int64, device=hidden_RD.device)
    wide_RD = _beside(hidden_RD, torch.ones(len(hidden_RD), device=hidden_RD.device))
    wide_VD = _beside(weight_VD, bias_V)
    options = (1.0, -100, 1, True)  # temperature, ignored target, tiles a cluster, with entropy
    return lambda: LigerFusedLinearScaledCrossEntropyFunction.apply(wide_RD, wide_VD, targets_R, *options)


def _beside(matrix_RD: Tensor, column_R: Tensor) -> Tensor:
    padding = matrix_RD.new_zeros(len(matrix_RD), COLUMN_MULTIPLE - 1)
    return torch.cat([matrix_RD, column_R[:, None].to(matrix_RD.dtype), padding], dim=1)
