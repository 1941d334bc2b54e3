"""What a study found: each comparison in a table of figures and in a sentence that claims no more than they show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskwise.lab.reports.hypotheses import Comparison, compare
from maskwise.lab.reports.tables import Column, Table
from maskwise.lab.stats.bootstrap import Bootstrapped
from maskwise.lab.stats.paired import sign_flip_floor
from maskwise.lab.study.study_file import LESS_IS_BETTER, Study

NOT_DECLARED = "not declared"
TURNED = {"better": "worse", "worse": "better"}
ORDER = ("better", "worse", "equivalent", "inconclusive", NOT_DECLARED)
COLUMNS = (
    Column("ours", "arm"), Column("task"), Column("backbone"), Column("verdict"),
    Column("mean", "mean difference", "difference"), Column("low", "95% from", "difference"),
    Column("high", "to", "difference"), Column("p_holm", "p, Holm", "p"), Column("p", "p, paired t", "p"),
    Column("p_exact", "p, exact", "p"), Column("dz", "effect dz", "number"),
    Column("p_equivalence", "p, equivalence", "p"), Column("boot_low", "bootstrap from", "difference"),
    Column("boot_high", "to", "difference"), Column("seeds", "pairs of seeds", "count"), Column("metric"),
    Column("theirs", "against"),
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A comparison, its verdict, and the sentence that says it. `comparison.mean` > 0 means that `ours` did better."""

    comparison: Comparison
    verdict: str
    sentence: str


def find(rows: Sequence[Mapping[str, Any]], study: Study, against: str, out: Path | None = None) -> list[Finding]:
    """Returns the findings of the declared family, those against the baseline first.

    Arms that the study file did not compare with `against` follow, without a verdict: they were no hypotheses. With
    the study's folder `out`, differences are bootstrapped from its predictions.
    """
    declared = [_facing(comparison, against) for comparison in compare(rows, study, out)]
    declared.sort(key=lambda comparison: comparison.theirs != against)
    met = {comparison.ours for comparison in declared if comparison.theirs == against}
    extra = tuple((arm.name, against) for arm in study.arms if arm.name not in met and arm.name != against)
    found = [Finding(one, one.verdict, _sentence(one, study)) for one in declared]
    for one in compare(rows, _with_family(study, extra), out) if extra else ():
        open_question = replace(one, p_holm=float("nan"), verdict=NOT_DECLARED)
        found.append(Finding(open_question, NOT_DECLARED, _sentence(open_question, study)))
    return found


def verdict_table(findings: Sequence[Finding], study: Study) -> Table:
    """Returns the table of all comparisons with their figures."""
    rows = tuple(_figures(finding) for finding in findings)
    rules = study.statistics
    level = f"{1 - rules.alpha:.0%}"
    columns = tuple(replace(column, heading=column.heading.replace("95%", level)) for column in COLUMNS)
    note = (
        "Differences are paired by pretraining seed, tuning seeds averaged; more is better in all of them, so that of "
        "a loss is turned. Better or worse: the Holm-adjusted paired t test over the declared family says so at "
        f"{rules.alpha:g}. Equivalent: two one-sided t tests show it to be within the declared margin of "
        f"{rules.margin:g}. Else inconclusive, which is not the same as equal; so too where all seeds of an arm score "
        "alike to the last digit, or all models of both give one answer to everything. The exact test flips signs; the "
        "bootstrap draws seeds and held-out examples together."
    )
    return Table("verdicts", "Every comparison", columns, rows, note)


def tally(findings: Sequence[Finding]) -> list[tuple[str, int]]:
    """Returns how many comparisons of the declared family came to each verdict."""
    counts = Counter(finding.verdict for finding in findings)
    return [(verdict, counts[verdict]) for verdict in ORDER if counts[verdict]]


def _facing(comparison: Comparison, against: str) -> Comparison:
    """Returns the comparison with the baseline on the other side."""
    if comparison.ours != against:
        return comparison
    boot = comparison.bootstrap
    return replace(
        comparison,
        ours=comparison.theirs,
        theirs=comparison.ours,
        differences={seed: -value for seed, value in comparison.differences.items()},
        mean=-comparison.mean,
        low=-comparison.high,
        high=-comparison.low,
        dz=-comparison.dz,
        verdict=TURNED.get(comparison.verdict, comparison.verdict),
        bootstrap=boot and Bootstrapped(-boot.mean, -boot.high, -boot.low, boot.p),
    )


def _with_family(study: Study, family: tuple[tuple[str, str], ...]) -> Study:
    return study.model_copy(update={"statistics": study.statistics.model_copy(update={"family": family})})


def _figures(finding: Finding) -> dict[str, Any]:
    one = finding.comparison
    names = ("ours", "theirs", "backbone", "task", "metric", "mean", "low", "high", "p", "p_holm", "p_exact", "dz")
    boot = one.bootstrap
    return {name: getattr(one, name) for name in names} | {
        "verdict": finding.verdict,
        "p_equivalence": one.p_equivalence,
        "boot_low": boot and boot.low,
        "boot_high": boot and boot.high,
        "seeds": len(one.differences),
    }


def _sentence(one: Comparison, study: Study) -> str:
    num_seeds = len(one.differences)
    where = f"on {one.task}, {one.backbone}"
    if num_seeds < 2:
        return f"{one.ours} against {one.theirs} {where}: {num_seeds} of {len(study.seeds)} pairs of seeds measured."
    level = f"{1 - study.statistics.alpha:.0%}"
    metric = f"{one.metric.replace('_', ' ')}{' (less is better, sign turned)' if one.metric in LESS_IS_BETTER else ''}"
    size = f"{metric} {one.mean:+.4f}, {level} interval {one.low:+.4f} to {one.high:+.4f}, {num_seeds} seeds."
    pair = f"{one.ours} and {one.theirs}"
    claim = {
        "better": f"{one.ours} did better than {one.theirs}",
        "worse": f"{one.ours} did worse than {one.theirs}",
        "equivalent": f"{pair} are within {study.statistics.margin:g} of each other",
        "inconclusive": f"Neither a difference nor equality of {pair} is shown",
        NOT_DECLARED: f"{one.ours} against {one.theirs} was not declared, so it is a lead and no finding,",
    }[one.verdict]
    return " ".join([f"{claim} {where}: {size}", *_cautions(one, study)])


def _cautions(one: Comparison, study: Study) -> list[str]:
    """Returns what weakens a comparison, in sentences."""
    said, num_seeds, decided = [], len(one.differences), one.verdict in TURNED
    if decided and one.p_exact > study.statistics.alpha:
        floor = sign_flip_floor(num_seeds)
        cannot = f"; with {num_seeds} seeds it cannot be below {floor:.3g}" if floor > study.statistics.alpha else ""
        said.append(f"The exact test does not confirm it (p = {one.p_exact:.3g}{cannot}).")
    if decided and one.bootstrap and one.bootstrap.low <= 0 <= one.bootstrap.high:
        said.append(
            "It may be due to the held-out examples: drawn again with the seeds, the difference runs from "
            f"{one.bootstrap.low:+.4f} to {one.bootstrap.high:+.4f}."
        )
    if num_seeds < len(study.seeds):
        said.append(f"{len(study.seeds) - num_seeds} of {len(study.seeds)} pairs of seeds are missing.")
    for what, runs in (
        ("Collapsed runs, which give one answer to everything", one.collapsed),
        ("Seeds with the same scores to the last digit, perhaps copies of one run", one.copies),
    ):
        named = " and ".join(f"{number} of {arm}" for arm, number in runs.items() if number)
        if named:
            said.append(f"{what}: {named}.")
    return said
