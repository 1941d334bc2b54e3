"""The order of training rows: at random or by length, for any number of them, the same when a run is resumed.

Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices
from transformers.trainer_utils import has_length

from maskwise.masking.score_context import row_lengths

PART = 8192


def row_order(args: TrainingArguments, rows: Any) -> Sampler[int] | None:
    """Returns the sampler that `train_sampling_strategy` asks for; None if the Trainer's own will do.

    Args:
        args: The training arguments. `data_seed`, or else `seed`, decides the order.
        rows: The training rows; those of a stream come in its own order.
    """
    if not has_length(rows):
        return None
    seed = args.seed if args.data_seed is None else args.data_seed
    if args.train_sampling_strategy == "random":
        return ShuffledRows(len(rows), seed)
    if args.train_sampling_strategy == "group_by_length":
        batch = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        return RowsByLength(_lengths(getattr(rows, "rows", rows), args.length_column_name), batch, seed)
    return None


def _lengths(rows: Any, column: str) -> list[int]:
    has_column = column in (getattr(rows, "column_names", None) or ())
    return list(rows[column]) if has_column else row_lengths(rows).tolist()


class ShuffledRows(Sampler[int]):
    """The row numbers in a random order, another in each epoch, that depends on seed, epoch and their count alone.

    It is the order of accelerate's `SeedableRandomSampler`, which makes a Python list of it, twice an epoch: 0.8 s and
    310 MB for the 8 million rows of a billion tokens. Here it takes 8 bytes a row.

    >>> order = ShuffledRows(5, seed=0)
    >>> sorted(order) == [0, 1, 2, 3, 4]
    True
    """

    def __init__(self, num_rows: int, seed: int) -> None:
        self.num_rows, self.seed, self.epoch = num_rows, seed, 0

    def __len__(self) -> int:
        return self.num_rows

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        for part in torch.randperm(self.num_rows, generator=generator).split(PART):
            yield from part.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Names the epoch whose order comes next; accelerate's data loader does."""
        self.epoch = epoch


class RowsByLength(Sampler[int]):
    """The row numbers so that a batch has rows of like length, in another order in each epoch.

    It is transformers' way (batches of a random 50 batches, sorted by length), which there depends on the global random
    state and so could not be resumed.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))

    def set_epoch(self, epoch: int) -> None:
        """Names the epoch whose order comes next; accelerate's data loader does."""
        self.epoch = epoch
