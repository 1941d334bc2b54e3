"""What a study found: each comparison in a table of figures and in a sentence that claims no more than they show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskwise.lab.reports.hypotheses import NO_VERDICT, Hypothesis, judge
from maskwise.lab.reports.predictions import PairedItems, stored_items
from maskwise.lab.reports.scores import ResultRows
from maskwise.lab.reports.sentences import NOT_DECLARED, sentence
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.stats.bootstrap import Bootstrapped
from maskwise.lab.stats.gain import ShareOfGain, share_in_words
from maskwise.lab.stats.items import ItemInterval
from maskwise.lab.stats.verdicts import NO_SIGNAL, ORDER, SMALL
from maskwise.lab.study.study_file import Study

REPORT_ORDER = (*ORDER, NOT_DECLARED, NO_VERDICT)
_COLUMNS = (
    Column("ours", "arm"), Column("task"), Column("backbone"), Column("verdict"),
    Column("mean", "mean difference", "difference"), Column("low", "95% from", "difference"),
    Column("high", "to", "difference"), Column("p_holm", "p, Holm", "p"), Column("p", "p, paired t", "p"),
    Column("p_exact", "p, exact", "p"), Column("p_exact_holm", "p, exact, Holm", "p"),
    Column("dz", "effect dz", "number"), Column("p_equivalence", "p, equivalence", "p"),
    Column("p_equivalence_holm", "p, equivalence, Holm", "p"),
    Column("share", "of pretraining's gain"), Column("share_ratio", "the share", "share"),
    Column("share_low", "from", "share"), Column("share_high", "to", "share"),
    Column("items_low", "with items from", "difference"), Column("items_high", "to", "difference"),
    Column("boot_low", "bootstrap from", "difference"), Column("boot_high", "to", "difference"),
    Column("signal", "signal of the baseline"),
    Column("seeds", "pairs of seeds", "count"), Column("metric"), Column("theirs", "against"),
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A hypothesis, its verdict, and the sentence that says it. `hypothesis.mean` > 0: `ours` did better."""

    hypothesis: Hypothesis
    verdict: str
    sentence: str


def find(rows: ResultRows, study: Study, against: str, out: Path | None = None) -> list[Finding]:
    """Returns the findings of the declared family, what was shown first, those against the baseline before others.

    Arms that the study file did not compare with `against` follow, without a verdict: they were no hypotheses. With
    the study's folder `out`, intervals answer for the held-out items of its predictions too.
    """

    def items(one: Hypothesis) -> PairedItems | None:
        if out is None:
            return None
        return stored_items(study, out, one.ours, one.theirs, one.backbone, one.task, one.differences)

    declared = [facing(one, against, study.statistics.alpha) for one in judge(rows, study, items)]
    met = {one.ours for one in declared if one.theirs == against}
    extra = tuple((arm.name, against) for arm in study.arms if arm.name not in met and arm.name != against)
    leads = judge(rows, _with_family(study, extra), items) if extra else []
    found = [*declared, *(_as_lead(one) for one in leads)]
    found.sort(key=lambda one: (REPORT_ORDER.index(one.verdict), one.theirs != against))
    return [Finding(one, one.verdict, sentence(one, study)) for one in found]


def facing(one: Hypothesis, against: str, alpha: float) -> Hypothesis:
    """Returns the hypothesis with the baseline `against` on the other side, if it stands on this one."""
    if one.ours != against:
        return one
    boot, items, share = one.bootstrap, one.items, one.share
    is_small = one.p_equivalence <= alpha
    turned = {"better": "worse", SMALL: "worse", "worse": SMALL if is_small else "better"}
    if share is not None:
        share = share._replace(ratio=np.negative(share.ratio), low=-share.high, high=-share.low)
    return replace(
        one, ours=one.theirs, theirs=one.ours,
        differences={seed: -value for seed, value in one.differences.items()},
        mean=-one.mean, low=-one.high, high=-one.low, dz=-one.dz,
        verdict=turned.get(one.verdict, one.verdict), share=share,
        bootstrap=boot and Bootstrapped(-boot.mean, -boot.high, -boot.low, boot.p),
        items=items and ItemInterval(-items.mean, -items.high, -items.low, items.seed_error, items.item_error),
    )  # fmt: skip


def verdict_table(findings: Sequence[Finding], study: Study) -> Table:
    """Returns the table of all comparisons with their figures."""
    rows = tuple(_figures(finding) for finding in findings)
    level = f"{1 - study.statistics.alpha:.0%}"
    columns = tuple(replace(column, heading=column.heading.replace("95%", level)) for column in _COLUMNS)
    return Table("verdicts", "Every comparison", columns, rows, _note(study))


def _note(study: Study) -> str:
    rules = study.statistics
    return (
        "Differences are paired by pretraining seed, tuning seeds averaged; more is better in all of them, so that of "
        "a loss is turned. No signal: the baseline is not shown to be above the model without pretraining and above "
        "the constant answer, or more than one of its runs collapsed; such a comparison stays in the family with "
        f"p = 1. Better or worse: the Holm-adjusted paired t test says so at {rules.alpha:g}. Equivalent: two "
        "one-sided t tests, Holm-adjusted too, show the difference to be within the declared margin of "
        f"{rules.margin}, and both arms have a signal. Better, smaller than the margin: better, with the "
        f"{1 - 2 * rules.alpha:.0%} interval inside the margin. Else "
        "inconclusive, which is not the same as equal; so too if all seeds of an arm score alike to the last digit. "
        "The error rate is that of the whole study, whatever passes the gate, and not that among what passed. The "
        "exact test flips signs. With items: the t interval over seeds and held-out items, both random; the bootstrap "
        "draws both. The share of pretraining's gain has Fieller's interval."
    )


def tally(findings: Sequence[Finding]) -> list[tuple[str, int]]:
    """Returns how many comparisons came to each verdict, in a report's order."""
    counts = Counter(finding.verdict for finding in findings)
    return [(verdict, counts[verdict]) for verdict in REPORT_ORDER if counts[verdict]]


def decided_and_open(findings: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Returns the findings with a verdict that decides, and those without, each in the order they have."""
    decisive = ORDER[: ORDER.index("inconclusive")]
    decided = [finding for finding in findings if finding.verdict in decisive]
    return decided, [finding for finding in findings if finding.verdict not in decisive]


def _as_lead(one: Hypothesis) -> Hypothesis:
    """A comparison that was not declared, so that nothing is adjusted over its family."""
    nothing = dict.fromkeys(("p_holm", "p_exact_holm", "p_equivalence_holm", "p_bootstrap_holm"), float("nan"))
    return replace(one, verdict=NO_VERDICT if one.verdict == NO_VERDICT else NOT_DECLARED, **nothing)


def _with_family(study: Study, family: tuple[tuple[str, str], ...]) -> Study:
    return study.model_copy(update={"statistics": study.statistics.model_copy(update={"family": family})})


def _figures(finding: Finding) -> dict[str, Any]:
    one = finding.hypothesis
    names = ("ours", "theirs", "backbone", "task", "metric", "mean", "low", "high", "p", "p_holm", "p_exact")
    names += ("p_exact_holm", "dz", "p_equivalence", "p_equivalence_holm")
    boot, items, share = one.bootstrap, one.items, one.share
    signal = one.has_signal.get(one.baseline)
    return {name: getattr(one, name) for name in names} | {
        "verdict": finding.verdict,
        "share": share and share_in_words(share),
        **_share_figures(share),
        "items_low": items and items.low,
        "items_high": items and items.high,
        "boot_low": boot and boot.low,
        "boot_high": boot and boot.high,
        "signal": None if signal is None or one.verdict == NO_VERDICT else "yes" if signal else NO_SIGNAL,
        "seeds": len(one.differences),
    }


def _share_figures(share: ShareOfGain | None) -> dict[str, float]:
    if share is None or not share.is_bounded or share.gain < 0:
        return {}
    return {"share_ratio": float(share.ratio), "share_low": float(share.low), "share_high": float(share.high)}
