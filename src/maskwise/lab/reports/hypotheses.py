"""The hypotheses of a study's family, each with its statistics and its verdict.

The family is what the study file declared: every pair of arms on every backbone and task, whether or not it was
measured. What has fewer than two pairs of seeds is inconclusive, and still counts in Holm's procedure.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from maskwise.lab.stats.bootstrap import METRICS, Bootstrapped, multi_bootstrap
from maskwise.lab.stats.paired import equivalence_p, holm, paired_t, sign_flip_p, verdicts
from maskwise.lab.study.jobs_of_a_study import Place
from maskwise.lab.study.study_file import HELD_OUT, LESS_IS_BETTER, Study
from maskwise.lab.tasks.table import find_task
from maskwise.lab.tuning.results import PREDICTIONS

Scores = Mapping[tuple[str, str, str], Mapping[int, float]]
Counts = Counter[tuple[str, str, str]]


@dataclass(frozen=True)
class Comparison:
    """One hypothesis: does `ours` differ from `theirs`? Differences are by seed; more is better in all of them.

    `low` and `high` bound the mean's 95% interval (1 - alpha), `p` is the paired t test's, `p_holm` what Holm makes of
    it, `p_exact` the sign-flip test's. `copies` counts each arm's seeds that score alike (`copied_runs`), `collapsed`
    its models that give one answer to everything. `bootstrap` answers for seeds and examples; None where predictions do
    not tell.
    """

    ours: str
    theirs: str
    backbone: str
    task: str
    metric: str
    differences: Mapping[int, float]
    mean: float
    sd: float
    low: float
    high: float
    p: float
    p_holm: float
    p_exact: float
    dz: float
    p_equivalence: float
    verdict: str
    copies: Mapping[str, int]
    collapsed: Mapping[str, int]
    bootstrap: Bootstrapped | None = None


def scores_by_seed(rows: Sequence[Mapping[str, Any]], study: Study) -> Scores:
    """Returns the score of every pretraining seed by (arm, backbone, task), tuning seeds averaged.

    The metric is the study's for that task, its sign turned where less is better.
    """
    found: dict[tuple[str, str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        task = row["task"]
        if task in study.tasks and row["metric"] == study.metric(task):
            sign = -1 if row["metric"] in LESS_IS_BETTER else 1
            found[row["arm"], row["backbone"], task][row["seed"]].append(sign * row["value"])
    return {key: {seed: fmean(values) for seed, values in sorted(seeds.items())} for key, seeds in found.items()}


def copied_runs(rows: Sequence[Mapping[str, Any]]) -> Counts:
    """Returns how many seeds of (arm, backbone, task) have the same scores to the last digit, if more than one has.

    Collapsed runs are left out: they score alike, but each went there by itself.
    """
    scores: dict[tuple[str, str, str], dict[int, list[tuple[Any, ...]]]] = {}
    for row in rows:
        if not row["one_class"]:
            seeds = scores.setdefault((row["arm"], row["backbone"], row["task"]), {})
            seeds.setdefault(row["seed"], []).append((row["metric"], row["value"]))
    alike = {where: Counter(tuple(sorted(found)) for found in seeds.values()) for where, seeds in scores.items()}
    most = {where: max(counts.values()) for where, counts in alike.items()}
    return Counter({where: number for where, number in most.items() if number > 1})


def collapsed_runs(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns one row for each tuned model that gives one answer to every held-out example."""
    found = {
        (row["arm"], row["backbone"], row["seed"], row["task"], row["tuning_seed"]): row
        for row in rows
        if row["one_class"]
    }
    return list(found.values())


def compare(rows: Sequence[Mapping[str, Any]], study: Study, out: Path | None = None) -> list[Comparison]:
    """Returns the family with its verdicts; with the study's folder `out`, bootstrapped from its predictions too.

    Nothing is decided where all seeds of an arm are copies of one run, which a paired test would take for seeds, nor
    where all models of both arms collapsed: constant answers are alike whatever the models are.
    """
    scores = scores_by_seed(rows, study)
    tests = [
        _test(scores, study, ours, theirs, backbone.name, task)
        for ours, theirs in study.statistics.family
        for backbone in study.backbones
        for task in study.tasks
    ]
    adjusted = holm(np.array([1.0 if math.isnan(test["p"]) else test["p"] for test in tests]))
    collapsed = Counter((row["arm"], row["backbone"], row["task"]) for row in collapsed_runs(rows))
    counts = copied_runs(rows), collapsed
    return [_judged(test, float(p_holm), study, *counts, out) for test, p_holm in zip(tests, adjusted, strict=True)]


def _test(scores: Scores, study: Study, ours: str, theirs: str, backbone: str, task: str) -> dict[str, Any]:
    a, b = (scores.get((arm, backbone, task), {}) for arm in (ours, theirs))
    differences = {seed: a[seed] - b[seed] for seed in a if seed in b}
    names: dict[str, Any] = {"ours": ours, "theirs": theirs, "backbone": backbone, "task": task}
    names |= {"metric": study.metric(task), "differences": differences}
    values = np.array(list(differences.values()))
    if len(values) < 2:
        nothing = dict.fromkeys(("mean", "sd", "low", "high", "p", "p_exact", "dz", "p_equivalence"), math.nan)
        return names | nothing
    test = paired_t(values, study.statistics.alpha)
    return names | {
        **{name: float(value) for name, value in test._asdict().items()},
        "p_exact": sign_flip_p(values),
        "p_equivalence": float(equivalence_p(values, study.statistics.margin)),
    }


def _judged(
    test: dict[str, Any], p_holm: float, study: Study, copied: Counts, collapsed: Counts, out: Path | None
) -> Comparison:
    verdict = str(verdicts(test["mean"], p_holm, test["p_equivalence"], study.statistics.alpha))
    copies, constant = (
        {test[arm]: counts[test[arm], test["backbone"], test["task"]] for arm in ("ours", "theirs")}
        for counts in (copied, collapsed)
    )
    num_seeds = len(test["differences"])
    if max(copies.values()) >= num_seeds or min(constant.values()) >= num_seeds * len(study.tuning_seeds):
        verdict = "inconclusive"
    bootstrap = _bootstrap(test, study, out) if out is not None and len(test["differences"]) > 1 else None
    return Comparison(**test, p_holm=p_holm, verdict=verdict, copies=copies, collapsed=constant, bootstrap=bootstrap)


def _bootstrap(test: Mapping[str, Any], study: Study, out: Path) -> Bootstrapped | None:
    name, ending = _split_off(test["metric"])
    metric = METRICS.get(name)
    if test["task"] == HELD_OUT or metric is None or find_task(test["task"]).kind != "classify":
        return None
    arms = {arm.name: arm for arm in study.arms}
    (backbone,) = (backbone for backbone in study.backbones if backbone.name == test["backbone"])
    predictions, labels = [], np.empty(0, int)
    for arm in (test["ours"], test["theirs"]):
        by_seed = []
        for seed in test["differences"]:
            folder = Place(arms[arm], backbone, seed).root(out) / test["task"] / test["task"]
            tables = [_predictions(folder / f"seed-{tuning}", ending) for tuning in study.tuning_seeds]
            labels = tables[0][0]
            by_seed.append([answers for _, answers in tables])
        predictions.append(np.array(by_seed))
    return multi_bootstrap(labels, predictions[0], predictions[1], metric, alpha=study.statistics.alpha)


def _split_off(metric: str) -> tuple[str, str]:
    """Returns a metric's own name, and the ending of the split it is of: ("accuracy", "_matched")."""
    name, underscore, split = metric.partition("_")
    return (metric, "") if metric in METRICS else (name, underscore + split)


def _predictions(folder: Path, ending: str) -> tuple[np.ndarray, np.ndarray]:
    table = pq.read_table(folder / PREDICTIONS, columns=["split", "label", "prediction"]).to_pydict()
    rows = [i for i, name in enumerate(table["split"]) if name.endswith(ending)]
    label, prediction = (np.array([table[column][i] for i in rows]) for column in ("label", "prediction"))
    return label, prediction
