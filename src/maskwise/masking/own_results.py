"""What a function of one's own returned, checked before it is used: one message for each way to go wrong.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskwise.errors import InputError
from maskwise.masking.rows import sync_stalls
from maskwise.masking.units import Units

LARGEST_SCORE = 1e34  # sums over the pieces of a word stay finite in float32


def checked_scores(found: Any, name: str, eligible_BT: Tensor, example_ids_B: Tensor) -> Tensor:
    """Returns the scores [B, T] that a score gave, as float32 without gradient; -inf is never and +inf always.

    Raises InputError for anything but a dense tensor of real numbers [B, T] on the batch's device, and for scores that
    are not a number at a token that may be masked, with the row and its example.
    """
    who = f"The score {name!r}"
    scores_BT = _checked_tensor(found, who, eligible_BT)
    if scores_BT.is_complex():
        raise InputError(f"{who} returned complex numbers; a score is one real number a token.")
    scores_BT = scores_BT.detach()
    scores_BT = scores_BT if scores_BT.dtype == torch.float64 else scores_BT.float()
    if _are_ordinary(scores_BT):
        return scores_BT.float()
    _check_numbers(scores_BT, who, eligible_BT, example_ids_B)
    return torch.where(torch.isinf(scores_BT), scores_BT, scores_BT.clamp(-LARGEST_SCORE, LARGEST_SCORE)).float()


def checked_units(found: Any, name: str, eligible_BT: Tensor) -> Units | Tensor:
    """Returns what a unit function gave: group ids [B, T] of whole numbers, or `Units` of such ids.

    Raises InputError for anything else.
    """
    who = f"The unit {name!r}"
    if isinstance(found, Units):
        return Units(*(_checked_ids(ids_BT, who, eligible_BT) for ids_BT in found))
    return _checked_ids(found, who, eligible_BT)


def _checked_ids(found: Any, who: str, eligible_BT: Tensor) -> Tensor:
    ids_BT = _checked_tensor(found, who, eligible_BT)
    if ids_BT.is_floating_point() or ids_BT.is_complex() or ids_BT.dtype == torch.bool:
        raise InputError(f"{who} returned {ids_BT.dtype}; group ids are whole numbers, -1 for a token alone.")
    return ids_BT.to(torch.int64)


def _checked_tensor(found: Any, who: str, eligible_BT: Tensor) -> Tensor:
    """A dense tensor of the batch's shape on its device."""
    if not isinstance(found, Tensor):
        what = f"the class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"
        problem = "nothing (None)" if found is None else what
    elif found.layout != torch.strided or found.is_meta != eligible_BT.is_meta or found.is_nested or found.is_quantized:
        layout = "meta" if found.is_meta else "nested" if found.is_nested else str(found.layout).removeprefix("torch.")
        problem = f"a tensor without plain values ({layout})"
    elif found.shape != eligible_BT.shape:
        problem = f"shape {tuple(found.shape)}"
    elif found.device != eligible_BT.device:
        problem = f"a tensor on {found.device}"
    else:
        return found
    raise InputError(
        f"{who.split(maxsplit=2)[1].capitalize()}s return a dense tensor on {eligible_BT.device} with one number a "
        f"token, shape {tuple(eligible_BT.shape)}; {who} returned {problem}. "
        "For instance: torch.ones(batch['input_ids'].shape, device=batch['input_ids'].device)."
    )


def _are_ordinary(scores_BT: Tensor) -> bool:
    """Whether no score is nan, infinite or huge: one look on a CPU, while on a GPU it would be a wait."""
    if sync_stalls(scores_BT.device) or scores_BT.numel() == 0:
        return False
    lowest, highest = scores_BT.aminmax()
    return bool(lowest >= -LARGEST_SCORE) and bool(highest <= LARGEST_SCORE)  # False for nan


def _check_numbers(scores_BT: Tensor, who: str, eligible_BT: Tensor, example_ids_B: Tensor) -> None:
    bad_B = (torch.isnan(scores_BT) & eligible_BT).any(dim=-1)
    if sync_stalls(bad_B.device) and bad_B.device.type != "mps":  # which has no check that the host need not wait for
        torch._assert_async(~bad_B.any(), "a score is not a number")
    elif bad_B.any():
        row = int(bad_B.nonzero()[0])
        raise InputError(
            f"{who} gave nan in row {row} of the batch (example {int(example_ids_B[row])}). A score is a number at "
            "every token that may be masked: -inf never masks it, and inf always."
        )
