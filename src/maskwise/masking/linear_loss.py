"""Masked-LM loss straight from hidden rows, with its gradient: the logits [R, V] exist a tile at a time.

Shapes: R labelled rows, V vocabulary, D width, C columns of one tile, P interleaved parts of one tile (see `tiles`).

The gradient by the logits is softmax(z) - onehot. It is made again from hidden @ weight.T and log Z in the backward
pass: one more product, in place of writing and reading [R, V] four times.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskwise.masking.entropy import row_statistics
from maskwise.masking.tiles import (
    SMALLEST_EXPONENT, Kernel, Tiling, bfloat16_halves, bfloat16_pairs, column_slices, exp_inline,
)  # fmt: skip


def linear_mlm_loss(
    hidden_RD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets_R: Tensor,
    num_labelled: Tensor | int | None = None,
    *,
    compiled: bool = True,
) -> Tensor:
    """Returns `mlm_loss(hidden @ weight.T + bias, targets, num_labelled)`, in nats, without keeping any logits.

    The products are taken in the dtype autocast asks for, or else in that of `hidden_RD`; sums are float32. Equal to
    `mlm_loss` with its gradients to 1e-6 in float32. Zero rows give a zero that still has a gradient.

    >>> hidden_RD, weight_VD = torch.eye(2, 4, requires_grad=True), torch.zeros(8, 4)
    >>> loss = linear_mlm_loss(hidden_RD, weight_VD, None, torch.tensor([3, 5]), compiled=False)
    >>> loss.allclose(torch.tensor(8.0).log())
    True
    """
    device = hidden_RD.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_RD.dtype
    bias_V = weight_VD.new_zeros(weight_VD.shape[0]) if bias_V is None else bias_V
    total = _LinearLoss.apply(hidden_RD, weight_VD, bias_V, targets_R, dtype, compiled)
    count = len(targets_R) if num_labelled is None else num_labelled
    return total / (count.clamp_min(1) if isinstance(count, Tensor) else max(count, 1))


class _LinearLoss(torch.autograd.Function):
    """The sum of -log softmax(hidden @ weight.T + bias) at the targets."""

    @staticmethod
    def forward(
        ctx: Any, hidden_RD: Tensor, weight_VD: Tensor, bias_V: Tensor, targets_R: Tensor, dtype: Any, compiled: bool
    ) -> Tensor:
        cast_RD, cast_VD = hidden_RD.to(dtype), weight_VD.to(dtype)
        statistics = row_statistics(cast_RD, cast_VD, bias_V, targets_R, compiled=compiled)
        ctx.save_for_backward(cast_RD, cast_VD, bias_V, targets_R, statistics.log_z_R)
        ctx.compiled, ctx.dtypes = compiled, (hidden_RD.dtype, weight_VD.dtype, bias_V.dtype)
        assert statistics.surprisal_R is not None
        return statistics.surprisal_R.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        hidden_RD, weight_VD, bias_V, targets_R, log_z_R = ctx.saved_tensors
        scale = gradients[0]
        grads = _gradients(hidden_RD, weight_VD, bias_V, targets_R, log_z_R, scale, ctx.compiled)
        return *(grad.to(dtype) for grad, dtype in zip(grads, ctx.dtypes, strict=True)), None, None, None


def _gradients(
    hidden_RD: Tensor, weight_VD: Tensor, bias_V: Tensor, targets_R: Tensor, log_z_R: Tensor, scale: Tensor, compiled: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients by hidden, weight and bias in float32; `scale` goes onto the rows, the smallest of all."""
    tiling = Tiling.of(PROBABILITIES, hidden_RD, len(weight_VD), compiled=compiled)
    scaled_RD = (hidden_RD * scale).to(hidden_RD.dtype)
    grad_hidden_RD = torch.zeros(hidden_RD.shape, device=hidden_RD.device)
    grad_weight_VD = torch.zeros(weight_VD.shape, device=weight_VD.device)
    grad_bias_V = torch.zeros(bias_V.shape, device=bias_V.device)
    for columns, bias_PC in column_slices(bias_V.float(), tiling):
        weight_CD = weight_VD[columns]
        for start in range(0, len(hidden_RD), tiling.rows):
            rows = slice(start, start + tiling.rows)
            delta_RC = _delta(tiling, hidden_RD[rows], weight_CD, bias_PC, log_z_R[rows], targets_R[rows] - columns.start)
            grad_hidden_RD[rows] += delta_RC @ weight_CD
            grad_weight_VD[columns] += delta_RC.t() @ scaled_RD[rows]
            grad_bias_V[columns] += delta_RC.sum(dim=0, dtype=torch.float32)
    return grad_hidden_RD * scale, grad_weight_VD, grad_bias_V * scale


def _delta(
    tiling: Tiling, hidden_RD: Tensor, weight_CD: Tensor, bias_PC: Tensor, log_z_R: Tensor, column_R: Tensor
) -> Tensor:
    """Returns softmax - onehot [R, C] of one tile; `column_R` is the target's column, outside [0, C) in other tiles."""
    num_rows, width = len(hidden_RD), len(weight_CD)
    tile_RC = hidden_RD.new_zeros(max(2, num_rows), tiling.columns)
    torch.mm(hidden_RD, weight_CD.t(), out=tile_RC[:num_rows, :width])
    padded_log_z_R = log_z_R if num_rows > 1 else log_z_R.expand(2)
    delta_RC = tiling.run(tile_RC, bias_PC, padded_log_z_R)[:num_rows, :width]
    inside_R = (column_R >= 0) & (column_R < width)
    onehot_R1 = inside_R.to(delta_RC.dtype)[:, None]
    return delta_RC.scatter_add(1, column_R.clamp(0, width - 1)[:, None], -onehot_R1)


def _probabilities(tile_RC: Tensor, bias_PC: Tensor, log_z_R: Tensor) -> Tensor:
    """Returns softmax of one tile of logits, in the tile's dtype."""
    return (tile_RC.float() + bias_PC[0] - log_z_R[:, None]).exp().to(tile_RC.dtype)


def _probabilities_on_cpu(tile_RC: Tensor, bias_PC: Tensor, log_z_R: Tensor) -> Tensor:
    parts = bfloat16_halves(tile_RC) if len(bias_PC) == 2 else [tile_RC.float()]
    shifted = [part_RC + bias_C - log_z_R[:, None] for part_RC, bias_C in zip(parts, bias_PC, strict=True)]
    shares = [exp_inline(part_RC.clamp(SMALLEST_EXPONENT, 0.0)) for part_RC in shifted]
    return bfloat16_pairs(*shares) if len(shares) == 2 else shares[0].to(tile_RC.dtype)


PROBABILITIES = Kernel(_probabilities, _probabilities_on_cpu, num_row_values=1)
