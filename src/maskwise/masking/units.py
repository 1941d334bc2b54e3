"""Which tokens are masked together, as group ids over positions.

Shapes: B sequences, T positions. A unit's id is the position of its first token, and -1 marks tokens that may not be
masked; so an array over units is an array over positions, and noise drawn per position is noise per unit.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MAX_WORD_PIECES = 16
MAX_SPAN_WORDS = 10
SPAN_STOP_PROBABILITY = 0.2


class Units(NamedTuple):
    """How a batch divides into units.

    `atoms_BT`: what is never split (a token, a word). `groups_BT`: what is chosen together (a token, a word, a span);
    every group is a run of whole atoms. Where the budget ends inside a group, the group is shortened by whole atoms.
    """

    atoms_BT: Tensor
    groups_BT: Tensor


def token_units(eligible_BT: Tensor) -> Units:
    """Returns every eligible token as a unit of its own.

    >>> token_units(torch.tensor([[False, True, True]])).atoms_BT.tolist()
    [[-1, 1, 2]]
    """
    ids_BT = torch.where(eligible_BT, _positions(eligible_BT), -1)
    return Units(ids_BT, ids_BT)


def word_units(word_ids_BT: Tensor, eligible_BT: Tensor, max_pieces: int = MAX_WORD_PIECES) -> Units:
    """Returns words as units, from the tokenizer's word ids (-1 where a token belongs to no word).

    A word of more than `max_pieces` pieces falls back to its pieces: byte-level tokenizers see a whole Chinese
    sentence as one "word". A word ends at a token that may not be masked.

    >>> word_units(torch.tensor([[-1, 0, 0, 1]]), torch.tensor([[False, True, True, True]])).atoms_BT.tolist()
    [[-1, 1, 1, 3]]
    """
    positions_BT = _positions(word_ids_BT)
    starts_BT = _changes(word_ids_BT) | _changes(eligible_BT) | (word_ids_BT < 0)
    ids_BT = torch.where(starts_BT, positions_BT, 0).cummax(dim=-1).values
    pieces_BT = sum_by_unit(torch.ones_like(ids_BT), ids_BT).gather(-1, ids_BT)
    ids_BT = torch.where(pieces_BT > max_pieces, positions_BT, ids_BT)
    ids_BT = torch.where(eligible_BT, ids_BT, -1)
    return Units(ids_BT, ids_BT)


def span_units(words: Units, length_noise_BT: Tensor) -> Units:
    """Returns the row cut into spans of whole words, their lengths truncated-geometric (SpanBERT: p = 0.2, 1-10 words).

    `length_noise_BT`: uniform noise whose j-th column decides the length of a row's j-th span. A span ends at any
    token that may not be masked, so it never reaches across [SEP] into another document.
    """
    atoms_BT = words.atoms_BT
    first_BT = (atoms_BT == _positions(atoms_BT)) & (atoms_BT >= 0)
    word_number_BT = (first_BT.cumsum(dim=-1) - 1).clamp_min(0)
    span_ends_BT = span_lengths(length_noise_BT).cumsum(dim=-1)
    span_number_BT = torch.searchsorted(span_ends_BT, word_number_BT.contiguous(), right=True)
    starts_BT = _changes(span_number_BT) | _changes((atoms_BT < 0).to(torch.int64))
    groups_BT = torch.where(starts_BT, _positions(atoms_BT), 0).cummax(dim=-1).values
    return Units(atoms_BT, torch.where(atoms_BT >= 0, groups_BT, -1))


def span_lengths(noise: Tensor, stop: float = SPAN_STOP_PROBABILITY, longest: int = MAX_SPAN_WORDS) -> Tensor:
    """Returns lengths 1..`longest` from uniform noise: geometric, truncated and renormalised (mean 3.797 words).

    >>> span_lengths(torch.tensor([0.0, 0.23, 0.999])).tolist()
    [1, 2, 10]
    """
    weights = stop * (1 - stop) ** torch.arange(longest, dtype=torch.float64, device=noise.device)
    upper_bounds = (weights / weights.sum()).cumsum(0).to(noise.dtype)
    return torch.searchsorted(upper_bounds, noise.contiguous(), right=True).clamp_max(longest - 1) + 1


def sum_by_unit(values_BT: Tensor, ids_BT: Tensor) -> Tensor:
    """Returns each unit's sum of `values_BT`, at the position of the unit's first token; 0 at all other positions."""
    values_BT = torch.where(ids_BT >= 0, values_BT, torch.zeros_like(values_BT))
    return torch.zeros_like(values_BT).scatter_add(-1, ids_BT.clamp_min(0), values_BT)


def _positions(like_BT: Tensor) -> Tensor:
    return torch.arange(like_BT.shape[-1], device=like_BT.device).expand(like_BT.shape)


def _changes(values_BT: Tensor) -> Tensor:
    """True where a value differs from the one before it, and at the start of a row."""
    changed_BT = torch.ones_like(values_BT, dtype=torch.bool)
    changed_BT[..., 1:] = values_BT[..., 1:] != values_BT[..., :-1]
    return changed_BT
