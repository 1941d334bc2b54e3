"""Masked-LM and distillation losses over labelled rows.

Shapes: R labelled rows, V vocabulary. A loss is a sum over its rows divided by a count the caller gives, so that
micro-batches and ranks that share one count add up to the loss of the whole batch.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def mlm_loss(logits_RV: Tensor, targets_R: Tensor, num_labelled: Tensor | int | None = None) -> Tensor:
    """Returns the summed cross-entropy in nats over `num_labelled` (default: these rows).

    It is equation 2 of the entropy paper divided by a token count. Zero rows give a zero that still has a gradient.

    >>> import torch
    >>> mlm_loss(torch.zeros(2, 8), torch.tensor([1, 5])).item() == torch.tensor(8.0).log().item()
    True
    """
    count = token_count(logits_RV.shape[0], num_labelled)
    return F.cross_entropy(logits_RV.float(), targets_R, reduction="sum") / count


def distillation_loss(
    student_RV: Tensor, teacher_RV: Tensor, num_labelled: Tensor | int | None = None, temperature: float = 1.0
) -> Tensor:
    """Returns T^2 KL(teacher || student) in nats, summed over rows and divided by `num_labelled` (default: these rows).

    The factor T^2 keeps the gradient's size at any temperature (Hinton et al., 2015).

    >>> import torch
    >>> logits = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    >>> abs(distillation_loss(logits, logits).item()) < 1e-6
    True
    """
    count = token_count(student_RV.shape[0], num_labelled)
    log_student_RV = F.log_softmax(student_RV.float() / temperature, dim=-1)
    log_teacher_RV = F.log_softmax(teacher_RV.detach().float() / temperature, dim=-1)
    divergence = F.kl_div(log_student_RV, log_teacher_RV, reduction="sum", log_target=True)
    return temperature**2 * divergence / count


def token_count(num_rows: int, num_labelled: Tensor | int | None) -> Tensor | int:
    """Returns what a summed loss is divided by: the count given, else the rows at hand, and at least 1."""
    count = num_rows if num_labelled is None else num_labelled
    return count.clamp_min(1) if isinstance(count, Tensor) else max(count, 1)
