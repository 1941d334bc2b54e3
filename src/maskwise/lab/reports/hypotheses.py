"""The hypotheses of a study's family, each with its statistics and its verdict.

The family is what the study file declared: every pair of arms on every backbone and task, whether or not it was
measured. What has fewer than two pairs of seeds is inconclusive, and still counts in Holm's procedure. The held-out
loss is not a task: comparisons on it have figures and no verdict, and are not of the family.

Shapes: S pretraining seeds, M hypotheses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from maskwise.lab.reports.predictions import PairedItems
from maskwise.lab.reports.scores import ResultRows, Scores, as_frame, is_adaptation, scores_by
from maskwise.lab.stats.bootstrap import Bootstrapped
from maskwise.lab.stats.gain import ShareOfGain, share_of_gain
from maskwise.lab.stats.items import ItemInterval
from maskwise.lab.stats.paired import equivalence_p, holm, paired_t
from maskwise.lab.stats.sign_flip import sign_flip_p
from maskwise.lab.stats.verdicts import decide, has_signal
from maskwise.lab.study.statistics import AS_GIVEN, NOT_PRETRAINED, REFERENCES
from maskwise.lab.study.study_file import HELD_OUT, Study

NO_VERDICT = "no verdict"  # of a comparison on the held-out loss
SAME_SCORE = 1e-6  # stored predictions may differ from the results by rounding, not by more


@dataclass(frozen=True)
class Hypothesis:
    """One hypothesis: does `ours` differ from `theirs`? Differences are by seed; more is better in all of them.

    Attributes:
        ours: The arm that is compared; `theirs` is the baseline.
        theirs: The baseline.
        backbone: The backbone's name.
        task: The task's name.
        metric: What is compared.
        scores: The scores of both arms and, if it was run, of the model without pretraining, by arm.
        differences: Ours minus theirs, by seed.
        mean: Their mean; `sd` their standard deviation, `dz` the quotient of both.
        low: Lower bound of the mean's t interval at level 1 - alpha; `high` is the upper one.
        p: p of the paired t test, which decides; `p_holm` is adjusted over the family, like all that end so.
        p_exact: p of the exact sign-flip test.
        p_equivalence: p of two one-sided tests against the margin.
        baseline: The arm whose signal the verdict depends on: `theirs` as declared, also if a report turns it.
        has_signal: By arm, whether it passes the signal gate.
        share: The difference as a share of pretraining's gain; None if that was not measured.
        verdict: A `Verdict`, or that there is none.
        bootstrap: The interval by draws of seeds and items; None if there are no predictions.
        items: The t interval over seeds and items.
        num_hypotheses: The size of the family.
        caution: What else has to be said.
    """

    ours: str
    theirs: str
    backbone: str
    task: str
    metric: str
    scores: Mapping[str, Scores]
    differences: Mapping[int, float]
    mean: float = math.nan
    sd: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    dz: float = math.nan
    p_exact: float = math.nan
    p_equivalence: float = math.nan
    p_holm: float = math.nan
    p_exact_holm: float = math.nan
    p_equivalence_holm: float = math.nan
    p_bootstrap_holm: float = math.nan
    baseline: str = ""
    has_signal: Mapping[str, bool] = field(default_factory=dict)
    share: ShareOfGain | None = None
    verdict: str = NO_VERDICT
    bootstrap: Bootstrapped | None = None
    items: ItemInterval | None = None
    num_hypotheses: int = 0
    caution: str = ""

    @property
    def arms(self) -> dict[str, Scores]:
        """The scores of both arms that were measured at all, ours first."""
        return {arm: self.scores[arm] for arm in (self.ours, self.theirs) if arm in self.scores}

    @property
    def reference(self) -> Scores | None:
        """The scores of the model without pretraining, or of the checkpoint as given; None if it was not run."""
        return next((self.scores[name] for name in REFERENCES if name in self.scores), None)

    @property
    def is_decidable(self) -> bool:
        """Whether the tests mean what they say.

        They do not for fewer than two pairs of seeds, for an arm whose seeds are all copies of one run, and as long
        as the models without pretraining have not been measured.
        """
        num_seeds = len(self.differences)
        has_copies = any(scores.num_copies >= num_seeds for scores in self.arms.values())
        return num_seeds > 1 and not has_copies and not self.awaits_reference

    @property
    def awaits_reference(self) -> bool:
        """Whether models without pretraining are being run, and fewer than two of them are done."""
        baseline = self.scores.get(self.baseline)
        return self.reference is not None and baseline is not None and len(_common(baseline, self.reference)) < 2


def judge(
    rows: ResultRows, study: Study, items: Callable[[Hypothesis], PairedItems | None] | None = None
) -> list[Hypothesis]:
    """Returns the family with its verdicts, then the same pairs of arms on the held-out loss, without any.

    Args:
        rows: Every value of the results.
        study: What declares the family, the margin and the reference.
        items: Returns the held-out items of a hypothesis, for intervals that answer for them too.
    """
    scores = _main_scores(rows, study)
    measured = [
        _measured(scores, study, ours, theirs, backbone.name, task)
        for ours, theirs in study.statistics.family
        for backbone in study.backbones
        for task in study.tasks
    ]
    if items is not None:
        measured = [_with_items(one, items, study.statistics.alpha) for one in measured]
    family = [one for one in measured if one.task != HELD_OUT]
    return _decided(family, study.statistics.alpha) + [one for one in measured if one.task == HELD_OUT]


def _main_scores(rows: ResultRows, study: Study) -> dict[tuple[str, str, str], Scores]:
    """Returns the scores by (arm, backbone, task) in the metric of the task's hypotheses, more being better."""
    frame, metrics = as_frame(rows), {task: study.metric(task) for task in study.tasks}
    found = [one for one in scores_by(frame) if metrics.get(one.task) == one.metric] if len(frame) else []
    return {(one.arm, one.backbone, one.task): _at_every_seed(one.more_is_better(), study) for one in found}


def _at_every_seed(scores: Scores, study: Study) -> Scores:
    """A checkpoint as it was given is the same at every pretraining seed, and tuned at one of them alone."""
    if scores.arm != AS_GIVEN or len(scores.by_seed) != 1:
        return scores
    return replace(scores, by_seed=dict.fromkeys(study.seeds, scores.mean))


def _measured(
    scores: Mapping[tuple[str, str, str], Scores], study: Study, ours: str, theirs: str, backbone: str, task: str
) -> Hypothesis:
    named = {arm: scores.get((arm, backbone, task)) for arm in (ours, theirs, *REFERENCES)}
    here = {arm: found for arm, found in named.items() if found is not None}
    seeds = _common(here[ours], here[theirs]) if {ours, theirs} <= here.keys() else []
    differences = {seed: here[ours].by_seed[seed] - here[theirs].by_seed[seed] for seed in seeds}
    one = Hypothesis(ours, theirs, backbone, task, study.metric(task), here, differences, baseline=theirs)
    if len(seeds) < 2:
        return one
    differences_S, alpha = np.array(list(differences.values())), study.statistics.alpha
    bar = None if is_adaptation(study, backbone) else here.get(NOT_PRETRAINED)
    return replace(
        one,
        **{name: float(value) for name, value in paired_t(differences_S, alpha)._asdict().items()},
        p_exact=sign_flip_p(differences_S),
        has_signal={arm: _has_signal(here[arm], bar, alpha) for arm in (ours, theirs)},
        **_against_the_gain(one, scores.get((study.statistics.gain_of or "", backbone, task)), study),
    )


def _common(some: Scores, others: Scores) -> list[int]:
    return [seed for seed in some.by_seed if seed in others.by_seed]


def _has_signal(arm: Scores, reference: Scores | None, alpha: float) -> bool:
    """Each bar is held against at all the seeds that have it: the constant at those of the arm."""
    passed = bool(has_signal(arm.at(list(arm.by_seed)), None, arm.constant, arm.num_collapsed, alpha))
    if reference is None:
        return passed
    seeds = _common(arm, reference)
    return passed and len(seeds) > 1 and bool(has_signal(arm.at(seeds), reference.at(seeds), alpha=alpha))


def _against_the_gain(one: Hypothesis, gaining: Scores | None, study: Study) -> dict[str, Any]:
    """Returns the difference as a share of pretraining's gain, and the p of equivalence within the margin."""
    margin, seeds = study.statistics.margin, list(one.differences)
    gains_S, share = None, None
    if gaining is not None and one.reference is not None:
        measured = [seed for seed in _common(gaining, one.reference) if seed in seeds]
        if len(measured) > 1:
            gains_S = gaining.at(measured) - one.reference.at(measured)
            differences_S = np.array([one.differences[seed] for seed in measured])
            share = share_of_gain(differences_S, gains_S, study.statistics.alpha)
            seeds = measured if margin.is_share else seeds
    if margin.is_share and gains_S is None:
        return {}
    differences_S = np.array([one.differences[seed] for seed in seeds])
    return {"share": share, "p_equivalence": float(equivalence_p(differences_S, margin.limits(gains_S)))}


def _with_items(one: Hypothesis, items: Callable[[Hypothesis], PairedItems | None], alpha: float) -> Hypothesis:
    found = items(one) if one.task != HELD_OUT and len(one.differences) > 1 else None
    if found is None:
        return one
    boot = found.bootstrap(alpha)
    if abs(boot.mean - one.mean) > SAME_SCORE:
        caution = f"The stored predictions give a difference of {boot.mean:+.4f}: they are of other runs, and left out."
        return replace(one, caution=caution)
    return replace(one, bootstrap=boot, items=found.interval(one.mean, alpha))


def _decided(family: Sequence[Hypothesis], alpha: float) -> list[Hypothesis]:
    """Returns the family with its verdicts; what decides nothing stays in it with p = 1."""
    if not family:
        return []

    def column(name: str) -> np.ndarray:
        return np.array([getattr(one, name) for one in family], dtype=float)

    theirs_M = np.array([one.has_signal.get(one.theirs, False) for one in family])
    ours_M = np.array([one.has_signal.get(one.ours, False) for one in family])
    is_decidable_M = np.array([one.is_decidable for one in family])
    p_M = np.where(is_decidable_M, column("p"), math.nan)
    p_equivalence_M = np.nan_to_num(column("p_equivalence"), nan=1.0)
    decided = decide(column("mean"), p_M, p_equivalence_M, theirs_M, ours_M, alpha)
    p_boot_M = np.array([one.bootstrap.p if one.bootstrap else math.nan for one in family])
    p_exact_holm, p_boot_holm = (
        holm(np.where(theirs_M & is_decidable_M & ~np.isnan(values_M), values_M, 1.0))
        for values_M in (column("p_exact"), p_boot_M)
    )
    return [
        replace(
            one, verdict=str(decided.verdict[m]), num_hypotheses=len(family), p_holm=float(decided.p_holm[m]),
            p_equivalence_holm=float(decided.p_equivalence_holm[m]), p_exact_holm=float(p_exact_holm[m]),
            p_bootstrap_holm=float(p_boot_holm[m]),
        )
        for m, one in enumerate(family)
    ]  # fmt: skip
