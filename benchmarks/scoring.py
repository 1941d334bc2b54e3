"""What it costs to score rows against a vocabulary, beside the matrix product alone and beside dense logits.

Prints a table: per precision, the bare product in one piece, the bare product in tiles of the shape that scoring uses,
scoring (compiled, eager), and the usual way: dense float32 logits, log_softmax, sum. All run in turn, `--repeats`
times; a ratio is the median of the ratios within a turn. The flops floor is 2 x rows x vocabulary x width at the best
rate that any bare product reached in this run. One thread is measured in processor time, which other work on the
machine hardly moves; several threads in wall time, which needs an idle machine. On a GPU the routines of trl and Liger
take part where they are installed (`libraries`).

    python benchmarks/scoring.py --rows 2048 --width 512
    python benchmarks/scoring.py --rows 32768 --width 768 --device cuda
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from common import alternate, fair_clock, median_ratio, processor, timed
from libraries import entropies
from torch import Tensor

from maskwise.masking.entropy import row_statistics

TILE_ROWS, TILE_COLUMNS = 2048, 2048


def product_in_tiles(hidden_RD: Tensor, weight_VD: Tensor) -> None:
    tile_RC = torch.empty(TILE_ROWS, TILE_COLUMNS, dtype=hidden_RD.dtype, device=hidden_RD.device)
    for weight_CD in weight_VD.split(TILE_COLUMNS):
        for rows_RD in hidden_RD.split(TILE_ROWS):
            torch.mm(rows_RD, weight_CD.t(), out=tile_RC[: len(rows_RD), : len(weight_CD)])


def dense_entropy(hidden_RD: Tensor, weight_VD: Tensor, bias_V: Tensor) -> Tensor:
    log_p_RV = torch.nn.functional.linear(hidden_RD, weight_VD, bias_V.to(hidden_RD.dtype)).float().log_softmax(-1)
    return -(log_p_RV.exp() * log_p_RV).sum(-1)


def ways(rows: int, vocabulary: int, width: int, dtype: torch.dtype, device: str) -> dict[str, Callable[[], object]]:
    generator = torch.Generator().manual_seed(0)
    hidden_RD = torch.randn(rows, width, generator=generator).to(device, dtype)
    weight_VD = (torch.randn(vocabulary, width, generator=generator) * 2 / width**0.5).to(device, dtype)
    bias_V = -torch.arange(1.0, vocabulary + 1, device=device).log()
    return {
        "product in tiles": lambda: product_in_tiles(hidden_RD, weight_VD),
        "product in one piece": lambda: hidden_RD @ weight_VD.t(),
        "ours, compiled": lambda: row_statistics(hidden_RD, weight_VD, bias_V, compiled=True),
        "ours, eager": lambda: row_statistics(hidden_RD, weight_VD, bias_V),
        "dense log_softmax": lambda: dense_entropy(hidden_RD, weight_VD, bias_V),
        **entropies(hidden_RD, weight_VD, bias_V),
    }


@torch.no_grad()
def measure(functions: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, list[float]]:
    """Returns the seconds of every turn, by way; each runs once unmeasured first, which compiles."""
    work = {name: timed(function, device, fair_clock(device)) for name, function in functions.items()}
    return alternate(work, repeats, warm_ups=1)


def table(rows: int, vocabulary: int, width: int, dtype: torch.dtype, repeats: int, device: str) -> str:
    """Returns the measured seconds of every way as a table."""
    seconds = measure(ways(rows, vocabulary, width, dtype, device), repeats, device)
    flops = 2 * rows * vocabulary * width
    floor = min(min(seconds["product in tiles"]), min(seconds["product in one piece"]))
    lines = [
        f"{dtype}: {flops / 1e9:.1f} GFLOP; floor {floor * 1e3:.1f} ms at {flops / floor / 1e9:.0f} GFLOP/s",
        f"{'way':<22} {'median ms':>10} {'least ms':>9} {'x one piece':>12} {'x tiles':>8} {'ns a logit':>11}",
    ]
    for name, times in seconds.items():
        median = statistics.median(times)
        ratios = [median_ratio(seconds, name, f"product in {base}") for base in ("one piece", "tiles")]
        lines.append(
            f"{name:<22} {median * 1e3:>10.1f} {min(times) * 1e3:>9.1f} {ratios[0]:>12.2f} {ratios[1]:>8.2f}"
            f" {median / rows / vocabulary * 1e9:>11.4g}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--vocab", type=int, default=30522)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"{arguments.rows} rows x {arguments.vocab} tokens x {arguments.width}, {arguments.threads} threads,"
        f" torch {torch.__version__}, {processor()}"
    )
    for dtype in (torch.float32, torch.bfloat16):
        shape = (arguments.rows, arguments.vocab, arguments.width)
        print("\n" + table(*shape, dtype, arguments.repeats, arguments.device))


if __name__ == "__main__":
    main()
