"""What it costs to score a whole batch with a model, beside the model's bare matrix products in the same precision.

The products are those of every linear layer, of attention (each token with each, twice a layer) and of the decoder,
taken one after the other on ready operands of the batch's shapes, in one piece each. Both run in turn, `--repeats`
times; the ratio is the median of the ratios within a turn. One thread is measured in processor time, which other work
on the machine hardly moves; several threads in wall time, which needs an idle machine.

    python benchmarks/scoring_batch.py --model bertlet tiny
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from common import alternate, fair_clock, machine, median_ratio, timed
from torch import Tensor, nn
from transformers import PreTrainedModel

from maskwise.models.presets import build_model
from maskwise.models.sparse import SparseHead
from maskwise.scores.model import score_with
from maskwise.training.cpu_allocator import kept_buffers

BATCHES = {"bertlet": 16, "tiny": 32, "mini": 32, "bert": 8}
LENGTH = 128


def scoring(model: PreTrainedModel, ids_BT: Tensor, dtype: torch.dtype) -> Callable[[], object]:
    """Returns what scores every token of the batch once."""
    head = SparseHead(model)
    batch = {"input_ids": ids_BT, "eligible": torch.ones_like(ids_BT, dtype=torch.bool)}

    def score() -> object:
        with torch.autocast(ids_BT.device.type, dtype=dtype, enabled=dtype != torch.float32):
            return score_with(head, batch, "entropy_R")

    return score


def bare_products(model: PreTrainedModel, ids_BT: Tensor, dtype: torch.dtype) -> Callable[[], object]:
    """Returns what takes all matrix products of a pass over the batch, and nothing else."""
    device, tokens, config = ids_BT.device, ids_BT.numel(), model.config
    weights = [layer.weight.detach().to(dtype) for layer in model.modules() if isinstance(layer, nn.Linear)]
    inputs = {width: torch.randn(tokens, width, device=device).to(dtype) for width in {w.shape[1] for w in weights}}
    heads = len(ids_BT) * config.num_attention_heads
    query = torch.randn(heads, ids_BT.shape[1], config.hidden_size // config.num_attention_heads, device=device)
    query = query.to(dtype)
    weight = (query @ query.transpose(1, 2)).softmax(-1)

    def products() -> None:
        for matrix in weights:
            torch.mm(inputs[matrix.shape[1]], matrix.t())
        for _ in range(config.num_hidden_layers):
            torch.bmm(query, query.transpose(1, 2))
            torch.bmm(weight, query)

    return products


@torch.no_grad()
def measured(model: str, dtype: torch.dtype, repeats: int, device: str, vocabulary: int) -> str:
    """Returns the line of one model in one precision."""
    encoder = build_model(model, vocabulary, seed=0)
    nn.Module.to(encoder, device)
    ids_BT = torch.randint(5, vocabulary, (BATCHES[model], LENGTH), device=device)
    ways = {"scoring": scoring(encoder, ids_BT, dtype), "products": bare_products(encoder, ids_BT, dtype)}
    with kept_buffers(torch.device(device)):
        turns = alternate(
            {name: timed(way, device, fair_clock(device)) for name, way in ways.items()}, repeats, warm_ups=2
        )
    seconds = {name: statistics.median(times) for name, times in turns.items()}
    shape = f"{BATCHES[model]} x {LENGTH}"
    return (
        f"{model:8} {shape:>9} {str(dtype).removeprefix('torch.'):>9} {seconds['scoring'] * 1e3:>11.1f}"
        f" {seconds['products'] * 1e3:>12.1f} {median_ratio(turns, 'scoring', 'products'):>6.2f}"
    )


def main() -> None:
    """Reads the options and prints one line a model and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["bertlet", "tiny"], choices=BATCHES)
    parser.add_argument("--vocab", type=int, default=30522)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{machine()}, {options.threads} threads, V = {options.vocab:,}, medians of {options.repeats} turns")
    print(f"{'model':8} {'batch':>9} {'precision':>9} {'scoring ms':>11} {'products ms':>12} {'ratio':>6}")
    for model in options.model:
        for dtype in (torch.float32, torch.bfloat16):
            print(measured(model, dtype, options.repeats, options.device, options.vocab), flush=True)


if __name__ == "__main__":
    main()
