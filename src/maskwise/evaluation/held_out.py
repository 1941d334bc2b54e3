"""The held-out evaluation: one fixed random mask of held-out text, the same for every arm, machine and run.

Shapes: B sequences, T positions, R graded rows, V vocabulary. Losses are in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.masking.score import uniform
from maskwise.models.forward_inputs import named_inputs
from maskwise.models.sparse import SparseHead
from maskwise.scores.model import score_with

HELD_OUT_SEED = 20_240_229
HELD_OUT_BATCH = 32
NUM_QUINTILES = 5
GRADES = ("loss", "top1", "top5")


@dataclass(frozen=True)
class HeldOutEval:
    """Held-out blocks and the fixed masker that turns them into questions.

    `quintile_V`: each type's quintile by its frequency in the training text, 0 the most frequent.
    """

    rows: Any
    indices: Sequence[int]
    masker: Masker
    quintile_V: Tensor
    counts_V: Tensor

    def batches(
        self,
        batch_size: int = HELD_OUT_BATCH,
        share: tuple[int, int] = (0, 1),
        inputs: Collection[str] = frozenset(),
    ) -> Iterator[dict[str, Tensor]]:
        """Yields masked batches; `share` = (i, n) yields every n-th batch from the i-th, for rank i of n.

        `inputs`: the columns that the model takes, such as `token_type_ids`, if the rows have them; those that the
        masker was told (`model_inputs`) come first.
        """
        told = self.masker.model_inputs
        inputs = inputs if told is None else told
        starts = range(share[0] * batch_size, len(self.indices), share[1] * batch_size)
        for start in starts:
            chosen = self.indices[start : start + batch_size]
            rows = [dict(self.rows[int(i)]) | {"example_id": int(i)} for i in chosen]
            yield self.masker(pad_batch(rows, self.masker.vocabulary.pad_token_id, self.masker.columns, inputs))


@dataclass(frozen=True)
class HeldOutResult:
    """Sums over graded tokens, so that results of several ranks add up.

    `sums` holds, per quintile (of token frequency, where nothing else is said), the token count and the summed loss,
    top-1 and top-5 hits.
    """

    sums: Tensor = field(default_factory=lambda: torch.zeros(NUM_QUINTILES, 1 + len(GRADES), dtype=torch.float64))

    @property
    def num_tokens(self) -> int:
        """How many tokens were graded."""
        return int(self.sums[:, 0].sum())

    def grade(self, name: str, quintile: int | None = None) -> float:
        """Returns the mean of `loss` (nats), `top1` or `top5` over all tokens, or over one quintile (nan if empty)."""
        column = 1 + GRADES.index(name)
        rows = self.sums if quintile is None else self.sums[quintile : quintile + 1]
        return (rows[:, column].sum() / rows[:, 0].sum()).item()

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return math.exp(min(self.grade("loss"), 700.0))

    def as_dict(self) -> dict[str, float]:
        """Returns every figure under a flat name: loss, perplexity, top1, top5, and loss_q1 ... top5_q5."""
        figures = {name: self.grade(name) for name in GRADES} | {"perplexity": self.perplexity}
        for quintile in range(NUM_QUINTILES):
            figures |= {f"{name}_q{quintile + 1}": self.grade(name, quintile) for name in GRADES}
        return figures | {"tokens": self.num_tokens}


def make_held_out_eval(
    rows: Any,
    tokenizer: Any,
    token_counts: np.ndarray | Tensor | None = None,
    *,
    blocks: int = 1024,
    model_inputs: Collection[str] | None = None,
) -> HeldOutEval:
    """Returns the evaluation over at most `blocks` rows of `rows`, evenly spaced: 15% of each at random, 100% [MASK].

    The mask of row i depends on i alone, so the evaluation is the same for every model.

    Args:
        rows: Rows with `input_ids`, as many as `len(rows)` says.
        tokenizer: Whose ids they hold.
        token_counts: How often each id occurs in the training text, [V], for losses by frequency; by default the
            rows' own ids are counted.
        blocks: The most rows that are taken.
        model_inputs: The columns that the model gets besides; by default those that its forward names.

    Returns:
        What `MaskingTrainer(eval_dataset=)` takes, and what grades a model by itself.

    Raises:
        InputError: If there is no row.

    >>> from maskwise.testing import word_tokenizer
    >>> held_out = make_held_out_eval([{"input_ids": [2, 5, 6, 7, 3]}] * 9, word_tokenizer("a b c"), blocks=4)
    >>> type(held_out).__name__
    'HeldOutEval'
    """
    if len(rows) == 0:
        raise InputError(
            "There is no held-out text to make an evaluation of. Prepare the data with a larger --valid-share."
        )
    if not isinstance(rows[0], Mapping) or "input_ids" not in rows[0]:
        raise InputError(f"Held-out rows have input_ids; found {rows[0]!r:.60}. Write tokenize_rows(texts, tokenizer).")
    inputs = None if model_inputs is None else tuple(model_inputs)
    masker = Masker(uniform, tokenizer, rate=0.15, seed=HELD_OUT_SEED, model_inputs=inputs)
    indices = np.unique(np.linspace(0, len(rows) - 1, min(blocks, len(rows))).round().astype(np.int64))
    counts_V = torch.zeros(len(masker.vocabulary.eligible_V), dtype=torch.int64)
    if token_counts is None:
        for i in indices:
            counts_V += torch.from_numpy(np.bincount(np.asarray(rows[int(i)]["input_ids"]), minlength=len(counts_V)))
    else:
        counts_V[: len(token_counts)] = torch.as_tensor(np.asarray(token_counts, dtype=np.int64))
    counts_V = counts_V * masker.vocabulary.eligible_V
    return HeldOutEval(rows, indices.tolist(), masker, frequency_quintiles(counts_V), counts_V)


def frequency_quintiles(counts_V: Tensor) -> Tensor:
    """Returns each type's quintile [V]: types sorted by count, cut so that each fifth holds a fifth of the tokens.

    >>> frequency_quintiles(torch.tensor([0, 60, 20, 10, 10])).tolist()
    [4, 0, 3, 4, 4]
    """
    order = counts_V.argsort(descending=True, stable=True)
    sorted_counts = counts_V[order]
    before = sorted_counts.cumsum(0) - sorted_counts
    quintile = (before * NUM_QUINTILES // sorted_counts.sum().clamp_min(1)).clamp_max(NUM_QUINTILES - 1)
    return torch.empty_like(quintile).scatter(0, order, quintile)


@torch.no_grad()
def evaluate_mlm(
    model: Any,
    held_out: HeldOutEval,
    *,
    head: SparseHead | None = None,
    share: tuple[int, int] = (0, 1),
    quintiles: Sequence[Tensor] | None = None,
    batch_size: int = HELD_OUT_BATCH,
    each: Callable[[Tensor, Tensor], None] | None = None,
) -> HeldOutResult:
    """Returns the model's grades, in eval mode and with its mode restored.

    Args:
        model: A masked language model.
        held_out: The evaluation.
        head: The model's `SparseHead`, if there is one.
        share: As in `HeldOutEval.batches`.
        quintiles: Those of the graded rows, batch by batch (`entropy_quintiles`), in place of the frequency's.
        batch_size: Rows at a time, which moves the figures by rounding alone.
        each: Is called with the logits [R, V] and the targets [R] of every batch.
    """
    head = head or SparseHead(model)
    device = next(model.parameters()).device
    result, was_training = HeldOutResult(), model.training
    model.eval()
    try:
        for number, batch in enumerate(held_out.batches(batch_size, share, named_inputs(head.unwrapped))):
            batch = {key: value.to(device) for key, value in batch.items()}
            labels_BT = batch.pop("labels")
            rows_BT = labels_BT != IGNORE
            targets_R, logits_RV = labels_BT[rows_BT], head.logits(batch, rows_BT).float()
            quintile_R = held_out.quintile_V[targets_R.cpu()] if quintiles is None else quintiles[number]
            result = add_rows(result, logits_RV, targets_R, quintile_R)
            if each is not None:
                each(logits_RV, targets_R)
    finally:
        model.train(was_training)
    return result


def evaluate_unigram(held_out: HeldOutEval, *, quintiles: Sequence[Tensor] | None = None) -> HeldOutResult:
    """Returns the grades of the unigram model of the training text, add-one smoothed: the floor to be below."""
    smoothed_V = torch.where(held_out.masker.vocabulary.eligible_V.cpu(), held_out.counts_V + 1.0, 0.0)
    logits_V = (smoothed_V / smoothed_V.sum()).log().float()
    result = HeldOutResult()
    for number, batch in enumerate(held_out.batches()):
        targets_R = batch["labels"][batch["labels"] != IGNORE]
        quintile_R = held_out.quintile_V[targets_R] if quintiles is None else quintiles[number]
        for part_R, part_quintile_R in zip(targets_R.split(256), quintile_R.split(256), strict=True):
            result = add_rows(result, logits_V.expand(len(part_R), -1), part_R, part_quintile_R)
    return result


@torch.no_grad()
def entropy_quintiles(teacher: Any, held_out: HeldOutEval) -> list[Tensor]:
    """Returns, batch by batch, the quintile [R] of each graded token by a teacher's entropy there, 0 the lowest.

    The teacher reads the text unmasked, as it does when it chooses what to mask; each fifth holds a fifth of them.
    """
    head, device = SparseHead(teacher), next(teacher.parameters()).device
    entropies = []
    for batch in held_out.batches(inputs=named_inputs(head.unwrapped)):
        labels_BT = batch.pop("labels")
        asked_BT = labels_BT != IGNORE
        text = batch | {"input_ids": torch.where(asked_BT, labels_BT, batch["input_ids"]), "eligible": asked_BT}
        text = {key: value.to(device) for key, value in text.items()}
        entropies.append(score_with(head, text, "entropy_R")[text["eligible"]].cpu())
    everything = torch.cat(entropies)
    rank = torch.empty_like(everything, dtype=torch.int64)
    rank[everything.argsort(stable=True)] = torch.arange(len(everything))
    return list((rank * NUM_QUINTILES // len(everything)).split([len(part) for part in entropies]))


def add_rows(result: HeldOutResult, logits_RV: Tensor, targets_R: Tensor, quintile_R: Tensor) -> HeldOutResult:
    """Returns `result` with R graded rows added."""
    gold_R1 = logits_RV.gather(-1, targets_R[:, None])
    rank_R = (logits_RV > gold_R1).sum(dim=-1)
    loss_R = F.cross_entropy(logits_RV, targets_R, reduction="none")
    grades_RG = torch.stack([torch.ones_like(loss_R), loss_R, rank_R < 1, rank_R < 5], dim=-1).double().cpu()
    return HeldOutResult(result.sums.index_add(0, quintile_R, grades_RG))


def sum_over_ranks(result: HeldOutResult) -> HeldOutResult:
    """Returns the result added up over all processes of a distributed run; as it is in a run of one."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return result
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    sums = result.sums.to(device)
    dist.all_reduce(sums)
    return HeldOutResult(sums.cpu())


def held_out_table(results: Mapping[str, HeldOutResult]) -> str:
    """Returns the figures of several models side by side as plain text, one row a model."""
    header = ["model", "loss (nats)", "perplexity", "top-1", "top-5"]
    header += [f"loss q{q + 1}" for q in range(NUM_QUINTILES)]
    lines = [header]
    for name, result in results.items():
        cells = [f"{result.grade('loss'):.4f}", f"{result.perplexity:.1f}"]
        cells += [f"{result.grade(g):.2%}" for g in ("top1", "top5")]
        lines.append([name, *cells, *(f"{result.grade('loss', q):.3f}" for q in range(NUM_QUINTILES))])
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join([name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))])
        for name, *cells in lines
    )
