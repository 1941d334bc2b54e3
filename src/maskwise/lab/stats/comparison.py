"""One comparison of two arms, from their scores by pretraining seed, outside of any study.

Shapes: S pretraining seeds.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwise.errors import InputError
from maskwise.lab.stats.gain import ShareOfGain, share_in_words, share_of_gain
from maskwise.lab.stats.margin import Margin, read_margin
from maskwise.lab.stats.paired import ALPHA, equivalence_p, paired_t
from maskwise.lab.stats.sign_flip import sign_flip_floor, sign_flip_p
from maskwise.lab.stats.verdicts import decide, has_signal

SeedScores = Mapping[Any, float] | Sequence[float]
NO_REFERENCE = "(no model without pretraining was run)"
ALONE = "The p values are of this comparison alone; with several, adjust them together (Holm)."


@dataclass(frozen=True)
class Comparison:
    """What paired scores of two arms show.

    Attributes:
        n: Pairs of pretraining seeds.
        differences: Ours minus theirs, by seed.
        difference: Their mean.
        low: Lower bound of its t interval at level 1 - alpha.
        high: Upper bound.
        sd: Standard deviation of the differences.
        p: Two-sided p of the paired t test, which decides.
        p_exact: Two-sided p of the exact sign-flip test.
        p_equivalence: p of two one-sided t tests against the margin; None without a margin.
        margin: The largest difference that would not matter; None if no margin was given.
        share: The difference as a share of that gain; None if no model without pretraining was given.
        verdict: "better", "worse", "better, smaller than the margin", "equivalent", "inconclusive" or "no signal".
        alpha: The level of all tests.
    """

    n: int
    differences: Mapping[Any, float]
    difference: float
    low: float
    high: float
    sd: float
    p: float
    p_exact: float
    p_equivalence: float | None
    margin: Margin | None
    share: ShareOfGain | None
    verdict: str
    alpha: float

    def __repr__(self) -> str:
        """The figures, the verdict, and what they do not take into account, in four lines."""
        lines = [f"{name}: {value}" for name, value in self._figures()]
        return "\n".join([f"Comparison over {self.n} seeds: {self._verdict()}", *lines, ALONE])

    def _repr_html_(self) -> str:
        cells = (
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in self._figures()
        )
        head = f"<p><strong>{html.escape(self._verdict())}</strong>, {self.n} seeds</p>"
        return f"{head}<table>{''.join(cells)}</table><p>{ALONE}</p>"

    def _verdict(self) -> str:
        return self.verdict if self.share is not None else f"{self.verdict} {NO_REFERENCE}"

    def _figures(self) -> list[tuple[str, str]]:
        interval = f"{self.low:+.4f} to {self.high:+.4f}"
        floor = f"; it cannot be below {sign_flip_floor(self.n):.3g}" if sign_flip_floor(self.n) > self.alpha else ""
        figures = [
            ("difference", f"{self.difference:+.4f} ({1 - self.alpha:.0%} interval {interval})"),
            ("p, paired t", f"{self.p:.3g}"),
            ("p, exact", f"{self.p_exact:.3g}{floor}"),
        ]
        if self.margin is not None:
            figures.append((f"p, equivalence within {self.margin}", f"{self.p_equivalence:.3g}"))
        if self.share is not None:
            figures.append(("share of pretraining's gain", share_in_words(self.share)))
        return figures


def compare(
    ours: SeedScores,
    theirs: SeedScores,
    margin: float | str | None = None,
    *,
    not_pretrained: SeedScores | None = None,
    constant: float | None = None,
    alpha: float = ALPHA,
) -> Comparison:
    """Returns what the scores of two arms show, paired by pretraining seed; more is better.

    A pretraining seed gives both arms the same initial weights, order of the data and noise; average tuning seeds
    first, they are no further replications. The result is of one comparison alone: if you call this several times,
    the family-wise correction (`holm` on all the p values) is yours to make.

    Args:
        ours: Scores by seed, or in a list.
        theirs: The baseline's, for the same seeds.
        margin: The largest difference that would not matter, decided before looking: a number in the scores' units, or
            a share such as "5%" of the baseline's gain over `not_pretrained`. None: no test of equivalence.
        not_pretrained: Scores of the models that each seed starts from, tuned alike. With them a baseline that
            pretraining did not help on this task gives "no signal", and the difference is told as a share of the gain.
        constant: The score of the best constant answer, which the baseline has to be above too.
        alpha: The level of every test.

    Returns:
        A `Comparison`; it prints itself, in a notebook as a table.

    Raises:
        InputError: If the seeds of the arms differ, there are fewer than two, or a value is not a finite number.

    >>> result = compare({0: 0.81, 1: 0.84, 2: 0.82}, {0: 0.78, 1: 0.80, 2: 0.79}, margin=0.01)
    >>> result.verdict, round(result.difference, 4), round(result.p, 4)
    ('better', 0.0333, 0.0099)
    """
    limit = _checked_margin(margin, not_pretrained is not None)
    _check_level(alpha, constant)
    a, b = by_seed(ours, "ours"), by_seed(theirs, "theirs")
    _check_same_seeds(a, b, "ours", "theirs")
    start = None if not_pretrained is None else by_seed(not_pretrained, "not_pretrained")
    if start is not None:
        _check_same_seeds(b, start, "theirs", "not_pretrained")
    ours_S, theirs_S = (np.array([scores[seed] for seed in a]) for scores in (a, b))
    start_S = None if start is None else np.array([start[seed] for seed in a])
    return _compared(list(a), ours_S, theirs_S, start_S, limit, constant, alpha)


def _compared(
    seeds: list[Any],
    ours_S: np.ndarray,
    theirs_S: np.ndarray,
    start_S: np.ndarray | None,
    margin: Margin | None,
    constant: float | None,
    alpha: float,
) -> Comparison:
    differences_S = ours_S - theirs_S
    gains_S = None if start_S is None else theirs_S - start_S
    test = paired_t(differences_S, alpha)
    p_equivalence = None if margin is None else float(equivalence_p(differences_S, margin.limits(gains_S)))
    theirs_signal, ours_signal = (has_signal(one_S, start_S, constant, alpha=alpha) for one_S in (theirs_S, ours_S))
    p_inside = 1.0 if p_equivalence is None else p_equivalence
    decided = decide([test.mean], [test.p], [p_inside], theirs_signal, ours_signal, alpha)
    return Comparison(
        n=len(seeds),
        differences=dict(zip(seeds, differences_S.tolist(), strict=True)),
        difference=float(test.mean),
        low=float(test.low),
        high=float(test.high),
        sd=float(test.sd),
        p=float(test.p),
        p_exact=sign_flip_p(differences_S),
        p_equivalence=p_equivalence,
        margin=margin,
        share=None if gains_S is None else share_of_gain(differences_S, gains_S, alpha),
        verdict=str(decided.verdict[0]),
        alpha=alpha,
    )


def by_seed(scores: SeedScores, name: str) -> dict[Any, float]:
    """Returns the scores by seed, a list numbered from 0; raises InputError for what is not a finite number."""
    if isinstance(scores, str) or not (hasattr(scores, "keys") or hasattr(scores, "__len__")):
        raise InputError(f"{name} has to be scores by seed, {{0: 0.81, 1: 0.84}}, or a list of them; found {scores!r}.")
    pairs = dict(scores.items()) if hasattr(scores, "keys") else dict(enumerate(scores))  # type: ignore[union-attr]
    for seed, value in pairs.items():
        is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise InputError(f"{name} has {value!r} at seed {seed!r}. A score is one finite number for each seed.")
    if len(pairs) < 2:
        raise InputError(
            f"{name} has {len(pairs)} seed. A difference between arms has to be held against the difference between "
            "seeds: give at least 2."
        )
    return {seed: float(value) for seed, value in pairs.items()}


def _check_same_seeds(some: Mapping[Any, float], others: Mapping[Any, float], name: str, other_name: str) -> None:
    alone = [f"{seed!r} only in {name}" for seed in some if seed not in others]
    alone += [f"{seed!r} only in {other_name}" for seed in others if seed not in some]
    if alone:
        raise InputError(
            f"{name} has {len(some)} seeds and {other_name} {len(others)}; not in both: {', '.join(alone[:6])}. "
            "The arms are paired by pretraining seed, so give the same seeds in both."
        )


def _checked_margin(margin: float | str | None, has_gain: bool) -> Margin | None:
    if margin is None:
        return None
    try:
        limit = read_margin(margin)
    except ValueError as error:
        raise InputError(f"{str(error)[0].upper()}{str(error)[1:]}.") from None
    if limit.is_share and not has_gain:
        raise InputError(f"A margin of {limit} takes not_pretrained: the scores that pretraining gained on.")
    return limit


def _check_level(alpha: float, constant: float | None) -> None:
    if not 0 < alpha < 1:
        raise InputError(f"alpha is the level of the tests, between 0 and 1; found {alpha!r}.")
    if constant is not None and not math.isfinite(constant):
        raise InputError(f"constant is the score of the best constant answer; found {constant!r}.")
