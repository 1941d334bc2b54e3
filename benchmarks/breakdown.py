"""Where the time of a training step goes on a processor, beside the least that its products and bytes could take.

Every operation's own time is counted once, by torch's profiler: under scoring and masking, head + loss, clipping or
optimizer if it runs inside one of them, else by its kind. "Products" says how much of a row is matrix products; those
inside fused attention cannot be told apart, and its floor stands under the body's products. What no operation accounts
for (Python, autograd's own work) is the rest. The floors are reckoned at the rates measured in the same run.

    python benchmarks/breakdown.py                                    # about 2 minutes on 2 quiet cores
    python benchmarks/breakdown.py --model tiny --kinds self --precisions bf16 --steps 9
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from common import machine
from floors import LABELLED, WEIGHT_BYTES, Cost, Rates, measured_rates
from grid import BERT_VOCABULARY, TOKENS
from step import Bench
from torch.profiler import profile, record_function

from maskwise.models.flops import ForwardFlops, forward_flops
from maskwise.training.cpu_allocator import kept_buffers

LENGTH = 128
WARM_UPS = 2
STREAMED = ("random", "stored", "self")  # the loss of the others has logits, and no name of its own in a profile
SCORING = "scoring and masking"
REGIONS = {
    SCORING: SCORING,
    "_LinearLoss": "head + loss",
    "_LinearLossBackward": "head + loss",
    "clipping": "clipping",
    "optimizer": "optimizer",
}
PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::matmul", "aten::linear"}
RANDOM = {"aten::random_", "aten::bernoulli_", "aten::native_dropout", "aten::uniform_"}
BODY = "matrix products of the body"
ATTENTION = "fused attention"
DROPOUT = "random numbers of dropout"
ELEMENTWISE = "copies, elementwise, norms"
REST = "rest"
GROUPS = (BODY, ATTENTION, DROPOUT, ELEMENTWISE, "head + loss", SCORING, "optimizer", "clipping", REST)


def step(bench: Bench, kind: str) -> None:
    """Takes a training step whose parts have names that a profile shows."""
    with record_function(SCORING):
        masked = bench.masked(kind)
    bench.loss(kind, masked).backward()
    with record_function("clipping"):
        torch.nn.utils.clip_grad_norm_(bench.models["ours"].parameters(), 1.0)
    with record_function("optimizer"):
        bench.optimizers["ours"].step()
        bench.optimizers["ours"].zero_grad()


def group_of(event: Any) -> str:
    """Returns the group an operation's own time belongs to: that of the part it runs in, else that of its kind."""
    around = event
    while around is not None:
        if around.name in REGIONS:
            return REGIONS[around.name]
        around = around.cpu_parent
    if event.name in PRODUCTS:
        return BODY
    if "scaled_dot_product" in event.name:
        return ATTENTION
    if event.name in RANDOM:
        return DROPOUT
    return ELEMENTWISE if event.name.startswith("aten::") else REST


def seconds_by_group(bench: Bench, kind: str, steps: int) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the seconds a step of each group, and those of them that are matrix products."""
    with kept_buffers(bench.device):
        for _ in range(WARM_UPS):
            step(bench, kind)
        with profile(activities=[torch.profiler.ProfilerActivity.CPU]) as trace:
            started_at = time.perf_counter()
            for _ in range(steps):
                step(bench, kind)
            whole = (time.perf_counter() - started_at) / steps
    seconds: dict[str, float] = defaultdict(float)
    products: dict[str, float] = defaultdict(float)
    for event in trace.events():
        own = event.self_cpu_time_total / 1e6 / steps
        seconds[group_of(event)] += own
        products[group_of(event)] += own if event.name in PRODUCTS else 0.0
    seconds[REST] += max(whole - sum(seconds.values()), 0.0)
    return seconds, products


def costs(forward: ForwardFlops, kind: str, tokens: int, num_weights: int) -> dict[str, Cost]:
    """Returns what each group has to do at least; groups that in principle need not be are left out."""
    weights = WEIGHT_BYTES * num_weights
    known = {
        BODY: Cost(3 * forward.body * tokens),
        "head + loss": Cost(3 * LABELLED * forward.head * tokens),
        "optimizer": Cost(0.0, 7 * weights),  # reads weight, gradient and both moments; writes all but the gradient
        "clipping": Cost(0.0, 3 * weights),  # reads the gradient for its norm; reads and writes it to scale it
    }
    return known | ({SCORING: Cost((forward.body + forward.head) * tokens)} if kind == "self" else {})


def table(
    seconds: dict[str, float], products: dict[str, float], floors: dict[str, Cost], rates: Rates
) -> Iterator[str]:
    """Yields the lines of one step's table."""
    whole = sum(seconds.values())
    yield f"{'':<28} {'ms':>8} {'share':>7} {'products ms':>12} {'floor ms':>9}"
    for group in GROUPS:
        floor = f"{1e3 * rates.floor_seconds(floors[group]):.1f}" if group in floors else "-"
        yield (
            f"{group:<28} {1e3 * seconds[group]:>8.1f} {seconds[group] / whole:>7.1%}"
            f" {1e3 * products[group]:>12.1f} {floor:>9}"
        )
    least = sum(cost.flops for cost in floors.values()) / rates.flops
    yield (
        f"{'a step':<28} {1e3 * whole:>8.1f} {'100.0%':>7} {1e3 * sum(products.values()):>12.1f} {1e3 * least:>9.1f}"
        f"   its flops at the matrix rate: {least / whole:.0%} of it"
    )


def report(model: str, precision: str, kinds: list[str], tokens: int, vocabulary: int, steps: int) -> None:
    """Prints a table for each kind of step."""
    bench = Bench(model, tokens // LENGTH, LENGTH, vocabulary, "cpu", precision=precision)
    num_weights = sum(weight.numel() for weight in bench.models["ours"].parameters())
    forward, rates = forward_flops(model, LENGTH, vocabulary), measured_rates("cpu", precision)
    for kind in kinds:
        print(f"\n{kind}, {model} {tokens // LENGTH} x {LENGTH}, {precision}, V = {vocabulary:,}")
        found = seconds_by_group(bench, kind, steps)
        print("\n".join(table(*found, costs(forward, kind, tokens, num_weights), rates)), flush=True)


def main() -> None:
    """Reads the options and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["bertlet", "tiny"], choices=TOKENS)
    parser.add_argument("--kinds", nargs="+", default=["random", "self"], choices=STREAMED)
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp32"], choices=("bf16", "fp32"))
    parser.add_argument("--tokens", type=int, help="of a step [default: the benchmark's]")
    parser.add_argument("--vocabulary", type=int, default=BERT_VOCABULARY)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{machine()}, {options.threads} threads")
    for precision in options.precisions:
        rates = measured_rates("cpu", precision)
        print(f"measured here: {rates.flops / 1e9:,.0f} GFLOP/s in {precision}, {rates.bytes / 1e9:.1f} GB/s")
        for model in options.model:
            tokens = options.tokens or TOKENS[model]
            report(model, precision, options.kinds, tokens, options.vocabulary, options.steps)


if __name__ == "__main__":
    main()
