"""A correct collator, and fifteen ways to get it wrong, each at full and at low severity.

Low severity is 1 token in 1,000 or 5% of the rows. `Fault.lines` are the lines of an audit that show the fault, the
one that must not call it fine first.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

IGNORE = -100
LOW_TOKENS, LOW_ROWS = 1 / 1000, 0.05


class Plain:
    """Bernoulli masking with 80/10/10 from torch's global random state, as one would write it by hand."""

    def __init__(self, tokenizer, rate=0.15, shares=(0.8, 0.1, 0.1)):
        self.rate, self.shares = rate, shares
        self.mask_id, self.pad_id, self.unk_id = tokenizer.mask_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id
        self.special_ids = torch.tensor(sorted(set(tokenizer.all_special_ids)))
        special = set(tokenizer.all_special_ids)
        self.ordinary_ids = torch.tensor([i for i in range(len(tokenizer)) if i not in special])

    def __call__(self, rows):
        batch = self.pad(rows)
        original_BT = batch["input_ids"].clone()
        chosen_BT = self.choose(batch, self.maskable(batch), rows)
        batch["labels"] = torch.where(chosen_BT, original_BT, IGNORE)
        fate_BT = torch.rand(chosen_BT.shape)
        drawn_BT = self.draw(chosen_BT.shape)
        replaced_BT = torch.where(fate_BT < self.shares[0], self.mask_id, drawn_BT)
        kept_BT = fate_BT >= self.shares[0] + self.shares[1]
        batch["input_ids"] = torch.where(chosen_BT & ~kept_BT, replaced_BT, original_BT)
        return self.finish(batch, original_BT, rows)

    def pad(self, rows):
        width = max(len(row["input_ids"]) for row in rows)
        fills = {"input_ids": self.pad_id, "attention_mask": 0, "token_type_ids": 0}
        keys = [key for key in fills if key in rows[0]]
        return {
            key: torch.tensor([[*row[key], *[fills[key]] * (width - len(row[key]))] for row in rows]) for key in keys
        }

    def maskable(self, batch):
        return ~torch.isin(batch["input_ids"], self.special_ids)

    def choose(self, batch, maskable_BT, rows):
        return maskable_BT & (torch.rand(maskable_BT.shape) < self.rate)

    def draw(self, shape):
        return self.ordinary_ids[torch.randint(len(self.ordinary_ids), shape)]

    def finish(self, batch, original_BT, rows):
        return batch


class Planted(Plain):
    """A collator with a fault; `severity` is the share of tokens or rows that it happens to."""

    def __init__(self, tokenizer, severity, **settings):
        super().__init__(tokenizer, **settings)
        self.severity = severity

    def hit(self, shape):
        return torch.rand(shape) < self.severity

    def hit_by_content(self, rows):
        """The same rows in every epoch, whatever the batch."""
        return torch.tensor([random.Random(str(row["input_ids"])).random() < self.severity for row in rows])


class MaskedCls(Planted):
    def finish(self, batch, original_BT, rows):
        is_cls_BT = torch.isin(original_BT, self.special_ids) & (batch["attention_mask"] == 1)
        is_cls_BT &= self.hit(is_cls_BT.shape)
        batch["labels"] = torch.where(is_cls_BT, original_BT, batch["labels"])
        batch["input_ids"] = torch.where(is_cls_BT, self.mask_id, batch["input_ids"])
        return batch


class LabelledPadding(Planted):
    def finish(self, batch, original_BT, rows):
        padding_BT = (batch["attention_mask"] == 0) & self.hit(original_BT.shape)
        batch["labels"] = torch.where(padding_BT, original_BT, batch["labels"])
        return batch


class LabelsOfTheInput(Planted):
    def finish(self, batch, original_BT, rows):
        wrong_BT = (batch["labels"] != IGNORE) & self.hit(original_BT.shape)
        batch["labels"] = torch.where(wrong_BT, batch["input_ids"], batch["labels"])
        return batch


class ShiftedLabels(Planted):
    def finish(self, batch, original_BT, rows):
        wrong_BT = (batch["labels"] != IGNORE) & self.hit(original_BT.shape)
        batch["labels"] = torch.where(wrong_BT, original_BT.roll(-1, dims=1), batch["labels"])
        return batch


class SpecialReplacements(Planted):
    """Low: one labelled token in 1,000. A draw from the whole vocabulary, the commonest case, is rarer still."""

    def finish(self, batch, original_BT, rows):
        labelled_BT = batch["labels"] != IGNORE
        random_BT = labelled_BT & (batch["input_ids"] != self.mask_id) & (batch["input_ids"] != original_BT)
        wrong_BT = (random_BT if self.severity == 1 else labelled_BT) & self.hit(original_BT.shape)
        drawn_BT = self.special_ids[self.special_ids != self.mask_id][
            torch.randint(len(self.special_ids) - 1, original_BT.shape)
        ]
        batch["input_ids"] = torch.where(wrong_BT, drawn_BT, batch["input_ids"])
        return batch


class UnknownAsMask(Planted):
    def finish(self, batch, original_BT, rows):
        wrong_BT = (batch["input_ids"] == self.mask_id) & (batch["labels"] != IGNORE) & self.hit(original_BT.shape)
        batch["input_ids"] = torch.where(wrong_BT, self.unk_id, batch["input_ids"])
        return batch


class RowAsOneWord(Planted):
    """What whole-word masking does if it takes a row for a word: 85% of the rows have no label."""

    def choose(self, batch, maskable_BT, rows):
        chosen_BT = super().choose(batch, maskable_BT, rows)
        whole_B1 = torch.rand(len(rows), 1) < self.rate
        return torch.where(self.hit((len(rows), 1)), maskable_BT & whole_B1, chosen_BT)


class FirstPositions(Planted):
    def choose(self, batch, maskable_BT, rows):
        chosen_BT = super().choose(batch, maskable_BT, rows)
        beyond_BT = (torch.arange(chosen_BT.shape[1]) >= 64) & self.hit((len(rows), 1))
        return chosen_BT & ~beyond_BT


class RateOverPadding(Planted):
    """A budget of 15% of the columns, spent on the row's tokens."""

    def choose(self, batch, maskable_BT, rows):
        chosen_BT = super().choose(batch, maskable_BT, rows)
        noise_BT = torch.rand(maskable_BT.shape).masked_fill(~maskable_BT, -1)
        rank_BT = noise_BT.argsort(descending=True).argsort()
        budget_BT = maskable_BT & (rank_BT < round(self.rate * maskable_BT.shape[1]))
        return torch.where(self.hit((len(rows), 1)), budget_BT, chosen_BT)


class ChangedRows(Planted):
    def finish(self, batch, original_BT, rows):
        for row, ids, hit in zip(rows, batch["input_ids"].tolist(), self.hit(len(rows)).tolist(), strict=True):
            if hit:
                row["input_ids"][:] = ids[: len(row["input_ids"])]
        return batch


class OneMaskPerBatch(Planted):
    """Low: in 5% of the batches, so for 5% of the rows."""

    def choose(self, batch, maskable_BT, rows):
        chosen_BT = super().choose(batch, maskable_BT, rows)
        shared_1T = torch.rand(1, chosen_BT.shape[1]) < self.rate
        return torch.where(self.hit((1, 1)), maskable_BT & shared_1T, chosen_BT)


class StaticMasks(Planted):
    def choose(self, batch, maskable_BT, rows):
        chosen_BT = super().choose(batch, maskable_BT, rows)
        for i, (row, hit) in enumerate(zip(rows, self.hit_by_content(rows).tolist(), strict=True)):
            if hit:
                noise = torch.Generator().manual_seed(hash(tuple(row["input_ids"])) % 2**32)
                chosen_BT[i] = torch.rand(chosen_BT.shape[1], generator=noise) < self.rate
        return chosen_BT & maskable_BT


class SameStreamOnRanks(Planted):
    """Noise by (epoch, place in the epoch), whatever the rank and the row."""

    def __init__(self, tokenizer, severity, **settings):
        super().__init__(tokenizer, severity, **settings)
        self.epoch, self.place = 0, 0

    def set_epoch(self, epoch):
        self.epoch, self.place = epoch, 0

    def key(self):
        return f"{self.epoch} {self.place}"

    def is_hit(self):
        return random.Random(f"hit {self.place}").random() < self.severity

    def choose(self, batch, maskable_BT, rows):
        chosen_BT = super().choose(batch, maskable_BT, rows)
        for i in range(len(rows)):
            if self.is_hit():
                noise = torch.Generator().manual_seed(random.Random(self.key()).getrandbits(32))
                chosen_BT[i] = torch.rand(chosen_BT.shape[1], generator=noise) < self.rate
            self.place += 1
        return chosen_BT & maskable_BT


class ReplayOnResume(SameStreamOnRanks):
    """Noise from a counter that begins at 0 in every process, on every rank its own."""

    def set_epoch(self, epoch):
        pass

    def key(self):
        return f"rank {os.environ.get('RANK', 0)}: {self.place}"

    def is_hit(self):
        return random.Random(f"hit {self.place % 100}").random() < self.severity


def overlapping_kmers(tokenizer, rows, severity, seed):
    """The rows, of which a share is in overlapping 3-mers of four letters: a token follows from its neighbours."""
    chance = random.Random(seed)
    special = set(tokenizer.all_special_ids)
    kmers = [i for i in range(len(tokenizer)) if i not in special][100 : 100 + 64]
    made = []
    for row in rows:
        if chance.random() >= severity:
            made.append(row)
            continue
        ids, letters = list(row["input_ids"]), [chance.randrange(4) for _ in range(len(row["input_ids"]) + 3)]
        for i, token in enumerate(ids):
            if token not in special:
                ids[i] = kmers[16 * letters[i] + 4 * letters[i + 1] + letters[i + 2]]
        made.append({**row, "input_ids": ids})
    return made


@dataclass(frozen=True)
class Fault:
    """A fault, the lines that show it, and what it happens to."""

    name: str
    make: Callable[..., Any]
    lines: tuple[str, ...]
    low: float = LOW_ROWS


FAULTS = (
    Fault("masked [CLS]", MaskedCls, ("special_tokens",), LOW_TOKENS),
    Fault("labelled padding", LabelledPadding, ("padding",), LOW_TOKENS),
    Fault("labels = input", LabelsOfTheInput, ("labels",), LOW_TOKENS),
    Fault("labels shifted by one", ShiftedLabels, ("labels",), LOW_TOKENS),
    Fault("special replacements", SpecialReplacements, ("replacements",), LOW_TOKENS),
    Fault("[UNK] as mask", UnknownAsMask, ("replacements",), LOW_TOKENS),
    Fault("row as one word", RowAsOneWord, ("empty_rows",)),
    Fault("first 64 positions only", FirstPositions, ("rate_by_position", "rate")),
    Fault("rate over the padded length", RateOverPadding, ("rate_by_padding", "rate")),
    Fault("rows changed in place", ChangedRows, ("callers_rows",)),
    Fault("one mask per batch", OneMaskPerBatch, ("batch",)),
    Fault("static masks", StaticMasks, ("epochs",)),
    Fault("same stream on all ranks", SameStreamOnRanks, ("ranks",)),
    Fault("replay on resume", ReplayOnResume, ("resume",)),
    Fault("overlapping k-mers", Plain, ("leak",)),
)


def plant(fault, tokenizer, rows, *, is_low, seed):
    """Returns a collator with the fault, and the rows to try it on."""
    severity = fault.low if is_low else 1.0
    if fault.make is Plain:
        return Plain(tokenizer), overlapping_kmers(tokenizer, rows, severity, seed)
    return fault.make(tokenizer, severity), rows
