"""What a model made of labelled rows, beyond their loss: for scores that learn from it.

Shapes: B sequences, T positions, R labelled rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maskwise.errors import InputError, nearest
from maskwise.masking.rows import PAD_INDEX, Rows
from maskwise.masking.score import Labelled

NOTES = ("nll", "correct", "entropy")
MASKED, REPLACED, KEPT = 0, 1, 2


class RowNotes(NamedTuple):
    """Figures of labelled rows, without gradient; those that nobody asked for are None.

    `nll_R` and `entropy_R` are float32, in nats. `is_correct_R` is 1 if no other logit is greater than the target's, a
    half if others are equal to it, else 0. At rows whose target is IGNORE all are of no meaning.
    """

    nll_R: Tensor | None = None
    is_correct_R: Tensor | None = None
    entropy_R: Tensor | None = None


def check_feedback(feedback: Collection[str], who: str) -> None:
    """Raises InputError for feedback that there is not."""
    for name in feedback:
        if name not in NOTES:
            raise InputError(f"{who} asks for feedback {name!r}. Known: {', '.join(NOTES)}.{nearest(name, NOTES)}")


def correctness(gold_R: Tensor, max_R: Tensor, num_max_R: Tensor) -> Tensor:
    """Returns 1, 0, or a half for a tie, float32 [R], from the target's logit and the greatest, and how many have it.

    >>> correctness(torch.tensor([1.0, 2.0, 2.0]), torch.tensor([2.0, 2.0, 2.0]), torch.tensor([1, 1, 2])).tolist()
    [0.0, 1.0, 0.5]
    """
    right_R = torch.where(num_max_R > 1, 0.5, 1.0)
    return torch.where(gold_R >= max_R, right_R, torch.zeros_like(right_R))


@torch.no_grad()
def dense_notes(logits_RV: Tensor, targets_R: Tensor, feedback: Collection[str]) -> RowNotes:
    """Returns what `feedback` asks for from logits.

    Args:
        logits_RV: The rows' logits.
        targets_R: Their targets; IGNORE at rows that fill up a number known beforehand.
        feedback: Of "nll", "correct" and "entropy".

    >>> notes = dense_notes(torch.zeros(1, 8), torch.tensor([3]), {"nll", "correct", "entropy"})
    >>> [round(value.item(), 4) for value in notes]
    [2.0794, 0.5, 2.0794]
    """
    logits_RV = logits_RV.detach().float()
    gold_R = logits_RV.gather(-1, targets_R.clamp_min(0)[:, None])[:, 0]
    max_R = logits_RV.amax(-1)
    nll_R = is_correct_R = entropy_R = None
    if "nll" in feedback:
        nll_R = logits_RV.logsumexp(-1) - gold_R
    if "correct" in feedback:
        is_correct_R = correctness(gold_R, max_R, (logits_RV == max_R[:, None]).sum(-1))
    if "entropy" in feedback:
        log_shares_RV = logits_RV.log_softmax(-1)
        entropy_R = -torch.where(log_shares_RV > -torch.inf, log_shares_RV.exp() * log_shares_RV, 0).sum(-1)
    return RowNotes(nll_R, is_correct_R, entropy_R)


def labelled_rows(
    batch: Mapping[str, Any], corrupted_ids_BT: Tensor, rows: Rows, notes: RowNotes, mask_token_id: int
) -> Labelled:
    """Returns the labelled rows of a micro-batch with the notes on them, as `StatefulScore.learn` takes them.

    Args:
        batch: The batch as `Masker.prepare` made it, before it was masked.
        corrupted_ids_BT: What the model read.
        rows: Which places were labelled, in the order of the notes.
        notes: What the loss noted.
        mask_token_id: The id of [MASK].
    """
    index_R, length = rows.safe_index_R, rows.shape[1]
    token_id_R, shown_R = (ids_BT.flatten()[index_R] for ids_BT in (batch["input_ids"], corrupted_ids_BT))
    is_masked_R, is_kept_R = shown_R == mask_token_id, shown_R == token_id_R
    row_R = index_R.div(length, rounding_mode="floor")
    return Labelled(
        token_id_R=token_id_R,
        row_R=row_R,
        position_R=index_R % length,
        example_id_R=batch["example_id"][row_R],
        fate_R=torch.where(is_masked_R, MASKED, torch.where(is_kept_R, KEPT, REPLACED)),
        counted_R=rows.index_R != PAD_INDEX,
        nll_R=notes.nll_R,
        is_correct_R=notes.is_correct_R,
        entropy_R=notes.entropy_R,
    )
