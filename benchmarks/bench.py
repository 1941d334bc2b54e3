"""The benchmark: every work our way against the stock way, by turns in one process, beside what no way could beat.

Prints one table and writes it to `results/<date>-<machine>.json`, a list of rows (`rows.Row`), and as text with the
command, the machine and the rates it was measured at. docs/benchmarks.md says how to read it.

    python benchmarks/bench.py                             # make bench: about 35 minutes on 2 quiet cores
    python benchmarks/bench.py --only step-self --model bertlet --repeats 9
    python benchmarks/bench.py --device cuda               # compiled, bf16; 10 minutes, by reckoning
    python benchmarks/bench.py --quick --out /tmp/bench    # toy sizes, to see that it runs

Text and tasks come from the folder MASKWISE_DATA names; without it the works that need them are left out.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ENTROPY_SHAPES = ((32_768, 30_522, 512), (32_768, 30_522, 768))  # rows, vocabulary, width

# What is imported here is imported again by every process that `maskwise prepare` starts, on the clock.


def read_options() -> argparse.Namespace:
    from grid import TOKENS, WORKS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--only", nargs="+", default=[], choices=WORKS, metavar="WORK", help=", ".join(WORKS))
    parser.add_argument("--model", nargs="+", default=[], choices=TOKENS, help="leave out the others")
    parser.add_argument("--repeats", type=int, default=5, help="timed turns of the core; at most 3 elsewhere")
    parser.add_argument("--threads", type=int, help="of torch [default: torch's own]")
    parser.add_argument("--quick", action="store_true", help="toy sizes and made-up text, one turn")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the two files")
    return parser.parse_args()


def keep_to(device: str) -> None:
    """Hides the GPUs, all or all but one, from torch, which is imported later, and from every process started here."""
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    else:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")


def measure(options: argparse.Namespace, folder: Path, header: list[str]) -> None:
    """Measures the grid case by case; the files are whole after every row."""
    import rows
    from grid import CPU_JOB, CUDA_JOB, QUICK_JOB, chosen, cpu_grid, cuda_grid, quick_grid
    from material import made_up_material, real_material
    from works import Place, rows_of

    on_gpu = options.device == "cuda"
    grid = quick_grid() if options.quick else cuda_grid(options.repeats) if on_gpu else cpu_grid(options.repeats)
    material = made_up_material(folder) if options.quick else real_material(folder)
    job = QUICK_JOB if options.quick else CUDA_JOB if on_gpu else CPU_JOB
    if material is None:
        header.append("MASKWISE_DATA is not set: prepare, finetune and whole-job are left out")
        print(header[-1], flush=True)
    if on_gpu and not options.only:
        header.append("\n" + entropy_tables(ENTROPY_SHAPES, 4 * options.repeats, "cuda") + "\n")
        print(header[-1], flush=True)
    found: list[Any] = []
    header.append(rows.COLUMNS)
    print(rows.COLUMNS, flush=True)
    for case in chosen(grid, options.only, options.model):
        for row in rows_of(case, Place(options.device, material, job, compiled=on_gpu)):
            found.append(row)
            print(rows.line(row), flush=True)
            write(options, ".json", rows.as_json(found))
            write(options, ".txt", "\n".join([*header, *map(rows.line, found)]) + "\n")


def entropy_tables(shapes: Sequence[tuple[int, int, int]], repeats: int, device: str) -> str:
    """Returns what the entropy of many rows costs beside its bare product and, on a GPU, other libraries' routines."""
    import scoring
    import torch

    return "\n\n".join(
        f"{rows:,} rows x {vocabulary:,} x {width}\n"
        + scoring.table(rows, vocabulary, width, torch.bfloat16, repeats, device)
        for rows, vocabulary, width in shapes
    )


def write(options: argparse.Namespace, suffix: str, text: str) -> None:
    """Writes a result; a part of the benchmark, or a toy run, has a name of its own."""
    from maskwise.files.atomic import atomic_write

    parts = ["quick"] if options.quick else []
    parts += [*options.only, *options.model]
    name = "-".join([datetime.date.today().isoformat(), machine_name(options.device), *parts])
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write(options.out / f"{name}{suffix}", text)


def machine_name(device: str) -> str:
    """Returns the machine in a word: the GPU, or the processor and its number of cores."""
    import torch
    from common import processor

    name = torch.cuda.get_device_name() if device == "cuda" else f"{processor()} {os.cpu_count()} cores"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def heading(options: argparse.Namespace) -> list[str]:
    """Returns what a number needs: the command, the machine, and the rates that the floors are reckoned with."""
    import torch
    from common import machine
    from floors import DTYPES, measured_rates

    rates = {precision: measured_rates(options.device, precision) for precision in DTYPES}
    products = ", ".join(f"{rate.flops / 1e9:,.0f} GFLOP/s in {precision}" for precision, rate in rates.items())
    return [
        f"command: python benchmarks/bench.py {' '.join(sys.argv[1:])}",
        f"{datetime.date.today()}, {machine()}, {torch.get_num_threads()} threads",
        f"measured here: {products}; copies {rates['fp32'].bytes / 1e9:.1f} GB/s read and written",
    ]


def main() -> None:
    """Reads the options, measures, and leaves two files."""
    options = read_options()
    keep_to(options.device)
    import datasets
    import torch

    from maskwise.models.hf_logging import only_errors

    if options.threads:
        torch.set_num_threads(options.threads)
    datasets.disable_progress_bars()
    header = heading(options)
    print("\n".join(header), flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, only_errors():
        measure(options, Path(folder), header)


if __name__ == "__main__":
    main()
