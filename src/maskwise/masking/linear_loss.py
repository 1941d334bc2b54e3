"""Masked-LM loss straight from hidden rows, with its gradient: the logits exist for a chunk of rows at a time.

Shapes: R labelled rows, V vocabulary, D width, C columns of one tile (V rounded up), P interleaved parts (`tiles`).

The gradient by the logits is softmax(z) - onehot, which is known as soon as z is: so the forward pass makes the
gradients too, and each chunk of logits is written once, in the dtype of the product, and read while it is in the cache.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from maskwise.masking.corrupt import IGNORE
from maskwise.masking.losses import token_count
from maskwise.masking.row_notes import RowNotes, check_feedback, correctness
from maskwise.masking.tiles import (
    SMALLEST_EXPONENT,
    Kernel,
    Tiling,
    bfloat16_halves,
    bfloat16_pairs,
    column_slices,
    exp_inline,
)

COLUMN_MULTIPLE = 64


def linear_mlm_loss(
    hidden_RD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets_R: Tensor,
    num_labelled: Tensor | int | None = None,
    *,
    label_smoothing: float = 0.0,
    compiled: bool = True,
) -> Tensor:
    """Returns `mlm_loss(hidden @ weight.T + bias, targets, num_labelled, label_smoothing)` without keeping any logits.

    The products are taken in the dtype autocast asks for, or else in that of `hidden_RD`; sums are float32. Equal to
    `mlm_loss` with its gradients to 2e-5 in float32, rows whose target is IGNORE counting for nothing. Zero rows give a
    zero that still has a gradient. `compiled` fuses the softmax by `torch.compile`, and falls back to the plain one
    where there is no compiler.

    >>> hidden_RD, weight_VD = torch.eye(2, 4, requires_grad=True), torch.zeros(8, 4)
    >>> loss = linear_mlm_loss(hidden_RD, weight_VD, None, torch.tensor([3, 5]), compiled=False)
    >>> loss.allclose(torch.tensor(8.0).log())
    True
    """
    return _mean_loss(hidden_RD, weight_VD, bias_V, targets_R, num_labelled, label_smoothing, compiled, None)


def noted_linear_mlm_loss(
    hidden_RD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets_R: Tensor,
    num_labelled: Tensor | int | None = None,
    *,
    feedback: Collection[str],
    label_smoothing: float = 0.0,
    compiled: bool = True,
) -> tuple[Tensor, RowNotes]:
    """Returns the loss of `linear_mlm_loss`, and what it noted of each row on the way.

    Args:
        hidden_RD: The rows in front of the decoder.
        weight_VD: The decoder's weight.
        bias_V: Its bias.
        targets_R: The targets.
        num_labelled: What the sum is divided by; default: the rows that count.
        feedback: Of "nll" (free: the loss has it), "correct" and "entropy" (a kernel of their own, which takes about a
            hundredth of the loss's time more).
        label_smoothing: As in `linear_mlm_loss`; the notes are without it.
        compiled: As in `linear_mlm_loss`.

    Raises:
        InputError: For feedback that there is not.

    >>> hidden_RD, weight_VD = torch.eye(2, 4), torch.zeros(8, 4)
    >>> _, notes = noted_linear_mlm_loss(
    ...     hidden_RD, weight_VD, None, torch.tensor([3, 5]), feedback={"entropy"}, compiled=False
    ... )
    >>> notes.entropy_R.allclose(torch.tensor(8.0).log()), notes.nll_R
    (True, None)
    """
    check_feedback(feedback, "noted_linear_mlm_loss")
    notes = _Notes(frozenset(feedback))
    loss = _mean_loss(hidden_RD, weight_VD, bias_V, targets_R, num_labelled, label_smoothing, compiled, notes)
    return loss, notes.joined()


def _mean_loss(
    hidden_RD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets_R: Tensor,
    num_labelled: Tensor | int | None,
    label_smoothing: float,
    compiled: bool,
    notes: _Notes | None,
) -> Tensor:
    device = hidden_RD.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_RD.dtype
    bias_V = weight_VD.new_zeros(weight_VD.shape[0]) if bias_V is None else bias_V
    total = _LinearLoss.apply(hidden_RD, weight_VD, bias_V, targets_R, dtype, compiled, notes)
    if label_smoothing:
        total = total + label_smoothing * _target_advantage(hidden_RD, weight_VD, bias_V, targets_R)
    return total / token_count(targets_R != IGNORE, num_labelled)


def _target_advantage(hidden_RD: Tensor, weight_VD: Tensor, bias_V: Tensor, targets_R: Tensor) -> Tensor:
    """Returns by how much the target's logit is above the mean logit, summed over rows: what smoothing adds.

    (1 - e) (log Z - z_target) + e (log Z - mean z) = log Z - z_target + e (z_target - mean z); logits are linear in the
    decoder's rows, so the mean logit is that of the mean row.
    """
    counted_R, targets_R = targets_R != IGNORE, targets_R.clamp_min(0)
    ahead_RD = weight_VD[targets_R].float() - weight_VD.float().mean(0)
    ahead_R = (hidden_RD.float() * ahead_RD).sum(-1) + bias_V[targets_R].float() - bias_V.float().mean()
    return ahead_R.where(counted_R, 0.0).sum()


class _Notes:
    """Collects the notes on chunks of rows."""

    def __init__(self, feedback: frozenset[str]) -> None:
        self.feedback, self._chunks = feedback, list[RowNotes]()

    @property
    def needs_kernel(self) -> bool:
        """Whether more is asked for than the loss has anyway."""
        return bool(self.feedback - {"nll"})

    def add(self, nll_R: Tensor, gold_R: Tensor | None, row_values: tuple[Tensor, ...]) -> None:
        """Adds a chunk: `gold_R` is the target's logit in the tile, `row_values` those of the noting kernel."""
        correct_R = entropy_R = None
        if gold_R is not None:
            max_R, num_max_R, entropy_R = row_values
            correct_R = correctness(gold_R, max_R, num_max_R)
        wanted = (("nll", nll_R), ("correct", correct_R), ("entropy", entropy_R))
        self._chunks.append(RowNotes(*(value_R if name in self.feedback else None for name, value_R in wanted)))

    def joined(self) -> RowNotes:
        """Returns the notes on all rows."""
        columns = zip(*self._chunks, strict=True)
        return RowNotes(*(None if parts[0] is None else torch.cat(parts) for parts in columns))


class _LinearLoss(torch.autograd.Function):
    """The sum of -log softmax(hidden @ weight.T + bias) at the targets."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_RD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor,
        targets_R: Tensor,
        dtype: Any,
        compiled: bool,
        notes: _Notes | None,
    ) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        cast_RD, cast_VD = hidden_RD.to(dtype), weight_VD.to(dtype)
        loss, gradients = _loss_and_gradients(cast_RD, cast_VD, bias_V.float(), targets_R, wanted, compiled, notes)
        ctx.gradients, ctx.dtypes = gradients, (hidden_RD.dtype, weight_VD.dtype, bias_V.dtype)
        return loss

    @staticmethod
    def backward(ctx: Any, *scale: Any) -> Any:
        # Scaled in place and let go of, so that autograd takes them over: each copy of the weight's gradient is felt.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("linear_mlm_loss made its gradients in the forward pass; backward runs once.")
        return *(g.mul_(scale[0]).to(dtype) for g, dtype in zip(gradients, ctx.dtypes, strict=True)), *[None] * 4


def _loss_and_gradients(
    hidden_RD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor,
    targets_R: Tensor,
    wanted: bool,
    compiled: bool,
    notes: _Notes | None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Returns the summed loss and, if wanted, its gradients by hidden, weight and bias, all float32."""
    num_vocab = len(weight_VD)
    columns = -(-num_vocab // COLUMN_MULTIPLE) * COLUMN_MULTIPLE
    is_noting = notes is not None and notes.needs_kernel
    kernel = NOTING_SOFTMAX if is_noting else SOFTMAX
    tiling = Tiling.of(kernel, hidden_RD, num_vocab, vocab_chunk=columns, compiled=compiled)
    ((_, bias_PC),) = column_slices(bias_V, tiling)
    counted_R1 = (targets_R != IGNORE).to(hidden_RD.dtype)[:, None]
    targets_R = targets_R.clamp_min(0)
    loss, gradients = torch.zeros((), device=hidden_RD.device), None
    for start in range(0, max(len(hidden_RD), 1), tiling.rows):
        rows = slice(start, start + tiling.rows)
        tile_RC = _logits(tiling, hidden_RD[rows], weight_VD)
        in_tile_R = _gold_in_tile(tile_RC, bias_V, targets_R[rows]) if is_noting else None
        log_z_R, *row_values = _per_row(tiling.run(tile_RC, bias_PC), len(targets_R[rows]))
        tile_RC = tile_RC[: len(log_z_R)]
        gold_R = (hidden_RD[rows].float() * weight_VD[targets_R[rows]].float()).sum(-1) + bias_V[targets_R[rows]]
        loss += ((log_z_R - gold_R) * counted_R1[rows, 0]).sum()
        if notes is not None:
            notes.add(log_z_R - gold_R, in_tile_R, tuple(row_values))
        if wanted:
            tile_RC[torch.arange(len(tile_RC), device=tile_RC.device), targets_R[rows]] -= 1
            chunk = _chunk_gradients(tile_RC[:, :num_vocab], hidden_RD[rows], weight_VD, counted_R1[rows])
            gradients = chunk if gradients is None else _joined(gradients, chunk)
    return loss, gradients or ()


def _chunk_gradients(
    delta_RV: Tensor, hidden_RD: Tensor, weight_VD: Tensor, counted_R1: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The rows that do not count are taken out of the narrow factors; a pass over the tile would cost more."""
    # As a product the bias is summed in float32 without a float32 copy of the tile.
    summed_V = (counted_R1.t() @ delta_RV)[0]
    by_hidden_RD = (delta_RV @ weight_VD).float() * counted_R1
    return by_hidden_RD, (delta_RV.t() @ (hidden_RD * counted_R1)).float(), summed_V.float()


def _joined(total: tuple[Tensor, ...], chunk: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Rows behind rows; the gradients by weight and bias add up."""
    return torch.cat([total[0], chunk[0]]), total[1].add_(chunk[1]), total[2].add_(chunk[2])


def _logits(tiling: Tiling, hidden_RD: Tensor, weight_VD: Tensor) -> Tensor:
    """Returns a tile [R, C] of products, 0 in columns beyond the vocabulary.

    torch.compile takes a size of one for a constant: a row alone is worked on as two, the second one spare.
    """
    num_rows, num_vocab = len(hidden_RD), len(weight_VD)
    logits_RC = hidden_RD.new_empty(max(2, num_rows), tiling.columns)
    logits_RC[:, num_vocab:] = 0
    logits_RC[num_rows:] = 0
    torch.mm(hidden_RD, weight_VD.t(), out=logits_RC[:num_rows, :num_vocab])
    return logits_RC


def _per_row(values: Tensor | tuple[Tensor, ...], num_rows: int) -> tuple[Tensor, ...]:
    """Returns what a kernel made of each row, without the spare one."""
    return tuple(value_R[:num_rows] for value_R in (values if isinstance(values, tuple) else (values,)))


def _gold_in_tile(logits_RC: Tensor, bias_V: Tensor, targets_R: Tensor) -> Tensor:
    """Returns the targets' logits as the tile has them.

    Only those can be held against the tile's maximum: the float32 product differs from it by the tile's rounding.
    """
    return logits_RC[: len(targets_R)].gather(-1, targets_R[:, None])[:, 0].float() + bias_V[targets_R]


def _softmax_plain(logits_RC: Tensor, bias_PC: Tensor) -> Tensor:
    """Turns a tile of logits into its softmax, in place, and returns log Z."""
    biased_RC = logits_RC.float() + bias_PC[0]
    log_z_R = biased_RC.logsumexp(dim=-1)
    logits_RC.copy_((biased_RC - log_z_R[:, None]).exp())
    return log_z_R


def _softmax_on_cpu(logits_RC: Tensor, bias_PC: Tensor) -> Tensor:
    """Does what `_softmax_plain` does in three passes over one row at a time: the maximum, the sum, the shares."""
    halves = bfloat16_halves(logits_RC) if len(bias_PC) == 2 else [logits_RC.float()]
    parts = [part_RC + bias_C for part_RC, bias_C in zip(halves, bias_PC, strict=True)]
    max_R = torch.stack([part_RC.amax(-1) for part_RC in parts]).amax(0)
    sum_R = sum(exp_inline((part_RC - max_R[:, None]).clamp(min=SMALLEST_EXPONENT)).sum(-1) for part_RC in parts)
    log_z_R = max_R + torch.as_tensor(sum_R).log()
    shares = [exp_inline((part_RC - log_z_R[:, None]).clamp(SMALLEST_EXPONENT, 0.0)) for part_RC in parts]
    logits_RC.copy_(bfloat16_pairs(*shares) if len(shares) == 2 else shares[0])
    return log_z_R


def _noting_plain(logits_RC: Tensor, bias_PC: Tensor) -> tuple[Tensor, ...]:
    """Does what `_softmax_plain` does; returns log Z, the maximum, how many columns have it, and the entropy."""
    biased_RC = logits_RC.float() + bias_PC[0]
    max_R = biased_RC.amax(-1)
    shifted_RC = (biased_RC - max_R[:, None]).clamp(min=SMALLEST_EXPONENT)
    shares_RC = shifted_RC.exp()
    sum_R, moment_R = shares_RC.sum(-1), (shares_RC * shifted_RC).sum(-1)
    num_max_R = (biased_RC == max_R[:, None]).sum(-1)
    logits_RC.copy_(shares_RC / sum_R[:, None])
    return max_R + sum_R.log(), max_R, num_max_R, _entropy(sum_R, moment_R)


def _noting_on_cpu(logits_RC: Tensor, bias_PC: Tensor) -> tuple[Tensor, ...]:
    """Does what `_softmax_on_cpu` does, with two more sums in its second pass."""
    halves = bfloat16_halves(logits_RC) if len(bias_PC) == 2 else [logits_RC.float()]
    parts = [part_RC + bias_C for part_RC, bias_C in zip(halves, bias_PC, strict=True)]
    max_R = torch.stack([part_RC.amax(-1) for part_RC in parts]).amax(0)
    shifted = [(part_RC - max_R[:, None]).clamp(min=SMALLEST_EXPONENT) for part_RC in parts]
    sum_R = torch.as_tensor(sum(exp_inline(part_RC).sum(-1) for part_RC in shifted))
    moment_R = torch.as_tensor(sum((exp_inline(part_RC) * part_RC).sum(-1) for part_RC in shifted))
    num_max_R = torch.as_tensor(sum((part_RC == max_R[:, None]).sum(-1) for part_RC in parts))
    log_z_R = max_R + sum_R.log()
    shares = [exp_inline((part_RC - log_z_R[:, None]).clamp(SMALLEST_EXPONENT, 0.0)) for part_RC in parts]
    logits_RC.copy_(bfloat16_pairs(*shares) if len(shares) == 2 else shares[0])
    return log_z_R, max_R, num_max_R, _entropy(sum_R, moment_R)


def _entropy(sum_R: Tensor, moment_R: Tensor) -> Tensor:
    """H = log S - M / S (`maskwise.masking.entropy`), at least 0 whatever the rounding."""
    return (sum_R.log() - moment_R / sum_R).clamp_min(0)


SOFTMAX = Kernel(_softmax_plain, _softmax_on_cpu, num_row_values=0, rows_on_cpu=1024)
NOTING_SOFTMAX = Kernel(_noting_plain, _noting_on_cpu, num_row_values=0, rows_on_cpu=1024)
