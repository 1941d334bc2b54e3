"""Which units get the masking budget.

Shapes: B sequences, T positions. Arrays over units are arrays over positions: a unit lives at its first token
(`units.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from maskwise.errors import InputError, nearest
from maskwise.masking.units import Units, sum_by_unit

STRATEGIES = ("sample", "high", "low", "mid", "marginal")
_SMALLEST_WEIGHT = 1e-30
_SMALLEST_NOISE = 2.0**-25
_LARGEST_NOISE = 1 - 2.0**-24
_ALWAYS_KEY = 1e38
_NEAREST = 0.5


def pick(
    scores_BT: Tensor,
    units: Units,
    budget_B: Tensor,
    noise_BT: Tensor,
    strategy: str = "high",
    sharpness: float = 1.0,
    *,
    rounding_B2: Tensor | None = None,
) -> Tensor:
    """Returns True [B, T] at the picked tokens: about `budget_B` of them a row, never part of an atom.

    A group's score is the mean over its eligible tokens: -inf in any of them means never, else +inf in any means before
    all others, under every strategy. Groups are taken in rank order until the budget is met; a group that crosses it is
    shortened by whole atoms, and the atom that crosses it is the last one considered. `noise_BT` breaks ties. A row
    with a budget and a unit that may be masked gets at least one.

    - `high`, `low`: the highest or lowest scores.
    - `mid`: consecutive ranks centred on the median, from rank (n - k) // 2, the highest score having rank 0.
    - `marginal`: ceil(k/2) from the top, floor(k/2) from the bottom.
    - `sample`: without replacement, in proportion to score^sharpness (Gumbel top-k). A score of 0 is taken last.

    Without `rounding_B2` the crossing atom is taken if that brings the total nearer to the budget. With it (two uniform
    draws a row) the budget may be a fraction, and is met in expectation:

    - The crossing atom is taken with the share of it that the budget covers.
    - In a row of equal scores the budget is counted in units, since long units would otherwise be taken less often
      than short ones: of U groups in a row of n tokens, m = floor(U budget / n + u) are drawn at random, so each is
      taken with the same probability. If that budget is less than one group, it is counted in atoms instead, which
      shortens a span to whole words; if groups are atoms, one of them is taken.

    Source: entropy paper 2.3. Alternating is `high` or `low` by `noise.coin`.

    Args:
        scores_BT: How much each token is worth masking.
        units: What is masked together, and which tokens may be masked.
        budget_B: How many tokens of each row are masked.
        noise_BT: Uniform numbers that break ties, and that `sample` draws by.
        strategy: `high`, `low`, `mid`, `marginal` or `sample`.
        sharpness: The power of the scores in `sample`.
        rounding_B2: Two uniform numbers a row.

    Returns:
        True at the picked tokens, [B, T].

    Raises:
        InputError: For another strategy.

    >>> from maskwise.masking.units import token_units
    >>> units = token_units(torch.ones(1, 5, dtype=torch.bool))
    >>> scores, noise = torch.tensor([[0.3, 0.9, 0.1, 0.5, 0.7]]), torch.zeros(1, 5)
    >>> [pick(scores, units, torch.tensor([2]), noise, name).int().tolist()[0] for name in ("high", "low", "mid")]
    [[0, 1, 0, 0, 1], [1, 0, 1, 0, 0], [0, 0, 0, 1, 1]]
    """
    check_strategy(strategy)
    row = _Ranked.of(scores_BT, units, noise_BT, strategy, sharpness)
    rounding_B1 = None if rounding_B2 is None else rounding_B2[:, :1].double()
    taken_BT = _take(row, budget_B[:, None], strategy, rounding_B1)
    if rounding_B2 is not None:
        is_equal_B1 = _are_equal(scores_BT, units, strategy, sharpness)
        taken_BT = torch.where(is_equal_B1, _pick_equally(row, units, budget_B, rounding_B2.double()), taken_BT)
    return _spread(taken_BT, units)


class _Ranked(NamedTuple):
    """A row's atoms by rank: `order_BT` has their positions, those that may not be masked last, with size 0.

    `keys_BT`, `sizes_BT`, `is_always_BT` are over positions; `ties_BT` orders equal keys.
    """

    keys_BT: Tensor
    sizes_BT: Tensor
    is_always_BT: Tensor
    order_BT: Tensor
    ties_BT: Tensor | None

    @classmethod
    def of(cls, scores_BT: Tensor, units: Units, noise_BT: Tensor, strategy: str, sharpness: float) -> _Ranked:
        scores_BT, noise_BT = mean_by_group(scores_BT, units), _at_group(noise_BT, units)
        sizes_BT = sum_by_unit(torch.ones_like(units.atoms_BT), units.atoms_BT)
        sizes_BT = torch.where(scores_BT > -torch.inf, sizes_BT, 0)
        is_always_BT = scores_BT == torch.inf
        if strategy == "sample":
            keys_BT, ties_BT = _gumbel_keys(scores_BT, noise_BT, sharpness), None
            keys_BT = torch.where(is_always_BT, _ALWAYS_KEY * (1 + noise_BT), keys_BT)
        else:
            keys_BT = torch.where(is_always_BT, torch.inf, -scores_BT) if strategy == "low" else scores_BT
            ties_BT = noise_BT.argsort(dim=-1, stable=True)
        return cls(keys_BT, sizes_BT, is_always_BT, _descending(keys_BT, sizes_BT, ties_BT), ties_BT)

    def at(self, values_BT: Tensor) -> Tensor:
        """Returns values over positions in rank order."""
        return values_BT.gather(-1, self.order_BT)

    def back(self, taken_BT: Tensor) -> Tensor:
        """Returns truths in rank order over positions."""
        return torch.zeros_like(taken_BT).scatter(-1, self.order_BT, taken_BT)


def _take(row: _Ranked, budget_B1: Tensor, strategy: str, rounding_B1: Tensor | None) -> Tensor:
    """True at the atoms that a budget of tokens takes."""
    if strategy not in ("mid", "marginal"):
        return _fill(row, budget_B1, rounding_B1)
    always_B1 = torch.where(row.is_always_BT, row.sizes_BT, 0).sum(-1, keepdim=True)
    rest_B1 = (budget_B1 - always_B1).clamp_min(0)
    if strategy == "mid":
        skip_B1 = (row.sizes_BT.sum(-1, keepdim=True) - budget_B1).div(2, rounding_mode="floor").clamp_min(0)
        middle_BT = _fill(row, rest_B1, rounding_B1, always_B1 + skip_B1, is_forced_B1=always_B1 == 0)
        return middle_BT | (_fill(row, budget_B1, rounding_B1) & row.is_always_BT)
    half_B1 = rest_B1 // 2 if rounding_B1 is None else rest_B1 / 2
    top_BT = _fill(row, budget_B1 - half_B1, rounding_B1)
    sizes_BT = torch.where(top_BT | row.is_always_BT, 0, row.sizes_BT)
    others = row._replace(sizes_BT=sizes_BT, order_BT=_descending(-row.keys_BT, sizes_BT, row.ties_BT))
    mirrored_B1 = None if rounding_B1 is None else (_LARGEST_NOISE - rounding_B1).clamp_min(0)  # one of two half units
    return top_BT | _fill(others, half_B1, mirrored_B1, is_forced_B1=torch.zeros_like(half_B1, dtype=torch.bool))


def _fill(
    row: _Ranked,
    budget_B1: Tensor,
    rounding_B1: Tensor | None,
    skip_B1: Tensor | None = None,
    is_forced_B1: Tensor | None = None,
) -> Tensor:
    """True at the atoms that get the budget in rank order, after passing over `skip_B1` tokens.

    The first is taken whatever its size, unless `is_forced_B1` is False.
    """
    sizes_BT = row.at(row.sizes_BT)
    ends_BT = sizes_BT.cumsum(dim=-1)
    starts_BT = ends_BT - sizes_BT
    if skip_B1 is not None:
        starts_BT = starts_BT - torch.where(ends_BT > skip_B1, starts_BT, ends_BT[:, -1:]).amin(dim=-1, keepdim=True)
    # An atom of which the budget covers a share s is taken if s is above the draw: at 1/2, if that is nearer.
    is_within_BT = starts_BT + (_NEAREST if rounding_B1 is None else rounding_B1) * sizes_BT < budget_B1
    is_first_BT = (starts_BT == 0) & (budget_B1 > 0)
    is_first_BT = is_first_BT if is_forced_B1 is None else is_first_BT & is_forced_B1
    return row.back((sizes_BT > 0) & (starts_BT >= 0) & (is_within_BT | is_first_BT))


def _pick_equally(row: _Ranked, units: Units, budget_B: Tensor, rounding_B2: Tensor) -> Tensor:
    """True at the atoms of groups drawn at random, each with the same probability; the order is random already.

    A budget of b groups takes floor(b + u) of them, whole. In a row whose budget is less than one group it is counted
    in atoms: floor(b + u), at least one, that follow one another from a random place of the ranking, which is closed to
    a ring. So each atom has the same probability, and if groups are atoms, one of them is taken.
    """
    eligible_BT = units.groups_BT >= 0
    share_B1 = (budget_B.double() / eligible_BT.sum(-1).clamp_min(1))[:, None]
    atoms_BT, groups_BT = _is_first(units.atoms_BT), _is_first(units.groups_BT)
    by_group_B1 = share_B1 * groups_BT.sum(-1, keepdim=True)
    by_atom_B1 = share_B1 * atoms_BT.sum(-1, keepdim=True)
    may_BT = row.at(row.sizes_BT) > 0
    group_rank_BT = row.at(groups_BT.to(torch.int64)).cumsum(-1) - 1
    num_atoms_B1 = may_BT.sum(-1, keepdim=True).clamp_min(1)
    shift_B1 = (rounding_B2[:, 1:] * num_atoms_B1).floor().to(torch.int64)
    shift_B1 = torch.where(row.is_always_BT.any(-1, keepdim=True), 0, shift_B1)
    atom_rank_BT = (may_BT.cumsum(-1) - 1 - shift_B1) % num_atoms_B1
    has_group_B1 = by_group_B1 >= 1
    rank_BT = torch.where(has_group_B1, group_rank_BT, atom_rank_BT)
    unit_budget_B1 = torch.where(has_group_B1, by_group_B1, by_atom_B1)
    is_within_BT = (rank_BT + rounding_B2[:, :1] < unit_budget_B1) | ((rank_BT == 0) & (unit_budget_B1 > 0))
    return row.back(may_BT & is_within_BT)


def _are_equal(scores_BT: Tensor, units: Units, strategy: str, sharpness: float) -> Tensor:
    """True [B, 1] where a row's finite scores say nothing: all are equal, or weigh the same in a sample."""
    if strategy == "sample":
        scores_BT = scores_BT.clamp_min(0) if sharpness > 0 else torch.zeros_like(scores_BT)
    is_known_BT = torch.isfinite(scores_BT) & (units.groups_BT >= 0)
    highest_B1 = torch.where(is_known_BT, scores_BT, -torch.inf).amax(-1, keepdim=True)
    lowest_B1 = torch.where(is_known_BT, scores_BT, torch.inf).amin(-1, keepdim=True)
    return highest_B1 <= lowest_B1


def pick_independently(probabilities_BT: Tensor, units: Units, noise_BT: Tensor) -> Tensor:
    """Returns True [B, T] where a group's noise is below its mean probability: each group on its own (Bernoulli).

    -inf in any token of a group means never, else +inf in any means always. A row may get nothing.
    """
    chosen_BT = _at_group(noise_BT, units) < mean_by_group(probabilities_BT, units)
    return chosen_BT & (units.atoms_BT >= 0)


def proportional_probabilities(scores_BT: Tensor, units: Units, rate: float, sharpness: float = 1.0) -> Tensor:
    """Returns min(1, c score^sharpness) [B, T] with c such that a row's eligible tokens average `rate`.

    Rows without a positive score get `rate` everywhere. c is exact: with the k highest weights capped at 1,
    c = (rate n - k) / (sum of the others), for the smallest k that leaves no other above 1. A group with a score of
    -inf gets 0, one with +inf gets 1, and the others share what is left of the budget.

    >>> from maskwise.masking.units import token_units
    >>> units = token_units(torch.ones(1, 4, dtype=torch.bool))
    >>> proportional_probabilities(torch.tensor([[9.0, 1.0, 1.0, 0.0]]), units, 0.5).tolist()
    [[1.0, 0.5, 0.5, 0.0]]
    """
    eligible_BT = units.atoms_BT >= 0
    means_BT = mean_by_group(scores_BT, units).double()
    is_always_BT = (means_BT == torch.inf) & eligible_BT
    is_open_BT = torch.isfinite(means_BT) & eligible_BT
    weights_BT = torch.where(is_open_BT, means_BT, 0).clamp_min(0)
    highest_B1 = weights_BT.amax(-1, keepdim=True)
    weights_BT = torch.where(highest_B1 > 0, (weights_BT / highest_B1).pow(sharpness), 1.0) * is_open_BT
    sorted_BT = weights_BT.sort(dim=-1, descending=True).values
    others_BT = sorted_BT.flip(-1).cumsum(-1).flip(-1)
    budget_B1 = (rate * eligible_BT.sum(-1, keepdim=True) - is_always_BT.sum(-1, keepdim=True)).clamp_min(0)
    left_BT = budget_B1 - torch.arange(sorted_BT.shape[-1], device=sorted_BT.device)
    factors_BT = left_BT / others_BT.clamp_min(_SMALLEST_WEIGHT)
    num_capped_B1 = (factors_BT * sorted_BT <= 1).to(torch.int8).argmax(dim=-1, keepdim=True)
    shares_BT = (factors_BT.gather(-1, num_capped_B1) * weights_BT).clamp(0, 1)
    return torch.where(is_always_BT, 1.0, shares_BT).float()


def check_strategy(strategy: str) -> None:
    """Raises InputError, with the nearest name, unless `strategy` is one of STRATEGIES."""
    if strategy not in STRATEGIES:
        raise InputError(
            f"No pick strategy {strategy!r}; there are {', '.join(STRATEGIES)}.{nearest(str(strategy), STRATEGIES)}"
        )


def mean_by_group(values_BT: Tensor, units: Units) -> Tensor:
    """Returns, at every eligible token, the mean of `values_BT` over its group; 0 elsewhere.

    -inf in any token of a group makes it -inf, else +inf in any makes it +inf.
    """
    sums_BT = sum_by_unit(values_BT, units.groups_BT)
    counts_BT = sum_by_unit(torch.ones_like(values_BT), units.groups_BT)
    means_BT = sums_BT / counts_BT.clamp_min(1)
    return _at_group(torch.where(torch.isnan(means_BT), -torch.inf, means_BT), units)


def _is_first(ids_BT: Tensor) -> Tensor:
    return ids_BT == torch.arange(ids_BT.shape[-1], device=ids_BT.device)


def _at_group(unit_values_BT: Tensor, units: Units) -> Tensor:
    """Hands every eligible token the value at its group's first token; 0 elsewhere."""
    return torch.where(units.groups_BT >= 0, unit_values_BT.gather(-1, units.groups_BT.clamp_min(0)), 0)


def _gumbel_keys(scores_BT: Tensor, noise_BT: Tensor, sharpness: float) -> Tensor:
    """Ranking by these keys samples without replacement in proportion to score^sharpness (Kool et al., 2019)."""
    gumbel_BT = -torch.log(-torch.log(noise_BT.clamp_min(_SMALLEST_NOISE)))
    return sharpness * scores_BT.clamp_min(_SMALLEST_WEIGHT).log() + gumbel_BT


def _descending(keys_BT: Tensor, sizes_BT: Tensor, ties_BT: Tensor | None = None) -> Tensor:
    """Positions ordered by key, highest first, absent units last; equal keys keep the order `ties_BT`."""
    keys_BT = torch.where(sizes_BT > 0, keys_BT, -torch.inf)
    if ties_BT is None:
        return keys_BT.argsort(dim=-1, descending=True, stable=True)
    order_BT = keys_BT.gather(-1, ties_BT).argsort(dim=-1, descending=True, stable=True)
    return ties_BT.gather(-1, order_BT)


def _spread(taken_BT: Tensor, units: Units) -> Tensor:
    """From a unit's first token to all its tokens."""
    return taken_BT.gather(-1, units.atoms_BT.clamp_min(0)) & (units.atoms_BT >= 0)
