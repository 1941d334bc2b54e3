"""From a table of scores to each token type's rate of being masked, such that the rates meet the budget.

Shapes: V vocabulary.

A token of type t is masked with probability r_t on its own, so the expected share of masked tokens is sum_t f_t r_t
with f_t the type's share of the text. Both calibrations solve sum_t f_t r_t = budget exactly, in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskwise.errors import InputError, nearest

CALIBRATIONS = ("water-filling", "affine-2023")
_ROUNDING = 1e-12


def water_filling(
    scores_V: Tensor, shares_V: Tensor, rate: float, *, cap: float = 1.0, temperature: float = 1.0
) -> Tensor:
    """Returns r = min(cap, c score^(1 / temperature)) [V] with c such that sum(shares r) = rate.

    Rates are in proportion to the scores until they reach the cap; what the capped types cannot take flows to the
    others. With the k highest scores capped, c = (rate - cap F_k) / Q_k: F_k is the capped types' share of the text,
    Q_k the sum of shares times weights over the rest, and k the smallest that leaves no other above the cap. A score
    of 0 or less is never masked. Costs one sort.

    Raises InputError if the types with a positive score are too small a share of the text for the budget.

    >>> shares = torch.tensor([0.25, 0.25, 0.5])
    >>> water_filling(torch.tensor([8.0, 1.0, 0.0]), shares, 0.15, cap=0.5)
    tensor([0.5000, 0.1000, 0.0000], dtype=torch.float64)
    """
    shares_V = shares_V.double() / shares_V.double().sum()
    weights_V = scores_V.double().clamp_min(0)
    weights_V = (weights_V / weights_V.amax().clamp_min(torch.finfo(torch.float64).tiny)).pow(1 / temperature)
    room = cap * float(shares_V[weights_V > 0].sum())
    if rate > room + _ROUNDING:
        raise InputError(
            f"A budget of {rate:g} cannot be met: the types with a positive score can take {room:g} of the text at "
            f"most (cap {cap:g}). Raise the cap or lower the rate."
        )
    weights_V, order_V = weights_V.sort(descending=True, stable=True)
    shares_V = shares_V[order_V]
    capped_V = shares_V.cumsum(0) - shares_V
    others_V = (shares_V * weights_V).flip(0).cumsum(0).flip(0)
    factors_V = (rate - cap * capped_V) / others_V
    above_V = (weights_V > 0) & ~(factors_V * weights_V <= cap)
    num_capped = int(above_V.to(torch.int64).cumprod(0).sum())
    factor = factors_V[min(num_capped, len(factors_V) - 1)]
    rates_V = torch.where(weights_V > 0, factor * weights_V, 0).clamp(0, cap)
    rates_V[:num_capped] = cap
    return torch.empty_like(rates_V).scatter_(0, order_V, rates_V)


def affine_2023(scores_V: Tensor, shares_V: Tensor, rate: float, *, cap: float = 1.0, spread: float = 0.4) -> Tensor:
    """Returns r = rate w / sum(shares w) [V], where w = 1 - spread + spread * (scores stretched to 0 .. 1).

    The highest rate is at most 1 / (1 - spread) times the lowest, 1.667 at 0.4; one outlier pushes all other types to
    one end. Source: Typhoon's code of 2023. Raises InputError if a rate exceeds the cap, which cannot be as long as
    rate <= cap (1 - spread).

    >>> affine_2023(torch.tensor([3.0, 1.0]), torch.tensor([0.5, 0.5]), 0.4, spread=0.5).tolist()
    [0.5333333333333333, 0.26666666666666666]
    """
    shares_V, scores_V = shares_V.double() / shares_V.double().sum(), scores_V.double()
    lowest, highest = scores_V.amin(), scores_V.amax()
    stretched_V = (scores_V - lowest) / (highest - lowest) if highest > lowest else torch.ones_like(scores_V)
    weights_V = 1 - spread + spread * stretched_V
    rates_V = rate * weights_V / (shares_V * weights_V).sum()
    if rates_V.amax() > cap * (1 + _ROUNDING):
        raise InputError(
            f"A budget of {rate:g} with spread {spread:g} gives a rate of {float(rates_V.amax()):g}, above the cap "
            f"{cap:g}. Lower the rate or the spread: up to rate = cap (1 - spread) it always fits."
        )
    return rates_V


def check_calibration(calibration: str) -> None:
    """Raises InputError, with the nearest name, unless `calibration` is one of CALIBRATIONS."""
    if calibration not in CALIBRATIONS:
        hint = nearest(calibration, CALIBRATIONS)
        raise InputError(f"No calibration {calibration!r}; there are {', '.join(CALIBRATIONS)}.{hint}")
