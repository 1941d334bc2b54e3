"""Kills a study at random moments, starts it again each time, and compares its table with the unbroken study's.

The whole of it is killed, as by the system: SIGKILL to the study alone, whose cells must end by themselves. Three arms,
three seeds, a made-up task with two tuning seeds: 18 cells, each in a process of its own.

    python benchmarks/kill_study.py --kills 10
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tomli_w
from common import machine

from maskwise.lab.study.results import COST_COLUMNS, read_results
from maskwise.lab.tokens.prepare import PrepareSettings, prepare

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
NOUNS = ("bird", "city", "day", "dog", "fish", "garden", "house", "man", "river", "song", "tree", "word")
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": ENVIRONMENT}


def write_task(folder: Path, chance: random.Random) -> None:
    """Writes sentences whose label says whether "good" is among their words."""
    (folder / "cola").mkdir(parents=True)
    for split, number in (("train", 600), ("validation", 100)):
        rows = []
        for i in range(number):
            words = [*chance.choices(NOUNS, k=chance.randint(3, 9)), "good" if i % 3 else "old"]
            chance.shuffle(words)
            rows.append(json.dumps({"sentence": " ".join(words), "label": int(i % 3 > 0)}))
        (folder / "cola" / f"{split}.jsonl").write_text("\n".join(rows), encoding="utf-8")


def study_tables(data: Path, tasks: Path) -> dict[str, object]:
    """Returns the study: runs of 30 steps that save at every fifth."""
    trainer = {
        "max_steps": 30, "per_device_train_batch_size": 8, "save_steps": 5, "eval_steps": 10, "logging_steps": 1,
        "bf16": False,
    }  # fmt: skip
    arms = ("random", "entropy-self-cold", "whole-word")
    return {
        "seeds": "0-2", "tuning_seeds": "0-1", "tasks": ["cola"], "task_data": str(tasks),
        "pretrain": {"data": {"path": str(data), "held_out_blocks": 32}, "trainer": trainer},
        "tune": {"max_epochs": 4, "batch_size": 32, "learning_rate": 1e-3, "bf16": False, "checkpoint_seconds": 0},
        "backbones": [{"name": "tiny", "preset": "tiny"}],
        "arms": [{"name": name} for name in arms],
        "statistics": {"family": [[name, "random"] for name in arms[1:]], "margin": 0.01},
    }  # fmt: skip


def killed_study(command: list[str], kills: int, seconds: float, chance: random.Random, out: Path) -> int:
    """Kills and restarts the study, then lets it end; returns how many kills found it running.

    `seconds` are the unbroken study's; a start that does nothing is timed first, since every restart costs as much.
    """
    hits, started_at = 0, time.monotonic()
    subprocess.run([*command, "--dry-run"], **QUIET, check=True)
    start = time.monotonic() - started_at
    for number in range(kills):
        process = subprocess.Popen(command, **QUIET)
        try:
            process.wait(timeout=start + chance.uniform(0, 1.5) * (seconds - start) / kills)
        except subprocess.TimeoutExpired:
            hits += 1
        process.kill()
        process.wait()
        done = len(list(out.glob("runs/*/*/*/pretrain/done.json"))) + len(list(out.rglob("result.json")))
        print(f"kill {number + 1}: {done} of 27 models are pretrained or tuned", flush=True)
    subprocess.run(command, **QUIET, check=True)
    return hits


def table(out: Path) -> list[dict[str, object]]:
    """Returns a study's rows without what they cost."""
    return [{key: value for key, value in row.items() if key not in COST_COLUMNS} for row in read_results(out)]


def main() -> None:
    """Reads the options, runs both studies, and prints the verdict; exits with 1 where a number differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(machine())
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(
            PrepareSettings(sources=("python-docs",), out=folder / "data", train_tokenizer=2000, block=32), show=False
        )
        write_task(folder / "tasks", chance)
        (folder / "study.toml").write_text(tomli_w.dumps(study_tables(folder / "data", folder / "tasks")))
        start = [
            sys.executable,
            "-m",
            "maskwise",
            "study",
            str(folder / "study.toml"),
            "--jobs",
            str(options.jobs),
        ]
        started_at = time.monotonic()
        subprocess.run([*start, "--out", str(folder / "unbroken")], **QUIET, check=True)
        seconds = time.monotonic() - started_at
        killed = folder / "killed"
        hits = killed_study([*start, "--out", str(killed)], options.kills, seconds, chance, killed)
        same, number = table(folder / "unbroken") == table(killed), len(table(killed))
        verdict = "equal to" if same else "DIFFERENT from"
        print(f"{hits} kills: the {number} rows of results.parquet are {verdict} the unbroken study's, costs aside")
        raise SystemExit(0 if same else 1)


if __name__ == "__main__":
    main()
