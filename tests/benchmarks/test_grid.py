"""Which points are measured: that those of one axis can be compared, and that the GPU's grid has all it should."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GRID = runpy.run_path(str(BENCHMARKS / "grid.py"))
V_30K = GRID["BERT_VOCABULARY"]
VISIBLE = "CUDA_VISIBLE_DEVICES"


def points(cases, work, model, **fixed):
    found = [case for case in cases if work in case.works and case.model == model and case.precision == "bf16"]
    return [case for case in found if all(getattr(case, name) == value for name, value in fixed.items())]


@pytest.mark.parametrize(("grid", "model"), [("cpu_grid", "tiny"), ("cpu_grid", "bertlet"), ("cuda_grid", "bertlet")])
@pytest.mark.parametrize("work", ["step-random", "step-self", "scoring"])
def test_four_vocabularies_are_measured_with_the_same_tokens(grid, model, work):
    """With other tokens at 30,522 the growth from 8,192 would be one of batches."""
    cases = points(GRID[grid](5), work, model, length=128)
    vocabularies: dict[int, set[int]] = {}
    for case in cases:
        vocabularies.setdefault(case.tokens, set()).add(case.vocabulary)
    assert {8_192, V_30K, 128_000, 250_000} in vocabularies.values()
    assert {V_30K} in vocabularies.values(), "the core keeps its own size"


@pytest.mark.parametrize("grid", ["cpu_grid", "cuda_grid"])
def test_every_work_is_measured(grid):
    assert {work for case in GRID[grid](5) for work in case.works} == set(GRID["WORKS"])


def test_the_gpus_grid_has_every_model_and_length():
    cases = GRID["cuda_grid"](5)
    assert {case.length for case in points(cases, "step-self", "bertlet", vocabulary=V_30K)} == {64, 128, 512}
    assert {case.length for case in points(cases, "step-distilled", "bert")} == {128, 512}
    assert points(cases, "step-distilled", "tiny")


@pytest.mark.parametrize(("grid", "job"), [("cpu_grid", "CPU_JOB"), ("cuda_grid", "CUDA_JOB")])
def test_models_are_tuned_on_enough_examples_to_be_timed(grid, job):
    tuned = {case.model for case in GRID[grid](5) if "finetune" in case.works}
    assert tuned
    assert all(GRID[job].examples[model] >= 256 for model in tuned)


@pytest.mark.parametrize(("device", "visible", "seen"), [("cpu", "0,1", ""), ("cuda", None, "0"), ("cuda", "1", "1")])
def test_a_run_keeps_to_its_device_before_torch_is_imported(device, visible, seen):
    """PyTorch reads it once: set later, rows called cpu would have been tuned and examined on the GPU."""
    code = f"import bench, grid; bench.keep_to({device!r})"
    code += f"; import os, sys; print('torch' in sys.modules, os.environ['{VISIBLE}'])"
    environment = {key: value for key, value in os.environ.items() if key != VISIBLE}
    environment |= {} if visible is None else {VISIBLE: visible}
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=BENCHMARKS, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert shown == f"False {seen}\n"
