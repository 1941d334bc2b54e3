"""What a training step costs against the stock way: one process, alternating, medians of ratios.

A turn is two steps of a kind, the second of which is timed: it meets what a step leaves behind, as in a run.

Stock: BertForMaskedLM with its dense head, DataCollatorForLanguageModeling, fused AdamW; in fp32, and in bf16 under
autocast. Ours, in bf16 and set up as `maskwise pretrain` sets up a run: the masker, the head on labelled rows, the
streamed loss, dropout from bits, the same optimizer; `random` masks at random, `self` by the model's own entropy,
`stored` by scores read from memory, `distilled` at random with a teacher.

    python benchmarks/step.py --model bertlet --batch 16 --steps 9
    python benchmarks/step.py --through-trainer         # 30 steps of the whole Trainer against the stock one
    python benchmarks/step.py --profile self            # where the time of a step goes
    python benchmarks/step.py --device cuda --compiled  # both models under torch.compile
    python benchmarks/step.py --check-syncs             # at which line of a step the host waits for the GPU
"""

from __future__ import annotations

import argparse
import statistics
import sys
from contextlib import nullcontext
from functools import partial
from typing import Any

import syncs
import through_trainer
import torch
from common import Work, alternate, bert_tokenizer, compiled_afresh, machine, median_ratio, random_text, timed
from memory import tensor_bytes
from torch import Tensor
from transformers import BertForMaskedLM, DataCollatorForLanguageModeling

from maskwise.masking.corrupt import IGNORE
from maskwise.masking.linear_loss import linear_mlm_loss
from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform
from maskwise.masking.score_context import TrainState
from maskwise.models.presets import preset_config
from maskwise.models.sparse import SparseHead
from maskwise.scores.model import Entropy
from maskwise.training.cpu_allocator import kept_buffers
from maskwise.training.cpu_dropout import use_bit_dropout
from maskwise.training.distill import Distillation

OURS = ("random", "stored", "self", "distilled")
STOCK = ("stock fp32", "stock bf16")
DEFAULT_BATCH = {"tiny": 32, "mini": 32, "bertlet": 16, "bert": 8}


class Bench:
    """A stock model and ours, each with its optimizer, and one training step of each kind on the same text.

    All kinds of a side train the same weights on; `precision` is that of our steps. `compiled` compiles both models,
    which is for a GPU.
    """

    def __init__(
        self,
        model: str,
        batch: int,
        length: int,
        vocabulary: int,
        device: str,
        *,
        precision: str = "bf16",
        compiled: bool = False,
    ) -> None:
        self.name, self.device, self.precision = model, torch.device(device), precision
        self.tokenizer = bert_tokenizer(vocabulary)
        self.models = {side: self._model(model) for side in ("stock", "ours")}
        self.optimizers = {
            side: torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True) for side, model in self.models.items()
        }
        self.called = {side: _called(model, compiled) for side, model in self.models.items()}
        self.text = random_text(self.tokenizer, batch, length).to(self.device)
        self.rows = [{"input_ids": row.tolist()} for row in self.text]
        self.collator = DataCollatorForLanguageModeling(self.tokenizer)
        self.collated = {key: value.to(self.device) for key, value in self.collator(self.rows).items()}
        if device == "cpu":
            use_bit_dropout(self.models["ours"])
        self.head = SparseHead(self.called["ours"])
        self.maskers = self._maskers()
        self.distillation = Distillation(_called(self._model(model), compiled))

    def _model(self, name: str) -> BertForMaskedLM:
        torch.manual_seed(0)
        model: Any = BertForMaskedLM(preset_config(name, len(self.tokenizer)))
        return model.to(self.device).train()

    def _maskers(self) -> dict[str, Masker]:
        stored, own = torch.rand(self.text.shape, device=self.device), Entropy()
        own.bind(self.called["ours"])
        return {
            "random": Masker(uniform, self.tokenizer),
            "distilled": Masker(uniform, self.tokenizer),
            "stored": Masker(lambda batch: stored, self.tokenizer, pick="high"),
            "self": Masker(own, self.tokenizer, pick="high"),
        }

    def step(self, kind: str) -> None:
        """Masks, runs forward and backward, clips, and updates."""
        side = "stock" if kind in STOCK else "ours"
        loss = self._stock_loss(kind) if kind in STOCK else self.loss(kind, self.masked(kind))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.models[side].parameters(), 1.0)
        self.optimizers[side].step()
        self.optimizers[side].zero_grad()

    def turn(self, kind: str) -> float:
        """Returns the seconds of a step that follows one of its kind, as in a run: caches and allocator are settled."""
        with nullcontext() if kind in STOCK else kept_buffers(self.device):
            self.step(kind)
            return timed(partial(self.step, kind), self.device.type)()

    def masked(self, kind: str) -> dict[str, Tensor]:
        """Masks one batch our way, which includes scoring it."""
        example_ids = torch.arange(len(self.text), device=self.device)
        with self.autocast(self.precision):
            return self.maskers[kind]({"input_ids": self.text, "example_id": example_ids})

    def loss(self, kind: str, masked: dict[str, Tensor]) -> Tensor:
        """Returns our loss of a masked batch."""
        inputs = {key: value for key, value in masked.items() if key != "labels"}
        rows = self.maskers[kind].rows(masked["labels"], TrainState())
        targets_R = rows.take(masked["labels"], IGNORE)
        with self.autocast(self.precision):
            if kind != "distilled":
                found = self.head.decoder_inputs(inputs, rows)
                assert found is not None
                return linear_mlm_loss(*found, targets_R)
            teacher_RV = self.distillation.teacher_logits(inputs, rows)
            return self.distillation.loss(self.head.logits(inputs, rows), teacher_RV, targets_R)

    def _stock_loss(self, kind: str) -> Tensor:
        # A GPU's batches are made and brought to it meanwhile, as ours are; on a processor that takes from the step.
        batch = self.collated if self.device.type == "cuda" else self.collator(self.rows)
        with self.autocast(kind.removeprefix("stock ")):
            return self.called["stock"](**batch).loss

    def held_bytes(self, side: str) -> int:
        """Returns what the weights and the optimizer's state of a side take."""
        return tensor_bytes(self.models[side], self.optimizers[side])

    def autocast(self, precision: str) -> torch.autocast:
        """Returns the context in which products are taken in this precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def _called(model: BertForMaskedLM, compiled: bool) -> Any:
    """Returns what is called in place of the model."""
    return torch.compile(model) if compiled else model


def print_ratios(seconds: dict[str, list[float]], stock: tuple[str, ...]) -> None:
    """Prints the median seconds, and the median over rounds of the ratio to each stock way."""
    print(f"{'step':12} {'median s':>9}" + "".join(f"{'/ ' + name:>16}" for name in stock))
    for kind, times in seconds.items():
        ratios = "".join(f"{median_ratio(seconds, kind, name):16.3f}" for name in stock)
        print(f"{kind:12} {statistics.median(times):9.3f}{ratios}")


def profile(bench: Bench, kind: str) -> None:
    """Prints where the time of a step goes, by operation."""
    for _ in range(3):
        bench.step(kind)
    with torch.profiler.profile() as trace:
        for _ in range(3):
            bench.step(kind)
    print(trace.key_averages().table(sort_by="self_cpu_time_total", row_limit=20, max_name_column_width=50))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", choices=DEFAULT_BATCH)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--vocabulary", type=int, default=30_522)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--compiled", action="store_true", help="compile both models, as bench.py does on a GPU")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--turns", type=int, default=3, help="of --through-trainer")
    parser.add_argument("--through-trainer", action="store_true", help="on a GPU always compiled")
    parser.add_argument("--check-syncs", action="store_true", help="of our steps on a GPU; ends with 1 if one waits")
    parser.add_argument("--profile", choices=(*OURS, *STOCK))
    options = parser.parse_args()
    options.batch = options.batch or DEFAULT_BATCH[options.model]
    options.device = "cuda" if options.check_syncs else options.device
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here: --check-syncs and --device cuda need one")
    return options


def main() -> None:
    """Reads the options and prints one table."""
    options = read_options()
    torch.set_num_threads(options.threads)
    print(machine())
    if options.through_trainer:
        seconds = through_trainer.measure(options.model, options.batch, options.length, options.turns, options.device)
        return print_ratios(seconds, (through_trainer.STOCK,))
    with compiled_afresh(options.compiled):
        bench = Bench(
            options.model, options.batch, options.length, options.vocabulary, options.device, compiled=options.compiled
        )
        if options.check_syncs:
            sys.exit(0 if syncs.report({kind: partial(bench.step, kind) for kind in OURS}) else 1)
        if options.profile:
            return profile(bench, options.profile)
        compare(bench, options.steps)


def compare(bench: Bench, turns: int) -> None:
    """Prints the seconds of every step, and of masking alone."""
    batch, length = bench.text.shape
    print(f"{bench.name} {batch} x {length}, V = {len(bench.tokenizer):,}, {torch.get_num_threads()} threads")
    work: dict[str, Work] = {kind: partial(bench.turn, kind) for kind in (*STOCK, *OURS)}
    work["masking"] = timed(lambda: bench.masked("random"), bench.device.type)
    print_ratios(alternate(work, turns, warm_ups=1), STOCK)


if __name__ == "__main__":
    main()
