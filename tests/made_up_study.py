"""A study's folder as a finished study leaves it, its numbers made up: for tests of what reads such folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from maskwise.lab.config import merge
from maskwise.lab.records.record import (
    Environment,
    RunFile,
    RunKey,
    RunRecord,
    list_files,
    metrics_of,
    read_record,
    write_record,
)
from maskwise.lab.stats.items import accuracy, f1, matthews_correlation
from maskwise.lab.study.layout import Layout, graded_keys, is_tuned, pretraining_keys, reference_keys, run_name
from maskwise.lab.study.results import collect, write_results
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
ENVIRONMENT = Environment(
    versions={"maskwise": "0.1.0", "torch": "2.13.0"}, python="3.11.9", device="cpu", threads=1, precision="fp32"
)
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
    """Makes the folder of a study: its file, its results, its predictions, and its runs' metrics and records.

    `gains` are by arm; jobs named in `without` are not finished, those in `collapsed` answer "1" to everything.
    `reference` is the gain of models without pretraining; None: they were not run.
    """
    study, layout = check_study(merge(TREE, changes or {})), Layout(out)
    out.mkdir(parents=True)
    tree = study.resolved().model_dump(mode="json", exclude_none=True)
    layout.study_file.write_text(tomli_w.dumps(tree), encoding="utf-8")
    for key in pretraining_keys(study):
        random = np.random.default_rng([luck, key.seed])
        loss = 4.2 + 0.06 * random.standard_normal() - gains[key.arm]
        _write_run(layout, key, loss, is_finished=run_name(key) not in without)
        if run_name(key) in without:
            continue
        for graded in filter(is_tuned, graded_keys(study, key)):
            if run_name(graded) not in without:
                own = np.random.default_rng([luck, key.seed, list(gains).index(key.arm), len(graded.task)])
                is_collapsed = run_name(graded) in collapsed
                _write_tuned(layout, graded, random, own, gains[key.arm], is_collapsed, study)
    if reference is not None:
        _write_reference(layout, study, reference - gains[study.arms[0].name], luck)
    write_results(layout.results, collect(out))
    return study


def _write_reference(layout: Layout, study: Study, gain: float, luck: int) -> None:
    """Models without pretraining score as the first arm does at the same seed, moved by the gain and some noise."""
    own = np.random.default_rng([luck, 99])
    for seed in study.seeds:
        for key in filter(is_tuned, reference_keys(study, study.backbones[0], seed)):
            for tuning_seed in study.tuning_seeds:
                first = read_record(layout.tuned(replace(key, arm=study.arms[0].name), tuning_seed))
                moved = {
                    name: metric.model_copy(update={"value": metric.value + gain + own.normal(0, 0.005)})
                    for name, metric in first.metrics.items()
                    if metric.value is not None
                }
                folder = layout.tuned(key, tuning_seed)
                folder.mkdir(parents=True)
                write_record(folder, first.model_copy(update={"key": key, "metrics": moved, "files": {}}))
            layout.done(key).write_text('{"files": {}}', encoding="utf-8")
        held_out = RunKey(NOT_PRETRAINED, study.backbones[0].name, seed)
        layout.folder(held_out).mkdir(parents=True)
        grades = metrics_of({"loss": 6.0, "perplexity": float(np.exp(6.0)), "top1": 0.05, "top5": 0.2})
        write_record(layout.folder(held_out), RunRecord(kind="evaluate", finished=True, key=held_out, metrics=grades))


def _write_tuned(
    layout: Layout, key: RunKey, random: Any, own: Any, gain: float, is_collapsed: bool, study: Study
) -> None:
    """Writes one job's predictions and records: the metrics are those of the predictions."""
    labels = (np.arange(NUM_EXAMPLES) % 3 > 0).astype(int)
    hard = random.random(NUM_EXAMPLES)
    scores = {"matthews_correlation": matthews_correlation, "accuracy": accuracy, "f1": f1}
    constant = {name: float(score(_counts(labels, np.ones_like(labels)))) for name, score in scores.items()}
    for seed in study.tuning_seeds:
        is_right = hard + own.normal(0, 0.05, NUM_EXAMPLES) < 0.75 + gain
        answers = np.where(is_right, labels, 1 - labels)
        answers = np.ones_like(labels) if is_collapsed else answers
        folder = layout.tuned(key, seed)
        folder.mkdir(parents=True)
        columns = {"split": ["validation"] * NUM_EXAMPLES, "label": labels, "prediction": answers}
        write_predictions(folder / PREDICTIONS, columns)
        record = RunRecord(
            kind="tune", finished=True, key=key, tuning_seed=seed, settings_hash=f"{key.arm[0]}{key.seed:011d}",
            metrics=metrics_of({name: float(score(_counts(labels, answers))) for name, score in scores.items()}),
            baselines={"constant": constant}, collapsed=is_collapsed, seconds=20.0, training_seconds=12.5, tokens=1e5,
            flops=1e10, peak_memory=500_000_000, environment=ENVIRONMENT,
            settings={"task": key.task, "task kind": "classify", "held out": ["validation"]},
            files=list_files(folder, {"predictions": PREDICTIONS}),
        )  # fmt: skip
        write_record(folder, record)
    layout.done(key).write_text('{"files": {}}', encoding="utf-8")


def _counts(labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    counts = np.zeros((2, 2))
    np.add.at(counts, (labels, answers), 1)
    return counts


def _write_run(layout: Layout, key: RunKey, loss: float, *, is_finished: bool) -> None:
    """Writes the metrics and the record of a run that learns towards `loss`; an unfinished one has got halfway."""
    folder, arm = layout.folder(key), key.arm
    folder.mkdir(parents=True)
    lines: list[dict[str, Any]] = []
    for step in range(60, (NUM_STEPS if is_finished else NUM_STEPS // 2) + 1, 60):
        at = {"step": step, "seconds": step / 10}
        lines.append(at | {"eval_loss": loss + 3.0 * 0.5 ** (step / 60), "eval_top1": 1 / loss})
        look = {
            "masked_rate": 0.15, "budget": 0.15, "masked_score": 4.0, "eligible_score": 2.5, "overlap": 0.7,
            "most_masked": "the of ##ing", "trained_rate": 0.1498,
        }  # fmt: skip
        look |= {f"masked_q{number}": share for number, share in enumerate(QUINTILES[arm], 1)}
        lines.append(at | look | ({"score_source": "teacher"} if arm == "high" else {}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    record = RunRecord(
        kind="pretrain", key=key, settings_hash=f"{arm[0]}{key.seed:011d}", environment=ENVIRONMENT,
        files={"metrics": RunFile(path="metrics.jsonl")},
    )  # fmt: skip
    if not is_finished:
        write_record(folder, record)
        layout.log(key).write_text("step 300\nThe disk is full\n", encoding="utf-8")
        return
    grades = {"loss": loss, "perplexity": float(np.exp(loss)), "top1": 1 / loss, "top5": 2 / loss}
    measured = {
        "finished": True, "metrics": metrics_of(grades), "steps": NUM_STEPS, "seconds": 70 * COSTS[arm],
        "training_seconds": 60 * COSTS[arm], "tokens": 2.4e6, "flops": COSTS[arm] * 1e12, "peak_memory": 700_000_000,
    }  # fmt: skip
    write_record(folder, record.model_copy(update=measured))
    layout.done(key).write_text('{"files": {}}', encoding="utf-8")
