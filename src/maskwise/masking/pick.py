"""Which units get the masking budget.

Shapes: B sequences, T positions. Arrays over units are arrays over positions: a unit lives at its first token
(`units.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskwise.errors import InputError, nearest
from maskwise.masking.units import Units, sum_by_unit

STRATEGIES = ("sample", "high", "low", "mid", "marginal")
_SMALLEST_WEIGHT = 1e-30
_SMALLEST_NOISE = 2.0**-25


def pick(
    scores_BT: Tensor, units: Units, budget_B: Tensor, noise_BT: Tensor, strategy: str = "high", sharpness: float = 1.0
) -> Tensor:
    """Returns True [B, T] at the picked tokens: about `budget_B` of them a row, never part of an atom.

    A group's score is the mean over its eligible tokens. Groups are taken in rank order until the budget is met; an
    atom that crosses it is taken only if that brings the total nearer to the budget, then picking stops. So tokens
    meet the budget exactly and words to within one word. `noise_BT` breaks ties.

    - `high`, `low`: the highest or lowest scores.
    - `mid`: consecutive ranks centred on the median, from rank (n - k) // 2, the highest score having rank 0.
    - `marginal`: ceil(k/2) from the top, floor(k/2) from the bottom.
    - `sample`: without replacement, in proportion to score^sharpness (Gumbel top-k).

    Source: entropy paper 2.3. Alternating is `high` or `low` by `noise.coin`. Raises InputError for another strategy.

    >>> from maskwise.masking.units import token_units
    >>> units = token_units(torch.ones(1, 5, dtype=torch.bool))
    >>> scores, noise = torch.tensor([[0.3, 0.9, 0.1, 0.5, 0.7]]), torch.zeros(1, 5)
    >>> [pick(scores, units, torch.tensor([2]), noise, name).int().tolist()[0] for name in ("high", "low", "mid")]
    [[0, 1, 0, 0, 1], [1, 0, 1, 0, 0], [0, 0, 0, 1, 1]]
    """
    check_strategy(strategy)
    scores_BT = mean_by_group(scores_BT, units)
    noise_BT = _at_group(noise_BT, units)
    sizes_BT = sum_by_unit(torch.ones_like(units.atoms_BT), units.atoms_BT)
    if strategy == "sample":
        order_BT = _descending(_gumbel_keys(scores_BT, noise_BT, sharpness), sizes_BT)
        return _spread(_budget(order_BT, sizes_BT, budget_B), units)
    by_noise_BT = noise_BT.argsort(dim=-1, stable=True)
    if strategy == "low":
        return _spread(_budget(_descending(-scores_BT, sizes_BT, by_noise_BT), sizes_BT, budget_B), units)
    order_BT = _descending(scores_BT, sizes_BT, by_noise_BT)
    if strategy == "high":
        return _spread(_budget(order_BT, sizes_BT, budget_B), units)
    if strategy == "mid":
        skip_B = (sizes_BT.sum(dim=-1) - budget_B) // 2
        return _spread(_budget(order_BT, sizes_BT, budget_B, skip_B), units)
    top_BT = _budget(order_BT, sizes_BT, budget_B - budget_B // 2)
    rest_BT = torch.where(top_BT, 0, sizes_BT)
    bottom_BT = _budget(_descending(-scores_BT, rest_BT, by_noise_BT), rest_BT, budget_B // 2)
    return _spread(top_BT | bottom_BT, units)


def pick_independently(probabilities_BT: Tensor, units: Units, noise_BT: Tensor) -> Tensor:
    """Returns True [B, T] where a group's noise is below its mean probability: each group on its own (Bernoulli)."""
    chosen_BT = _at_group(noise_BT, units) < mean_by_group(probabilities_BT, units)
    return chosen_BT & (units.atoms_BT >= 0)


def proportional_probabilities(scores_BT: Tensor, units: Units, rate: float, sharpness: float = 1.0) -> Tensor:
    """Returns min(1, c score^sharpness) [B, T] with c such that a row's eligible tokens average `rate`.

    Rows without a positive score get `rate` everywhere. c is exact: with the k highest weights capped at 1,
    c = (rate n - k) / (sum of the others), for the smallest k that leaves no other above 1.

    >>> from maskwise.masking.units import token_units
    >>> units = token_units(torch.ones(1, 4, dtype=torch.bool))
    >>> proportional_probabilities(torch.tensor([[9.0, 1.0, 1.0, 0.0]]), units, 0.5).tolist()
    [[1.0, 0.5, 0.5, 0.0]]
    """
    eligible_BT = units.atoms_BT >= 0
    weights_BT = mean_by_group(scores_BT, units).double().clamp_min(0)
    highest_B1 = weights_BT.amax(-1, keepdim=True)
    weights_BT = torch.where(highest_B1 > 0, (weights_BT / highest_B1).pow(sharpness), 1.0) * eligible_BT
    sorted_BT = weights_BT.sort(dim=-1, descending=True).values
    others_BT = sorted_BT.flip(-1).cumsum(-1).flip(-1)
    left_BT = rate * eligible_BT.sum(-1, keepdim=True) - torch.arange(sorted_BT.shape[-1], device=sorted_BT.device)
    factors_BT = left_BT / others_BT.clamp_min(_SMALLEST_WEIGHT)
    num_capped_B1 = (factors_BT * sorted_BT <= 1).to(torch.int8).argmax(dim=-1, keepdim=True)
    return (factors_BT.gather(-1, num_capped_B1) * weights_BT).clamp(0, 1).float()


def check_strategy(strategy: str) -> None:
    """Raises InputError, with the nearest name, unless `strategy` is one of STRATEGIES."""
    if strategy not in STRATEGIES:
        raise InputError(
            f"No pick strategy {strategy!r}; there are {', '.join(STRATEGIES)}.{nearest(strategy, STRATEGIES)}"
        )


def mean_by_group(values_BT: Tensor, units: Units) -> Tensor:
    """Returns, at every eligible token, the mean of `values_BT` over its group; 0 elsewhere."""
    sums_BT = sum_by_unit(values_BT, units.groups_BT)
    counts_BT = sum_by_unit(torch.ones_like(values_BT), units.groups_BT)
    return _at_group(sums_BT / counts_BT.clamp_min(1), units)


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


def _budget(order_BT: Tensor, sizes_BT: Tensor, budget_B: Tensor, skip_B: Tensor | None = None) -> Tensor:
    """True at the units that get the budget, in the order given, after passing over `skip_B` tokens."""
    sorted_sizes_BT = sizes_BT.gather(-1, order_BT)
    ends_BT = sorted_sizes_BT.cumsum(dim=-1)
    starts_BT = ends_BT - sorted_sizes_BT
    if skip_B is not None:
        reached_BT = ends_BT > skip_B[:, None]
        offset_B = torch.where(reached_BT, starts_BT, ends_BT[:, -1:]).amin(dim=-1)
        starts_BT, ends_BT = starts_BT - offset_B[:, None], ends_BT - offset_B[:, None]
    # A unit that ends past k is nearer with it than without it where its middle lies before k.
    taken_BT = (sorted_sizes_BT > 0) & (starts_BT >= 0) & (starts_BT + ends_BT < 2 * budget_B[:, None])
    return torch.zeros_like(taken_BT).scatter(-1, order_BT, taken_BT)


def _spread(taken_BT: Tensor, units: Units) -> Tensor:
    """From a unit's first token to all its tokens."""
    return taken_BT.gather(-1, units.atoms_BT.clamp_min(0)) & (units.atoms_BT >= 0)
