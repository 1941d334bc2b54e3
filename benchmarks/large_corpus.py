"""What a large corpus costs: memory and time to prepare it, memory and time up to the first steps of training on it.

A corpus of N million tokens is made by repetition: a folder with as many links to one text as it takes, prepared with
`--keep-duplicates`. Sizes under `--copied` are not prepared: the blocks of the largest prepared corpus are copied end
to end in the same format, which shows what training makes of the size and takes seconds instead of minutes.

Memory is the resident size of a process and its children at its height, sampled 20 times a second; `own` leaves out the
pages of mapped files, which the system takes back when it needs them. Time is processor time, which other work on the
machine hardly moves, from the start of the process; `bare` is the same command up to its first step on one copy.

    python benchmarks/large_corpus.py --prepared 10 100 --copied 1000
    python benchmarks/large_corpus.py --prepared 1000 --text wiki.txt
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from common import machine

from maskwise.lab.records.run_folder import METRICS, read_metrics
from maskwise.lab.text.sources import BUILT_IN, documents
from maskwise.lab.tokens.blocks import MANIFEST, TOKEN_COUNTS, open_data
from maskwise.lab.tokens.prepare import PrepareSettings, prepare

SAMPLE_SECONDS = 0.05
LIMIT_BYTES = 2 << 30
STEPS = 5


@dataclass
class Cost:
    """What a command took up to an event, or to its end."""

    peak_bytes: int = 0
    own_peak_bytes: int = 0
    seconds: float = 0.0

    def line(self) -> str:
        """Returns the figures in words."""
        peak, own = (size / 2**20 for size in (self.peak_bytes, self.own_peak_bytes))
        return f"{self.seconds:8.1f} s, peak {peak:5.0f} MiB (own {own:5.0f} MiB)"


def watch(arguments: Sequence[str], happened: Callable[[], bool] | None = None) -> Cost:
    """Runs maskwise to its end; the seconds count up to when `happened()` turns true, the memory all the way."""
    cost, over = Cost(), False
    command = [sys.executable, "-m", "maskwise", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        tree = psutil.Process(process.pid)
        while process.poll() is None:
            _sample(cost, tree, count_time=not over)
            over = over or (happened is not None and happened())
            time.sleep(SAMPLE_SECONDS)
        if process.returncode:
            raise SystemExit(process.stderr.read() if process.stderr else "it failed")
    return cost


def _sample(cost: Cost, tree: psutil.Process, *, count_time: bool) -> None:
    try:
        members = [tree, *tree.children(recursive=True)]
        memory = [member.memory_info() for member in members]
        times = [member.cpu_times() for member in members]
    except psutil.NoSuchProcess:
        return
    resident, shared = sum(m.rss for m in memory), sum(m.shared for m in memory)
    cost.peak_bytes = max(cost.peak_bytes, resident)
    cost.own_peak_bytes = max(cost.own_peak_bytes, resident - shared)
    if count_time:
        cost.seconds = max(cost.seconds, sum(t.user + t.system for t in times))


def repeated_text(text: Path, copies: int, folder: Path) -> Path:
    """Returns a folder of so many links to one text."""
    folder.mkdir()
    for number in range(copies):
        (folder / f"part-{number:05}{''.join(text.suffixes)}").symlink_to(text.resolve())
    return folder


def repeated_blocks(data: Path, times: int, out: Path) -> Path:
    """Returns a data folder whose training blocks are those of `data`, so many times over."""
    out.mkdir()
    shutil.copytree(data / "tokenizer", out / "tokenizer")
    shutil.copy(data / "valid.arrow", out)
    np.save(out / TOKEN_COUNTS, np.load(data / TOKEN_COUNTS) * times)
    source = pa.ipc.open_stream(pa.memory_map(str(data / "train.arrow")))
    with pa.OSFile(str(out / "train.arrow"), "wb") as file, pa.ipc.new_stream(file, source.schema) as writer:
        batches = list(source)
        for _ in range(times):
            for batch in batches:
                writer.write_batch(batch)
    manifest = json.loads((data / MANIFEST).read_text(encoding="utf-8"))
    for kind in ("tokens", "blocks"):
        manifest["counts"][kind]["train"] *= times
    (out / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return out


def first_steps(data: Path, out: Path) -> Cost:
    """Returns what it costs to train for a few steps; the seconds end with the first."""
    settings = {
        "trainer.per_device_train_batch_size": 32, "trainer.logging_steps": 1, "trainer.eval_steps": STEPS,
        "trainer.save_steps": STEPS, "trainer.report_to": "[]", "data.held_out_blocks": 64,
    }  # fmt: skip
    assignments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    arguments = ["pretrain", "--data", str(data), "--model", "tiny", "--steps", str(STEPS), "--out", str(out)]

    def has_stepped() -> bool:
        return any("loss" in record for record in read_metrics(out / METRICS))

    cost = watch([*arguments, *assignments], has_stepped)
    shutil.rmtree(out)
    return cost


def num_tokens(data: Path) -> int:
    """Returns how many training tokens a data folder has."""
    return open_data(data).manifest["counts"]["tokens"]["train"]


def python_text(folder: Path) -> Path:
    """Writes the built-in corpus down as one text file, about a million words."""
    path = folder / "python.txt"
    with path.open("w", encoding="utf-8") as file:
        for document in documents([BUILT_IN]):
            file.write("\n".join(line for line in document.text.splitlines() if line.strip()) + "\n\n")
    return path


def report(what: str, tokens: int, cost: Cost) -> None:
    """Prints one line of the table."""
    over = "  OVER 2 GiB" if cost.peak_bytes > LIMIT_BYTES else ""
    print(f"{tokens / 1e6:8.1f}M tokens  {what:22} {cost.line()}{over}", flush=True)


def main() -> None:
    """Reads the options, makes the corpora one after the other, and prints a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="a text of some million tokens; default: the built-in corpus")
    parser.add_argument("--prepared", type=int, nargs="*", default=[10, 100], help="sizes in million tokens")
    parser.add_argument("--copied", type=int, nargs="*", default=[1000], help="sizes in million tokens")
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Prepares each size, trains on it, and copies the largest for the sizes beyond."""
    text, once = options.text or python_text(folder), folder / "once"
    prepare(PrepareSettings(sources=(str(text),), out=once, train_tokenizer=options.vocabulary), show=False)
    first_steps(once, folder / "run")  # compiles and warms the caches of the file system
    report("bare: first step", num_tokens(once), first_steps(once, folder / "run"))
    data = once
    for millions in options.prepared:
        copies = -(-millions * 1_000_000 // num_tokens(once))
        source, data = repeated_text(text, copies, folder / f"text-{millions}"), folder / f"data-{millions}"
        made = ["prepare", str(source), "--out", str(data), "--tokenizer", str(once / "tokenizer"), "--keep-duplicates"]
        cost = watch([*made, "--workers", str(options.workers)])
        report("prepare", num_tokens(data), cost)
        report("first step", num_tokens(data), first_steps(data, folder / "run"))
    for millions in options.copied:
        times = -(-millions * 1_000_000 // num_tokens(data))
        copied = repeated_blocks(data, times, folder / f"copied-{millions}")
        report("first step, copied", num_tokens(copied), first_steps(copied, folder / "run"))
        shutil.rmtree(copied)


if __name__ == "__main__":
    main()
