"""A study's folder as a finished study leaves it, its numbers made up: for tests of what reads such folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from maskwise.lab.config import merge
from maskwise.lab.stats.items import accuracy, f1, matthews_correlation
from maskwise.lab.study.jobs_of_a_study import Place, places, tasks_of
from maskwise.lab.study.results import RESULTS, SCHEMA, write_results
from maskwise.lab.study.runner import STUDY_FILE
from maskwise.lab.study.statistics import NOT_PRETRAINED
from maskwise.lab.study.study_file import Study, check_study
from maskwise.lab.tuning.results import PREDICTIONS, write_predictions

GAINS = {"random": 0.0, "high": 0.12, "self-cold": -0.004}  # in the share of right answers
COSTS = {"random": 1.0, "high": 1.6, "self-cold": 1.5}
QUINTILES = {
    "random": (0.5, 0.2, 0.15, 0.1, 0.05),
    "high": (0.2, 0.2, 0.2, 0.2, 0.2),
    "self-cold": (0.1, 0.15, 0.2, 0.25, 0.3),
}
NUM_STEPS, NUM_EXAMPLES = 600, 300
TREE: dict[str, Any] = {
    "question": "Does masking what a model is unsure of help?",
    "seeds": "0-4",
    "tasks": ["cola", "mrpc"],
    "pretrain": {"data": {"path": "data/tiny"}, "trainer": {"max_steps": NUM_STEPS}},
    "backbones": [{"name": "tiny", "preset": "tiny", "settings": {"teacher": "runs/teacher-tiny"}}],
    "arms": [
        {"name": "random"}, {"name": "high", "recipe": "entropy-high"},
        {"name": "self-cold", "recipe": "entropy-self-cold"},
    ],
    "statistics": {
        "family": [["high", "random"], ["self-cold", "random"]], "margin": 0.01, "metrics": {"mrpc": "f1"},
    },
}  # fmt: skip


def make_study(
    out: Path, changes: Mapping[str, Any] | None = None, *, gains: Mapping[str, float] = GAINS,
    without: tuple[str, ...] = (), collapsed: tuple[str, ...] = ("self-cold/tiny/2/mrpc",), luck: int = 0,
    reference: float | None = None,
) -> Study:  # fmt: skip
    """Makes the folder of a study: its file, its results, its predictions, and its runs' metrics.

    `gains` are by arm; cells named in `without` are not finished, those in `collapsed` answer "1" to everything.
    `reference` is the gain of models without pretraining; None: they were not run.
    """
    study = check_study(merge(TREE, changes or {}))
    out.mkdir(parents=True)
    (out / STUDY_FILE).write_text(tomli_w.dumps(study.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
    rows: list[dict[str, Any]] = []
    for place in places(study):
        arm = place.arm.name
        random = np.random.default_rng([luck, place.seed])
        shared = {
            "arm": arm, "recipe": place.arm.recipe or arm, "backbone": place.backbone.name, "seed": place.seed,
            "adapted_to": place.task, "settings_hash": f"{arm[0]}{place.seed:011d}",
        }  # fmt: skip
        loss = 4.2 + 0.06 * random.standard_normal() - gains[arm]
        _write_run(place.folder(out), arm, loss, is_finished=place.name not in without)
        if place.name in without:
            continue
        cost = COSTS[arm] * 1e12
        grades = {"loss": loss, "perplexity": float(np.exp(loss)), "top1": 1 / loss, "top5": 2 / loss}
        rows += [
            shared | {"task": "held_out", "metric": metric, "value": value, "steps": NUM_STEPS, "seconds": 60 *
            COSTS[arm],
                      "tokens": 2.4e6, "flops": cost, "peak_memory": 700_000_000}
            for metric, value in grades.items()
        ]  # fmt: skip
        for task in tasks_of(study, place):
            name = f"{arm}/{place.backbone.name}/{place.seed}/{task}"
            if name not in without:
                own = np.random.default_rng([luck, place.seed, list(gains).index(arm), len(task)])
                rows += _tuned(out, place, shared, task, random, own, gains[arm], name in collapsed, study)
    if reference is not None:
        rows += _reference_rows(study, rows, reference - gains[study.arms[0].name], luck)
    write_results(out / RESULTS, [{name: row.get(name) for name in SCHEMA.names} for row in rows])
    return study


def _reference_rows(study: Study, rows: list[dict[str, Any]], gain: float, luck: int) -> list[dict[str, Any]]:
    """Models without pretraining score as the first arm does at the same seed, moved by the gain and some noise."""
    own = np.random.default_rng([luck, 99])
    first = [row for row in rows if row["arm"] == study.arms[0].name and row["task"] != "held_out"]
    return [
        row | {"arm": NOT_PRETRAINED, "recipe": None, "value": row["value"] + gain + own.normal(0, 0.005)}
        for row in first
    ]


def _tuned(
    out: Path, place: Place, shared: Mapping[str, Any], task: str, random: Any, own: Any, gain: float,
    is_collapsed: bool, study: Study,
) -> list[dict[str, Any]]:  # fmt: skip
    """Writes one cell's predictions and returns its rows: the metrics are those of the predictions."""
    labels = (np.arange(NUM_EXAMPLES) % 3 > 0).astype(int)
    hard = random.random(NUM_EXAMPLES)
    rows = []
    for seed in study.tuning_seeds:
        is_right = hard + own.normal(0, 0.05, NUM_EXAMPLES) < 0.75 + gain
        answers = np.where(is_right, labels, 1 - labels)
        answers = np.ones_like(labels) if is_collapsed else answers
        folder = place.root(out) / task / task / f"seed-{seed}"
        folder.mkdir(parents=True)
        columns = {"split": ["validation"] * NUM_EXAMPLES, "label": labels, "prediction": answers}
        write_predictions(folder / PREDICTIONS, columns)
        scores = {"matthews_correlation": matthews_correlation, "accuracy": accuracy, "f1": f1}
        for metric, score in scores.items():
            value, constant = (float(score(_counts(labels, x))) for x in (answers, np.ones_like(labels)))
            rows.append({
                **shared, "task": task, "tuning_seed": seed, "metric": metric, "value": value, "constant": constant,
                "one_class": is_collapsed, "seconds": 12.5, "tokens": 1e5, "flops": 1e10, "peak_memory": 5e8,
            })  # fmt: skip
    return rows


def _counts(labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    counts = np.zeros((2, 2))
    np.add.at(counts, (labels, answers), 1)
    return counts


def _write_run(folder: Path, arm: str, loss: float, *, is_finished: bool) -> None:
    """Writes the metrics of a run that learns towards `loss`; an unfinished one has got halfway."""
    folder.mkdir(parents=True)
    environment = {
        "versions": {"maskwise": "0.1.0", "torch": "2.13.0"},
        "python": "3.11.9",
        "device": "cpu",
        "threads": 1,
    }
    (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    records: list[dict[str, Any]] = []
    for step in range(60, (NUM_STEPS if is_finished else NUM_STEPS // 2) + 1, 60):
        at = {"step": step, "seconds": step / 10}
        records.append(at | {"eval_loss": loss + 3.0 * 0.5 ** (step / 60), "eval_top1": 1 / loss})
        look = {
            "masked_rate": 0.15, "budget": 0.15, "masked_score": 4.0, "eligible_score": 2.5, "overlap": 0.7,
            "most_masked": "the of ##ing", "trained_rate": 0.1498,
        }  # fmt: skip
        look |= {f"masked_q{number}": share for number, share in enumerate(QUINTILES[arm], 1)}
        records.append(at | look | ({"score_source": "teacher"} if arm == "high" else {}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    if is_finished:
        (folder / "done.json").write_text("{}", encoding="utf-8")
    else:
        log = "step 300\nThe disk is full\n"
        folder.with_name(folder.name + ".log").write_text(log, encoding="utf-8")
