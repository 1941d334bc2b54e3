"""Uniform noise that has no state: a function of what it is for, never of who drew before.

Shapes: B sequences, T positions.

SplitMix64's finaliser (Steele, Lea and Flood, 2014) over wrapping int64, so CPU and GPU, any batch size, any number
of workers or ranks, and any restart see the same numbers. Nothing has to be saved or restored.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MULTIPLY_1 = 0xBF58476D1CE4E5B9
_MULTIPLY_2 = 0x94D049BB133111EB
_MASK_64 = (1 << 64) - 1


class Stream(IntEnum):
    """What a number is drawn for; different streams are independent."""

    PICK = 1
    ACTION = 2
    REPLACEMENT = 3
    SPAN_LENGTH = 4
    COIN = 5
    HELD_OUT = 6
    FOLD = 7
    ROUNDING = 8
    SLICES = 9


def uniform_noise(seed: int, epoch: int, example_ids_B: Tensor, positions_BT: Tensor, stream: Stream) -> Tensor:
    """Returns float32 noise in [0, 1), of the shape of `positions_BT`, from (seed, epoch, example, position, stream).

    >>> ids, positions = torch.tensor([7, 8]), torch.arange(3).expand(2, 3)
    >>> noise = uniform_noise(0, 0, ids, positions, Stream.PICK)
    >>> torch.equal(noise[1:], uniform_noise(0, 0, ids[1:], positions[1:], Stream.PICK))
    True
    """
    bits_BT = hash_bits(seed, epoch, example_ids_B, positions_BT, stream)
    return _shift_right(bits_BT, 40).to(torch.float32) * 2.0**-24


def hash_bits(seed: int, epoch: int, example_ids_B: Tensor, positions_BT: Tensor, stream: Stream) -> Tensor:
    """Returns 64 mixed bits as int64, of the shape of `positions_BT`."""
    run_key = mix_int(mix_int(mix_int(seed) + int(stream)) + epoch)
    row_key_B = _mix(example_ids_B.to(torch.int64) * _signed(_GOLDEN) + _signed(run_key))
    return _mix(row_key_B.unsqueeze(-1) + positions_BT.to(torch.int64) * _signed(_GOLDEN))


def content_ids(input_ids_BT: Tensor, positions_BT: Tensor, is_text_BT: Tensor) -> Tensor:
    """Returns one int64 [B] that depends on a sequence's text alone, for data that carries no example ids.

    `positions_BT` counts from the first token of the text, and padding is no text, so neither its side nor its
    amount changes the id.
    """
    mixed_BT = _mix(input_ids_BT.to(torch.int64) + positions_BT * _signed(_GOLDEN))
    return torch.where(is_text_BT, mixed_BT, 0).sum(dim=-1)


def text_positions(batch: Mapping[str, Tensor]) -> Tensor:
    """Returns positions [B, T] counted from each row's first real token, so that padding moves no noise."""
    input_ids_BT = batch["input_ids"]
    positions_T = torch.arange(input_ids_BT.shape[1], device=input_ids_BT.device)
    if "attention_mask" not in batch:
        return positions_T.expand(input_ids_BT.shape)
    return positions_T - batch["attention_mask"].to(torch.int64).argmax(dim=-1, keepdim=True)


def coin(seed: int, step: int) -> bool:
    """Returns one fair coin per (seed, step): the same on every rank, for every micro-batch of the step.

    >>> heads = sum(coin(0, step) for step in range(1000))
    >>> 450 < heads < 550
    True
    """
    return bool(mix_int(mix_int(mix_int(seed) + int(Stream.COIN)) + step) >> 63)


def mix_int(value: int) -> int:
    """Returns SplitMix64's next output for the state `value` (64 bits, unsigned).

    >>> hex(mix_int(0))
    '0xe220a8397b1dcdaf'
    """
    value = (value + _GOLDEN) & _MASK_64
    value = ((value ^ (value >> 30)) * _MULTIPLY_1) & _MASK_64
    value = ((value ^ (value >> 27)) * _MULTIPLY_2) & _MASK_64
    return value ^ (value >> 31)


def _mix(values: Tensor) -> Tensor:
    values = values + _signed(_GOLDEN)
    values = (values ^ _shift_right(values, 30)) * _signed(_MULTIPLY_1)
    values = (values ^ _shift_right(values, 27)) * _signed(_MULTIPLY_2)
    return values ^ _shift_right(values, 31)


def _shift_right(values: Tensor, bits: int) -> Tensor:
    """Logical shift: int64's own shift copies the sign bit."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """The int64 with the same 64 bits."""
    return value - (1 << 64) if value >> 63 else value
