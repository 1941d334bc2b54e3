"""Masked-LM and distillation losses over labelled rows.

Shapes: R labelled rows, V vocabulary. A loss is a sum over its rows divided by a count the caller gives, so that
micro-batches and ranks that share one count add up to the loss of the whole batch. Rows whose target is IGNORE, which
fill up a number of rows known beforehand, count for nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwise.masking.corrupt import IGNORE


def mlm_loss(
    logits_RV: Tensor,
    targets_R: Tensor,
    num_labelled: Tensor | int | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Returns the summed cross-entropy in nats over `num_labelled` (default: these rows).

    It is equation 2 of the entropy paper divided by a token count. Zero rows give a zero that still has a gradient.

    Args:
        logits_RV: Logits of the labelled rows [R, V].
        targets_R: The ids to predict; -100 ignores a row.
        num_labelled: What the sum is divided by, such as the count of all micro-batches and processes.
        label_smoothing: The share of a target's probability that is spread evenly over V (Szegedy et al., 2016).

    Returns:
        The loss, a scalar.

    >>> import torch
    >>> mlm_loss(torch.zeros(2, 8), torch.tensor([1, 5])).item() == torch.tensor(8.0).log().item()
    True
    """
    summed = F.cross_entropy(
        logits_RV.float(), targets_R, reduction="sum", ignore_index=IGNORE, label_smoothing=label_smoothing
    )
    return summed / token_count(targets_R != IGNORE, num_labelled)


def distillation_loss(
    student_RV: Tensor,
    teacher_RV: Tensor,
    num_labelled: Tensor | int | None = None,
    temperature: float = 1.0,
    *,
    targets_R: Tensor | None = None,
) -> Tensor:
    """Returns T^2 KL(teacher || student) in nats, summed over rows and divided by `num_labelled` (default: these rows).

    The factor T^2 keeps the gradient's size at any temperature (Hinton et al., 2015).

    Args:
        student_RV: The student's logits of the labelled rows [R, V].
        teacher_RV: The teacher's.
        num_labelled: What the sum is divided by.
        temperature: T, which both logits are divided by.
        targets_R: Labels, of which -100 ignores a row. None: no row is ignored.

    Returns:
        The loss, a scalar.

    >>> import torch
    >>> logits = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    >>> abs(distillation_loss(logits, logits).item()) < 1e-6
    True
    """
    log_student_RV = F.log_softmax(student_RV.float() / temperature, dim=-1)
    log_teacher_RV = F.log_softmax(teacher_RV.detach().float() / temperature, dim=-1)
    divergence_R = F.kl_div(log_student_RV, log_teacher_RV, reduction="none", log_target=True).sum(-1)
    counted_R = torch.ones_like(divergence_R, dtype=torch.bool) if targets_R is None else targets_R != IGNORE
    divergence = torch.where(counted_R, divergence_R, 0).sum()
    return temperature**2 * divergence / token_count(counted_R, num_labelled)


def token_count(counted_R: Tensor, num_labelled: Tensor | int | None) -> Tensor | int:
    """Returns what a summed loss is divided by: the count given, else the rows that count, and at least 1."""
    count = counted_R.sum() if num_labelled is None else num_labelled
    return count.clamp_min(1) if isinstance(count, Tensor) else max(count, 1)
