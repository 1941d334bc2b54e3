"""Which tokens are masked together, as group ids over positions.

Shapes: B sequences, T positions. A unit's id is the position of its first token, and -1 marks tokens that may not be
masked; so an array over units is an array over positions, and noise drawn per position is noise per unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from maskwise.errors import InputError

MAX_WORD_PIECES = 16
MAX_SPAN_WORDS = 10
SPAN_STOP_PROBABILITY = 0.2
SPAN_LENGTHS = ("geometric", "uniform")
SPAN_ATOMS = ("word", "token")


class Units(NamedTuple):
    """How a batch divides into units.

    `atoms_BT`: what is never split (a token, a word). `groups_BT`: what is chosen together (a token, a word, a span);
    every group consists of whole atoms. If the budget ends inside a group, the group is shortened by whole atoms.
    """

    atoms_BT: Tensor
    groups_BT: Tensor


@dataclass(frozen=True)
class Spans:
    """Runs of atoms that are masked together: `Masker(unit=Spans(...))`; `unit="span"` has these defaults (SpanBERT).

    Args:
        lengths: `geometric` (truncated at `longest` and renormalised, ended after each atom with probability `p`) or
            `uniform` over 1 to `longest`.
        p: The probability of the geometric lengths; SpanBERT's 0.2 gives 3.8 words on average.
        longest: The number of atoms of the longest span.
        atom: What a span consists of: `word` or `token`.
        fate: Whether [MASK], random and unchanged are drawn once for a `span` (SpanBERT, GPT-BERT) or once for each
            `atom` in it.

    Raises:
        InputError: For an unknown name, a `p` outside (0, 1), or a `longest` below 1.

    >>> Spans(lengths="uniform", longest=3, atom="token").length_shares().tolist()
    [0.3333333333333333, 0.3333333333333333, 0.3333333333333333]
    """

    lengths: Literal["geometric", "uniform"] = "geometric"
    p: float = SPAN_STOP_PROBABILITY
    longest: int = MAX_SPAN_WORDS
    atom: Literal["word", "token"] = "word"
    fate: Literal["span", "atom"] = "span"

    def __post_init__(self) -> None:
        for what, found, known in (
            ("lengths", self.lengths, SPAN_LENGTHS),
            ("atom", self.atom, SPAN_ATOMS),
            ("fate", self.fate, ("span", "atom")),
        ):
            if found not in known:
                raise InputError(f"The {what} of spans is one of {', '.join(known)}; found {found!r}.")
        if not 0 < self.p < 1:
            raise InputError(f"The p of spans is a probability between 0 and 1; found {self.p}.")
        if not isinstance(self.longest, int) or self.longest < 1:
            raise InputError(f"The longest span has a whole number of {self.atom}s, at least 1; found {self.longest}.")

    def length_shares(self, device: torch.device | None = None) -> Tensor:
        """Returns the probabilities [longest] of the lengths 1, 2, ..., in float64."""
        places = torch.arange(self.longest, dtype=torch.float64, device=device)
        weights = self.p * (1 - self.p) ** places if self.lengths == "geometric" else torch.ones_like(places)
        return weights / weights.sum()


def token_units(eligible_BT: Tensor) -> Units:
    """Returns every eligible token as a unit of its own.

    >>> token_units(torch.tensor([[False, True, True]])).atoms_BT.tolist()
    [[-1, 1, 2]]
    """
    ids_BT = torch.where(eligible_BT, _positions(eligible_BT), -1)
    return Units(ids_BT, ids_BT)


def word_units(
    word_ids_BT: Tensor,
    eligible_BT: Tensor,
    max_pieces: int | None = MAX_WORD_PIECES,
    begins_BT: Tensor | None = None,
) -> Units:
    """Returns words as units, from the tokenizer's word ids (-1 where a token belongs to no word).

    A word of more than `max_pieces` pieces falls back to its pieces: byte-level tokenizers see a whole Chinese
    sentence as one "word". A word ends at a token that may not be masked, and before a token where `begins_BT` is True
    (`Vocabulary.begins_word_V`, for tokenizers whose word ids do not separate words).

    >>> word_units(torch.tensor([[-1, 0, 0, 1]]), torch.tensor([[False, True, True, True]])).atoms_BT.tolist()
    [[-1, 1, 1, 3]]
    """
    positions_BT = _positions(word_ids_BT)
    starts_BT = _changes(word_ids_BT) | _changes(eligible_BT) | (word_ids_BT < 0)
    starts_BT = starts_BT if begins_BT is None else starts_BT | begins_BT
    ids_BT = torch.where(starts_BT, positions_BT, 0).cummax(dim=-1).values
    if max_pieces is not None:
        pieces_BT = sum_by_unit(torch.ones_like(ids_BT), ids_BT).gather(-1, ids_BT)
        ids_BT = torch.where(pieces_BT > max_pieces, positions_BT, ids_BT)
    ids_BT = torch.where(eligible_BT, ids_BT, -1)
    return Units(ids_BT, ids_BT)


def span_units(atoms: Units, length_noise_BT: Tensor, spans: Spans = Spans()) -> Units:
    """Returns the row cut into spans of whole atoms; by default words, lengths as SpanBERT's (p = 0.2, 1-10 words).

    `length_noise_BT`: uniform noise whose j-th column decides the length of a row's j-th span. A span ends at any
    token that may not be masked, so it never reaches across [SEP] into another document.
    """
    atoms_BT = atoms.atoms_BT
    first_BT = (atoms_BT == _positions(atoms_BT)) & (atoms_BT >= 0)
    atom_number_BT = (first_BT.cumsum(dim=-1) - 1).clamp_min(0)
    span_ends_BT = span_lengths(length_noise_BT, spans).cumsum(dim=-1)
    span_number_BT = torch.searchsorted(span_ends_BT, atom_number_BT.contiguous(), right=True)
    starts_BT = _changes(span_number_BT) | _changes((atoms_BT < 0).to(torch.int64))
    groups_BT = torch.where(starts_BT, _positions(atoms_BT), 0).cummax(dim=-1).values
    return Units(atoms_BT, torch.where(atoms_BT >= 0, groups_BT, -1))


def span_lengths(noise: Tensor, spans: Spans = Spans()) -> Tensor:
    """Returns lengths 1..`spans.longest` from uniform noise; by default 3.797 words on average.

    >>> span_lengths(torch.tensor([0.0, 0.23, 0.999])).tolist()
    [1, 2, 10]
    """
    upper_bounds = spans.length_shares(noise.device).cumsum(0).to(noise.dtype)
    return torch.searchsorted(upper_bounds, noise.contiguous(), right=True).clamp_max(spans.longest - 1) + 1


def own_units(found: Units | Tensor, eligible_BT: Tensor) -> Units:
    """Returns units from group ids of your own: equal ids in a row are one group, contiguous or not; -1 is alone.

    `found`: ids [B, T], groups that are never split, or `Units` of such ids, groups that are shortened by atoms. An
    atom belongs to the group of its first token that may be masked.

    >>> mentions = torch.tensor([[7, 7, -1, 7, 2]])  # of two entities
    >>> own_units(mentions, torch.tensor([[True, True, True, True, False]])).groups_BT.tolist()
    [[0, 0, 2, 0, -1]]
    """
    if isinstance(found, Tensor):
        ids_BT = _by_first_token(found, eligible_BT)
        return Units(ids_BT, ids_BT)
    atoms_BT = _by_first_token(found.atoms_BT, eligible_BT)
    ids_BT = found.groups_BT.gather(-1, atoms_BT.clamp_min(0))
    groups_BT = torch.where(ids_BT >= 0, _by_first_token(ids_BT, eligible_BT), atoms_BT)
    return Units(atoms_BT, torch.where(eligible_BT, groups_BT, -1))


def _by_first_token(ids_BT: Tensor, eligible_BT: Tensor) -> Tensor:
    """From ids of any kind to the position of each group's first token that may be masked."""
    positions_BT = _positions(ids_BT)
    is_grouped_BT = eligible_BT & (ids_BT >= 0)
    sorted_BT, order_BT = torch.where(is_grouped_BT, ids_BT, -1).sort(dim=-1, stable=True)
    begins_BT = torch.where(_changes(sorted_BT), positions_BT, 0).cummax(dim=-1).values
    firsts_BT = torch.zeros_like(order_BT).scatter(-1, order_BT, order_BT.gather(-1, begins_BT))
    return torch.where(is_grouped_BT, firsts_BT, torch.where(eligible_BT, positions_BT, -1))


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
