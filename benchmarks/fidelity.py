"""Cheaper ways to score, each with its fidelity beside its cost.

Fidelity is the share of the tokens in a block's top 15% by the full live score (entropy of every token from one
unmasked fp32 pass) that the cheaper way picks too; what a blind choice would share is the first line. Cost is processor
time of scoring, as a share of the full live one's; ways take turns on each batch.

    python benchmarks/fidelity.py --data DATA --teacher CKPT --student RUN --smaller RUN
    python benchmarks/fidelity.py               # trains small ones on the built-in corpus first

Two tables. A frozen teacher: stored scores, bf16, a smaller teacher, its first layers, a share of the vocabulary. A
model in training (`--student`, trained on by `random` for a few epochs): scores of R epochs ago, and scores that ride
along: the entropies of the visible tokens of the training pass, kept for the next epoch. The share of the vocabulary
sums over the N most frequent tokens exactly; the rest is left out, or estimated from every eighth of them. The bound is
how far, in nats, the entropy can be from that of the N, given the rows' and the weights' lengths.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine
from torch import Tensor, nn
from transformers import PrinterCallback, TrainingArguments

from maskwise.lab.config import resolve
from maskwise.lab.pretraining.annotate import annotate
from maskwise.lab.pretraining.pretrain import pretrain
from maskwise.lab.text.sources import BUILT_IN
from maskwise.lab.tokens.blocks import DataFolder, open_data
from maskwise.lab.tokens.prepare import PrepareSettings, prepare
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.entropy import RowStatistics, row_statistics
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.score import uniform
from maskwise.models.loading import load_checkpoint
from maskwise.models.presets import preset_config
from maskwise.models.sparse import SparseHead, evaluating
from maskwise.progress import hide_library_bars
from maskwise.recipes import load_recipe
from maskwise.scores.model import Entropy
from maskwise.scores.stored import Stored
from maskwise.training.trainer import MaskingTrainer

Score = Callable[[Mapping[str, Any]], Tensor]
BATCH = 32
TAIL_STRIDE = 8


class Picks:
    """Counts how many tokens of a batch's top 15% two scores share."""

    def __init__(self, tokenizer: Any) -> None:
        self.masker = Masker(uniform, tokenizer, pick="high")
        self.shared, self.num_picked = 0, 0

    def add(self, batch: Mapping[str, Any], scores_BT: Tensor, full_BT: Tensor) -> None:
        """Compares the picks of one batch."""
        ours_BT, theirs_BT = (self.masker.choose(batch, scores)[0] for scores in (scores_BT, full_BT))
        self.shared += int((ours_BT & theirs_BT).sum())
        self.num_picked += int(theirs_BT.sum())

    @property
    def alike(self) -> float:
        """The share of the full score's picks that the other one shares."""
        return self.shared / max(self.num_picked, 1)


def batches(data: DataFolder, num_blocks: int) -> Iterator[dict[str, Any]]:
    """Yields training blocks spread over the data, as a score sees them."""
    masker = Masker(uniform, data.tokenizer)
    numbers = np.unique(np.linspace(0, len(data.train) - 1, num_blocks).astype(np.int64)).tolist()
    for start in range(0, len(numbers), BATCH):
        rows = [dict(data.train[i]) | {"example_id": i} for i in numbers[start : start + BATCH]]
        yield masker.prepare(pad_batch(rows, masker.vocabulary.pad_token_id))


def in_bf16(score: Score) -> Score:
    """Returns the score with its products taken in bf16."""

    def run(batch: Mapping[str, Any]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return score(batch)

    return run


def first_layers(model: nn.Module, num_layers: int) -> nn.Module:
    """Returns a copy whose body ends after so many layers, for any encoder that keeps them in one list."""
    model = copy.deepcopy(model)
    whole = model.config.num_hidden_layers
    stacks = [
        (parent, name)
        for parent in model.base_model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == whole
    ]
    if len(stacks) != 1:
        raise ValueError(f"{type(model).__name__} has {len(stacks)} lists of {whole} layers; one was expected.")
    ((parent, name),) = stacks
    setattr(parent, name, getattr(parent, name)[:num_layers])
    return model


class VocabularyShare:
    """The entropy from the `share` of the vocabulary that is most frequent; the tail left out, or sampled.

    Of a tail sampled at every c-th token, each sampled one stands for c. With w the tail's mass, H is
    H(w) + (1 - w) H(frequent) + w (H(sample) + log c).
    """

    def __init__(self, model: nn.Module, token_counts: np.ndarray, share: float, *, tail: bool) -> None:
        self.head = SparseHead(model.eval())
        order_V = torch.from_numpy(np.argsort(-token_counts, kind="stable").copy())
        num_frequent = int(len(order_V) * share)
        self.frequent_N, self.rest = order_V[:num_frequent], order_V[num_frequent:]
        self.tail_N = self.rest[::TAIL_STRIDE] if tail else None
        self.bounds: list[float] = []

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any]) -> Tensor:
        """Returns the score [B, T]."""
        rows_BT = batch["eligible"]
        found = self.head.decoder_inputs({k: batch[k] for k in ("input_ids", "attention_mask") if k in batch}, rows_BT)
        assert found is not None and found.bias_V is not None
        frequent = self._statistics(found, self.frequent_N)
        entropy_R = frequent.entropy_R
        if self.tail_N is not None:
            entropy_R = self._with_tail(frequent, self._statistics(found, self.tail_N))
        return torch.zeros(rows_BT.shape).masked_scatter(rows_BT, entropy_R)

    @staticmethod
    def _statistics(found: Any, columns: Tensor) -> RowStatistics:
        return row_statistics(found.hidden_RD, found.weight_VD[columns], found.bias_V[columns], compiled=True)

    def _with_tail(self, frequent: RowStatistics, tail: RowStatistics) -> Tensor:
        log_times = math.log(len(self.rest) / len(self.tail_N))
        share_R = torch.sigmoid(tail.log_z_R + log_times - frequent.log_z_R)
        between_R = torch.special.entr(share_R) + torch.special.entr(1 - share_R)
        return between_R + (1 - share_R) * frequent.entropy_R + share_R * (tail.entropy_R + log_times)

    @torch.no_grad()
    def bound(self, batch: Mapping[str, Any]) -> float:
        """Returns the median over rows of how far the entropy may lie from that of the frequent tokens, in nats."""
        found = self.head.decoder_inputs({"input_ids": batch["input_ids"]}, batch["eligible"])
        assert found is not None and found.bias_V is not None
        frequent = self._statistics(found, self.frequent_N)
        longest = found.weight_VD[self.rest].norm(dim=-1).max()
        highest_R = found.hidden_RD.norm(dim=-1) * longest + found.bias_V[self.rest].max()
        share_R = torch.sigmoid(highest_R + math.log(len(self.rest)) - frequent.log_z_R)
        mixed_R = torch.special.entr(share_R) + torch.special.entr(1 - share_R)
        above_R = mixed_R + share_R * (math.log(len(self.rest)) - frequent.entropy_R).clamp(min=0)
        return (
            torch.maximum(above_R, share_R * frequent.entropy_R).clamp(max=math.log(len(found.bias_V))).median().item()
        )


def frozen_ways(data: DataFolder, teacher_name: str, smaller: nn.Module) -> dict[str, Score]:
    """Returns the ways to score by a frozen teacher; the first is the reference."""
    teacher = load_checkpoint(teacher_name, data.tokenizer).eval()
    full = Entropy(teacher)
    ways: dict[str, Score] = {
        "full live": full,
        "full live, bf16": in_bf16(full),
        "stored (fp32)": Stored(annotate(data.path, teacher_name, show=False)),
        "smaller teacher": Entropy(smaller),
    }
    for layers in range(teacher.config.num_hidden_layers - 1, -1, -1):
        ways[f"first {layers} layers"] = Entropy(first_layers(teacher, layers))
    for share in (0.5, 0.25, 0.125):
        for tail in (False, True):
            name = f"vocabulary {share:.1%}" + (" + sampled rest" if tail else "")
            ways[name] = VocabularyShare(teacher, data.token_counts, share, tail=tail)
    return ways


def measure_frozen(data: DataFolder, ways: Mapping[str, Score], num_blocks: int) -> None:
    """Prints the table of a frozen teacher."""
    picks = {name: Picks(data.tokenizer) for name in ("a blind choice", *ways)}
    seconds = dict.fromkeys(ways, 0.0)
    bounds: dict[str, float] = {}
    for number, batch in enumerate(batches(data, num_blocks)):
        scores = {}
        for name, way in ways.items():
            started_at = time.process_time()
            scores[name] = way(batch)
            seconds[name] += (time.process_time() - started_at) * (number > 0)  # the first batch compiles
            if number == 0 and isinstance(way, VocabularyShare):
                bounds[name] = way.bound(batch)
        scores["a blind choice"] = torch.rand(batch["input_ids"].shape, generator=torch.Generator().manual_seed(number))
        for name, counted in picks.items():
            counted.add(batch, scores[name], scores["full live"])
    print(f"\n{'frozen teacher':32} {'picked alike':>12} {'cost':>7} {'bound, nats':>12}")
    for name, counted in picks.items():
        cost = f"{seconds[name] / seconds['full live']:.3f}" if name in seconds else ""
        bound = f"{bounds[name]:.2f}" if name in bounds else ""
        print(f"{name:32} {counted.alike:12.3f} {cost:>7} {bound:>12}")


class RidingAlong(MaskingTrainer):
    """Trains at random, and compares in every batch what old scores would pick with what fresh ones do."""

    def start(self, refresh: tuple[int, ...]) -> None:
        """Makes room for the scores that are kept, by row number."""
        self.refresh, self.epoch = refresh, -1
        length = max(len(row["input_ids"]) for row in self.train_dataset.rows)
        self.kept = torch.full((len(self.train_dataset), length), torch.nan)
        self.stale = {period: torch.zeros(self.kept.shape) for period in refresh}
        names = ["riding along", *(f"stale, R = {period}" for period in refresh)]
        self.picks = {name: Picks(self.masker.tokenizer) for name in names}
        self.seconds = {"full": 0.0, "riding": 0.0}
        self.fresh = Entropy()
        self.fresh.bind(self.model)

    def _mask(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        state = self.train_state()
        if state.epoch != self.epoch:
            self.epoch = state.epoch
            self._refresh()
        masked = super()._mask(batch)
        prepared = self.masker.prepare(batch, state)
        self._compare(prepared)
        self._keep(prepared, masked)
        return masked

    def _refresh(self) -> None:
        due = [period for period in self.refresh if self.epoch % period == 0]
        for first in range(0, len(self.train_dataset) if due else 0, BATCH):
            batch = self.training_batch(range(first, min(first + BATCH, len(self.train_dataset))))
            scores_BT = self.fresh(batch)
            for period in due:
                self.stale[period][batch["example_id"], : scores_BT.shape[1]] = scores_BT

    def _compare(self, batch: dict[str, Any]) -> None:
        if self.epoch == 0:
            return
        started_at = time.process_time()
        full_BT = self.fresh(batch)
        self.seconds["full"] += time.process_time() - started_at
        rows_B, length = batch["example_id"], full_BT.shape[1]
        kept_BT = self.kept[rows_B, :length]
        known_BT = torch.where(kept_BT.isnan(), kept_BT.nanmean(-1, keepdim=True), kept_BT).nan_to_num()
        self.picks["riding along"].add(batch, known_BT, full_BT)
        for period in self.refresh:
            self.picks[f"stale, R = {period}"].add(batch, self.stale[period][rows_B, :length], full_BT)

    @torch.no_grad()
    def _keep(self, batch: dict[str, Any], masked: dict[str, Tensor]) -> None:
        """Here the training pass is run once more; its cost would be the decoder's part alone, which is timed."""
        visible_BT = batch["eligible"] & (masked["labels"] == IGNORE)
        with evaluating(self.model):
            found = self.head.decoder_inputs({"input_ids": masked["input_ids"]}, visible_BT)
        assert found is not None
        started_at = time.process_time()
        entropy_R = row_statistics(*found, compiled=True).entropy_R
        self.seconds["riding"] += (time.process_time() - started_at) * (self.epoch > 0)
        rows_BT = batch["example_id"][:, None].expand(visible_BT.shape)[visible_BT]
        columns_BT = torch.arange(visible_BT.shape[1]).expand(visible_BT.shape)[visible_BT]
        self.kept[rows_BT, columns_BT] = entropy_R


def measure_training(
    data: DataFolder, student: nn.Module, num_rows: int, epochs: int, refresh: tuple[int, ...]
) -> None:
    """Prints the table of a model in training."""
    full_rows = [row for row in data.train.select(range(min(2 * num_rows, len(data.train))))]
    rows = [row for row in full_rows if len(row["input_ids"]) == len(full_rows[0]["input_ids"])][:num_rows]
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            folder, num_train_epochs=epochs, per_device_train_batch_size=BATCH, learning_rate=5e-4, use_cpu=True,
            lr_scheduler_type="constant", report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no",
        )  # fmt: skip
        trainer = RidingAlong(student, args, masker=Masker(uniform, data.tokenizer), train_dataset=rows)
        trainer.remove_callback(PrinterCallback)
        trainer.start(refresh)
        trainer.train()
    steps = -(-len(rows) // BATCH)
    print(f"\n{'in training, ' + str(steps) + ' steps an epoch':32} {'picked alike':>12} {'cost':>7}")
    # A refresh scores every row once a period, and batches read it.
    costs = {f"stale, R = {period}": 1 / period for period in refresh}
    costs["riding along"] = trainer.seconds["riding"] / trainer.seconds["full"]
    for name, counted in trainer.picks.items():
        print(f"{name:32} {counted.alike:12.3f} {costs[name]:7.3f}")


def trained(data: DataFolder, out: Path, steps: int, *, layers: int, width: int) -> Path:
    """Trains a BERT of this shape by the recipe `bert` on a data folder; returns its run folder."""
    config = preset_config("tiny", len(data.tokenizer))
    config.update({"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": 4 * width})
    config.save_pretrained(out.with_suffix(".config"))
    settings = resolve(
        load_recipe("bert"),
        {"recipe": "bert", "data": {"path": str(data.path), "held_out_blocks": 64}},
        {"model": {"preset": str(out.with_suffix(".config") / "config.json")}},
        {"trainer": {"max_steps": steps, "per_device_train_batch_size": BATCH, "learning_rate": 1e-3}},
        {"trainer": {"save_strategy": "no", "eval_strategy": "no", "report_to": []}},
    )
    result = pretrain(settings, out, show=False)
    print(
        json.dumps(
            {"trained": f"{layers}x{width}", "steps": steps, "evaluation loss": result.held_out["bert"].grade("loss")}
        )
    )
    return out


def main() -> None:
    """Reads the options, trains what was not given, and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a data folder; default: the built-in corpus, 4,096 tokens")
    parser.add_argument("--teacher", help="a checkpoint; default: tiny, trained for --steps")
    parser.add_argument("--smaller", help="a smaller teacher; default: 1 x 64, trained for --steps")
    parser.add_argument("--student", help="a checkpoint to train on; default: tiny, trained for --steps")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--blocks", type=int, default=1024, help="on which a frozen teacher's ways are compared")
    parser.add_argument("--rows", type=int, default=2048, help="blocks of an epoch, for the model in training")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    hide_library_bars()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Prints both tables."""
    if options.data is None:
        prepare(PrepareSettings(sources=(BUILT_IN,), out=folder / "data", train_tokenizer=4096), show=False)
    data = open_data(options.data or folder / "data")
    teacher = options.teacher or str(trained(data, folder / "teacher", options.steps, layers=2, width=128))
    smaller = options.smaller or str(trained(data, folder / "smaller", options.steps, layers=1, width=64))
    student = options.student or str(trained(data, folder / "student", options.steps // 4, layers=2, width=128))
    ways = frozen_ways(data, teacher, load_checkpoint(smaller, data.tokenizer))
    measure_frozen(data, ways, options.blocks)
    measure_training(data, load_checkpoint(student, data.tokenizer), options.rows, options.epochs, (1, options.epochs))


if __name__ == "__main__":
    main()
