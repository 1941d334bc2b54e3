"""Masked questions: how probable is a token at one position of a text, answered in batches of equal length.

The weights and the forward pass are in float32 outside of autocast, sums in float64. Nothing is padded, so what is
asked next to a question moves its answer by rounding alone. A question that occurs twice in a batch costs one pass:
the two sentences of a minimal pair share the copy in which the word they differ in is masked.

Shapes: R questions, U of them distinct, T positions, V vocabulary, S what answers are added to.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from maskwise.errors import InputError
from maskwise.models.model_limits import longest_window, vocabulary_size
from maskwise.models.sparse import SparseHead, evaluating
from maskwise.progress import Progress

TOKENS_AT_A_TIME = 1 << 12  # measured: above this, activations leave the cache of a core
TOKENS_AT_A_TIME_ON_A_GPU = 1 << 18
LOGITS_AT_A_TIME = 1 << 26  # 256 MiB


class Questions(NamedTuple):
    """Which token is at `position_R` of `input_ids_RT`: how probable is `target_R`? `owner_R` gets the answer."""

    input_ids_RT: np.ndarray
    position_R: np.ndarray
    target_R: np.ndarray
    owner_R: np.ndarray

    def __len__(self) -> int:
        return len(self.owner_R)


def sum_log_probabilities(
    model: Any, questions: Iterable[Questions], num_owners: int, progress: Progress
) -> np.ndarray:
    """Returns the log probabilities of the targets, added up by owner.

    Args:
        model: A masked language model of transformers, on any device, in any precision.
        questions: Groups of questions, each of one length; groups of the same length are best put next to each other.
        num_owners: How many owners there are.
        progress: Is advanced by the number of questions.

    Returns:
        float64 [S], in nats.

    Raises:
        InputError: If a text has an id beyond the model's vocabulary, or the model gives values that are not finite.
    """
    vocab_size = vocabulary_size(model)
    sums_S = np.zeros(num_owners)
    with torch.no_grad(), in_full_precision(model) as exact, evaluating(exact):
        head, device = SparseHead(exact), next(exact.parameters()).device
        for number, batch in enumerate(_batches(questions, device, vocab_size)):
            _require_known_ids(batch, vocab_size)
            log_p_R = _answers(head, batch, device, is_first=number == 0)
            sums_S += np.bincount(batch.owner_R, weights=log_p_R, minlength=num_owners)
            progress.advance(len(batch))
    return sums_S


@contextmanager
def in_full_precision(model: Any) -> Iterator[Any]:
    """Yields the model in float32 (a copy, if it is not), with autocast off and products in full float32.

    A tie is a difference of 1e-4 nats, and bfloat16 has three digits.
    """
    exact = all(tensor.dtype == torch.float32 for tensor in model.parameters() if tensor.is_floating_point())
    device_type, precision = next(model.parameters()).device.type, torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device_type, enabled=False):
            yield model if exact else copy.deepcopy(model).float()
    finally:
        torch.set_float32_matmul_precision(precision)


def _batches(questions: Iterable[Questions], device: torch.device, vocab_size: int) -> Iterator[Questions]:
    """Joins neighbouring groups of one length, and cuts long ones, to batches that fit the caches."""
    at_a_time = TOKENS_AT_A_TIME if device.type == "cpu" else TOKENS_AT_A_TIME_ON_A_GPU
    for length, groups in groupby(questions, key=lambda group: group.input_ids_RT.shape[1]):
        most = max(min(at_a_time // length, LOGITS_AT_A_TIME // vocab_size), 1)
        waiting: list[Questions] = []
        for group in groups:
            waiting.append(group)
            if sum(map(len, waiting)) >= most:
                yield from _split(waiting, most)
                waiting = []
        if waiting:
            yield from _split(waiting, most)


def _split(groups: list[Questions], most: int) -> Iterator[Questions]:
    joined = Questions(*map(np.concatenate, zip(*groups, strict=True)))
    num_parts = max(len(joined) // most, 1)
    for part in zip(*(np.array_split(column, num_parts) for column in joined), strict=True):
        yield Questions(*part)


def require_room(model: Any, tokenizer: Any, lengths: Sequence[int]) -> None:
    """Raises InputError if the model is none, or texts of these numbers of tokens do not fit its positions."""
    if not isinstance(model, nn.Module):
        raise InputError(
            f"The model is a {type(model).__name__}; give a loaded one: "
            "transformers.AutoModelForMaskedLM.from_pretrained(...)."
        )
    longest = longest_window(model, tokenizer)
    too_long = [length for length in lengths if length > longest]
    if too_long:
        raise InputError(
            f"{len(too_long):,} of {len(lengths):,} texts are longer than the model's {longest:,} positions; the "
            f"longest has {max(too_long):,} tokens with its special ones.\nLeave out such texts, or take a model with "
            "more positions: a text that is cut scores as another text."
        )


def _require_known_ids(batch: Questions, vocab_size: int) -> None:
    highest = max(batch.input_ids_RT.max(), batch.target_R.max())
    if highest >= vocab_size:
        raise InputError(
            f"The tokenizer gives the id {highest:,}, and the model knows {vocab_size:,} tokens. "
            "Score with the tokenizer that the model was trained with."
        )


def _answers(head: SparseHead, batch: Questions, device: torch.device, is_first: bool) -> np.ndarray:
    """Returns the log probability [R] of each target, each distinct text run once."""
    asked_RX = np.column_stack([batch.input_ids_RT, batch.position_R])
    distinct_UX, copy_of_R = np.unique(asked_RX, axis=0, return_inverse=True)
    input_ids_UT = torch.from_numpy(distinct_UX[:, :-1]).to(device)
    position_U = torch.from_numpy(distinct_UX[:, -1]).to(device)
    index_U = torch.arange(len(distinct_UX), device=device) * input_ids_UT.shape[1] + position_U
    inputs = {"input_ids": input_ids_UT}
    if is_first:
        head.cut_early(inputs, index_U)
    logits_UV = head.logits(inputs, index_U)
    copy_of_R, target_R = (torch.from_numpy(column.ravel()).to(device) for column in (copy_of_R, batch.target_R))
    log_p_R = logits_UV[copy_of_R, target_R] - logits_UV.logsumexp(dim=-1)[copy_of_R]
    if not log_p_R.isfinite().all():
        raise InputError("The model gives probabilities that are not finite (nan or infinity), so nothing is scored.")
    return log_p_R.double().cpu().numpy()
