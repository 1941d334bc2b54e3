"""Kills a run with SIGKILL many times, resumes it each time, and compares it with the unbroken run byte by byte.

Every second kill waits for a checkpoint that has begun and is not complete; the others fall at a random moment. The
built-in corpus is prepared first; `--data` takes a data folder of your own.

    python benchmarks/kill_resume.py --kills 20
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import machine

from maskwise.files.checkpoint_folders import MARKER
from maskwise.lab.records.run_folder import DONE, METRICS, read_metrics
from maskwise.lab.tokens.prepare import PrepareSettings, prepare

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def command(data: Path, out: Path, steps: int, recipe: list[str]) -> list[str]:
    """Returns the run's command line: a tiny model that saves at every fourth step."""
    settings = {
        "trainer.per_device_train_batch_size": 8, "trainer.logging_steps": 1, "trainer.save_steps": 4,
        "trainer.eval_steps": steps, "data.held_out_blocks": 16,
    }  # fmt: skip
    assignments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    start = [sys.executable, "-m", "maskwise", "pretrain", "--data", str(data), "--model", "tiny"]
    return [*start, "--out", str(out), "--steps", str(steps), "--resume", *recipe, *assignments]


def killed_run(arguments: list[str], out: Path, kills: int, chance: random.Random) -> int:
    """Kills and resumes the run `kills` times, then lets it end; returns how many kills hit a checkpoint's writing."""
    while_saving = 0
    for number in range(kills):
        process = subprocess.Popen(arguments, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        old, lines = set(out.glob("checkpoint-*")), len(read_metrics(out / METRICS))
        in_saving = number % 2 == 0
        if in_saving:
            wait(process, lambda old=old: any(is_incomplete(path) for path in set(out.glob("checkpoint-*")) - old))
        else:
            wait(process, lambda lines=lines: len(read_metrics(out / METRICS)) > lines)
            time.sleep(chance.random() * 0.3)
        process.kill()
        process.wait()
        while_saving += any(is_incomplete(path) for path in out.glob("checkpoint-*"))
        step = max((record["step"] for record in read_metrics(out / METRICS)), default=0)
        print(f"kill {number + 1}: at step {step}, {'while saving' if in_saving else 'between saves'}", flush=True)
        if (out / DONE).exists():
            raise SystemExit("The run ended before it could be killed: give more --steps.")
    subprocess.run(arguments, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return while_saving


def is_incomplete(checkpoint: Path) -> bool:
    """Returns True for a checkpoint folder without its marker."""
    return not (checkpoint / MARKER).exists()


def wait(process: subprocess.Popen, condition: Callable[[], bool]) -> None:
    """Waits until the condition holds or the process has ended."""
    while not condition() and process.poll() is None:
        time.sleep(0.0005)


def main() -> None:
    """Reads the options, runs both, and prints the verdict; exits with 1 where a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--steps", type=int, help="default: 6 for each kill")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("recipe", nargs="*", help="more of the run's options, such as: -- --recipe entropy-self-cold")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or Path(folder) / "data"
        if options.data is None:
            prepare(PrepareSettings(sources=("python-docs",), out=data, train_tokenizer=2000, block=32), show=False)
        steps = options.steps or 6 * max(options.kills, 2)
        unbroken, killed = Path(folder) / "unbroken", Path(folder) / "killed"
        run = command(data, unbroken, steps, options.recipe)
        subprocess.run(run, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        chance = random.Random(options.seed)
        hits = killed_run(command(data, killed, steps, options.recipe), killed, options.kills, chance)
        same = (unbroken / "model.safetensors").read_bytes() == (killed / "model.safetensors").read_bytes()
        verdict = "byte-identical to" if same else "DIFFERENT from"
        print(f"{options.kills} kills, {hits} during a checkpoint: the model is {verdict} the unbroken run's")
        raise SystemExit(0 if same else 1)


if __name__ == "__main__":
    main()
