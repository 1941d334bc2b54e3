"""From test results to verdicts: what may be claimed of a comparison, and whether it could have shown anything.

A task on which the baseline does no better than a model without pretraining, or than one constant answer, cannot tell
kinds of pretraining apart: two arms that learned nothing there are alike whatever they are. So every comparison passes
a signal gate first. The gate is one-sided in its consequences: it withholds claims, but never the claim of harm.

Shapes: S pretraining seeds, N studies decided at once, M hypotheses of a family.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from maskwise.lab.stats.paired import ALPHA, holm, paired_t

Verdict = Literal["better", "worse", "better, smaller than the margin", "equivalent", "inconclusive", "no signal"]
ORDER: tuple[str, ...] = get_args(Verdict)  # of a report: what was shown first
SMALL, NO_SIGNAL = "better, smaller than the margin", "no signal"
MOST_COLLAPSED = 1  # runs of an arm with a signal that may have collapsed


class Decided(NamedTuple):
    """The verdicts of families of hypotheses [N, M], and the adjusted p values that they rest on."""

    verdict: np.ndarray
    p_holm: np.ndarray
    p_equivalence_holm: np.ndarray


def has_signal(
    scores_NS: ArrayLike,
    not_pretrained_NS: ArrayLike | None = None,
    constant: ArrayLike | None = None,
    num_collapsed: ArrayLike = 0,
    alpha: float = ALPHA,
) -> np.ndarray:
    """Returns whether an arm shows on a task that its pretraining taught it something.

    It does if its scores are above those of the models without pretraining (paired t over seeds), and above the
    constant answer's (one-sample t), each two-sided at alpha and positive, and at most one of its runs has collapsed.

    Args:
        scores_NS: The arm's scores by study and seed [..., S]; more is better.
        not_pretrained_NS: Scores of the weights that each seed starts from, tuned alike [..., S]. None: not run.
        constant: The best score that one answer to everything gets [...]. None: the metric has none.
        num_collapsed: How many of the arm's runs give one answer to everything [...].
        alpha: The level of each test.

    Returns:
        Whether the gate is passed [...], by the tests that could be made.

    >>> arm, start = [0.80, 0.82, 0.81], [0.70, 0.71, 0.72]
    >>> bool(has_signal(arm, start, constant=0.6)), bool(has_signal(arm, start, constant=0.81))
    (True, False)
    """
    scores_NS = np.asarray(scores_NS, dtype=float)
    passed = np.asarray(num_collapsed) <= MOST_COLLAPSED
    if not_pretrained_NS is not None:
        passed = passed & _is_above_0(scores_NS - np.asarray(not_pretrained_NS), alpha)
    if constant is not None:
        passed = passed & _is_above_0(scores_NS - np.asarray(constant)[..., None], alpha)
    return passed


def decide(
    mean_NM: ArrayLike,
    p_NM: ArrayLike,
    p_equivalence_NM: ArrayLike,
    theirs_has_signal_NM: ArrayLike,
    ours_has_signal_NM: ArrayLike,
    alpha: float = ALPHA,
) -> Decided:
    """Returns the verdict of each hypothesis of a family, as arrays of `Verdict`.

    Better and worse rest on the paired t test, equivalent on the two one-sided tests; the p values of both go through
    Holm's procedure over the family. Without a signal of the baseline a hypothesis decides nothing ("no signal"), and
    equivalence needs one in both arms; such a hypothesis stays in the family with p = 1. An arm that fell below the
    constant or the model without pretraining is still worse than a baseline that did not. A better arm whose
    1 - 2 alpha interval lies inside the margin is "better, smaller than the margin".

    The error rate is that of all families, gated hypotheses included: it is not the rate among those that passed.

    Args:
        mean_NM: Mean differences, ours minus theirs.
        p_NM: p of the paired t test; nan if the hypothesis was not measured, which makes it inconclusive.
        p_equivalence_NM: p of the two one-sided tests.
        theirs_has_signal_NM: Whether the baseline passes the gate.
        ours_has_signal_NM: Whether the other arm does.
        alpha: The family-wise error rate of both families.

    >>> decided = decide([0.02, 0.0, 0.01], [0.01, 0.9, 0.2], [0.5, 0.01, 0.3], True, True)
    >>> decided.verdict.tolist()
    ['better', 'equivalent', 'inconclusive']
    """
    arrays = (mean_NM, p_NM, p_equivalence_NM, theirs_has_signal_NM, ours_has_signal_NM)
    mean, p, p_equivalence, theirs, ours = np.broadcast_arrays(*arrays)
    is_measured = ~np.isnan(p)
    p_holm = holm(np.where(theirs & is_measured, p, 1.0))
    p_equivalence_holm = holm(np.where(theirs & ours & is_measured, p_equivalence, 1.0))
    differs = p_holm <= alpha
    cases = {
        "inconclusive": ~is_measured,
        NO_SIGNAL: ~theirs,
        "worse": differs & (mean < 0),
        SMALL: differs & (p_equivalence <= alpha),
        "better": differs,
        "equivalent": p_equivalence_holm <= alpha,
    }
    verdict = np.select(list(cases.values()), list(cases), "inconclusive")
    return Decided(verdict, p_holm, p_equivalence_holm)


def _is_above_0(differences_NS: np.ndarray, alpha: float) -> np.ndarray:
    test = paired_t(differences_NS)
    return (test.p <= alpha) & (test.mean > 0)
