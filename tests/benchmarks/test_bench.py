"""The benchmark as a process of its own, at toy size: what it writes, and that its scripts still run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WORKS = [
    "prepare", "step-random", "step-stored", "step-self", "step-distilled", "scoring", "held_out", "finetune",
    "whole-job",
]  # fmt: skip
WORDS = {"work": str, "model": str, "device": str, "precision": str}
COUNTS = ("vocabulary", "length", "tokens", "turns")
SECONDS = ("ours_seconds", "stock_seconds", "ratio", "floor_seconds")
QUARTILES = ("ours_quartiles", "stock_quartiles", "ratio_quartiles")
PEAKS = ("peak_memory_bytes", "stock_peak_memory_bytes")


def done(environment, script, *arguments):
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)


def run(environment, script, *arguments):
    result = done(environment, script, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def eager(environment):
    """Nothing is compiled: it takes longer than all the rest, and the numbers are no matter here."""
    return {key: value for key, value in environment.items() if key != "MASKWISE_DATA"} | {"TORCHDYNAMO_DISABLE": "1"}


@pytest.fixture(scope="module")
def quick(eager, tmp_path_factory):
    """The rows, the terminal's text and the folder of a toy run of everything."""
    out = tmp_path_factory.mktemp("bench")
    shown = run(eager, "bench.py", "--quick", "--threads", 1, "--out", out)
    (file,) = out.glob("*.json")
    return json.loads(file.read_text(encoding="utf-8")), shown, out


def test_every_work_has_a_row_with_every_key(quick):
    rows, _, _ = quick
    assert [row["work"] for row in rows] == WORKS
    for row in rows:
        assert set(row) == {*WORDS, *COUNTS, *SECONDS, *QUARTILES, *PEAKS}
        assert all(isinstance(row[key], kind) for key, kind in WORDS.items())
        assert all(isinstance(row[key], int) and row[key] > 0 for key in COUNTS)


def test_a_ratio_is_ours_over_stock_and_quartiles_lie_around(quick):
    rows, _, _ = quick
    for row in rows:
        assert row["turns"] == 1
        assert row["ratio"] == pytest.approx(row["ours_seconds"] / row["stock_seconds"])
        for name, quartiles in zip(("ours_seconds", "stock_seconds", "ratio"), QUARTILES, strict=True):
            assert row[quartiles][0] <= row[name] <= row[quartiles][1]


def test_floors_are_positive_and_below_what_was_measured(quick):
    rows, _, _ = quick
    for row in rows:
        assert 0 < row["floor_seconds"] < row["ours_seconds"], row


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from Linux's /proc")
def test_peaks_hold_at_least_the_weights_and_moments(quick):
    rows, _, _ = quick
    weights = 4 * 2 * 128 * (4 + 8) * 128  # of two layers of the tiny model, without its embeddings
    for row in rows:
        least = 3 * weights if row["work"].startswith("step") else 0  # small work may fit into memory held before
        assert row["peak_memory_bytes"] >= least and row["stock_peak_memory_bytes"] >= least, row


def test_the_terminal_shows_a_line_for_each_row_and_the_text_file_says_the_same(quick):
    rows, shown, out = quick
    (file,) = out.glob("*.txt")
    assert all(any(line.startswith(row["work"]) for line in shown.splitlines()) for row in rows)
    assert file.read_text(encoding="utf-8").strip() == shown.strip()
    assert shown.startswith("command: python benchmarks/bench.py --quick")
    assert "GFLOP/s in bf16" in shown


def test_shares_of_the_breakdown_add_up(eager):
    sizes = ["--model", "tiny", "--precisions", "fp32", "--tokens", 256, "--vocabulary", 300, "--steps", 1]
    shown = run(eager, "breakdown.py", *sizes, "--kinds", "self", "--threads", 1)
    shares = {line[:28].strip(): line[28:].split() for line in shown.splitlines() if "%" in line}
    parts = {name: float(cells[1].rstrip("%")) for name, cells in shares.items() if name != "a step"}
    assert sum(parts.values()) == pytest.approx(100, abs=0.5)
    assert all(parts[name] > 0 for name in ("scoring and masking", "head + loss", "optimizer", "clipping"))
    assert parts["matrix products of the body"] > 0


def test_the_gpus_part_runs_compiled_on_a_processor(environment):
    """A GPU is rarely at hand: what would end its run after the first minutes is to show here."""
    found = json.loads(run(environment, Path(__file__).with_name("cuda_part.py")).splitlines()[-1])
    assert [row["work"] for row in found["rows"]] == [
        "step-random",
        "step-stored",
        "step-self",
        "step-distilled",
        "scoring",
    ]
    assert all(row["precision"] == "bf16" and row["ours_seconds"] > 0 for row in found["rows"])
    assert found["graphs"] >= 6  # training: stock, ours, distilled; a forward pass: scoring ours and stock, the teacher
    assert found["table"].startswith("8 rows x 300 x 16")
    assert all(way in found["table"] for way in ("product in one piece", "ours, compiled", "dense log_softmax"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("option", [["--check-syncs"], ["--device", "cuda"]])
def test_what_needs_a_gpu_says_so_where_there_is_none(environment, option):
    result = done(environment, "step.py", *option)
    assert result.returncode == 2
    assert "there is no GPU here: --check-syncs" in result.stderr
