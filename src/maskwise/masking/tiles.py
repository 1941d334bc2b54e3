"""Tiles of logits that stay in the cache, and how a kernel over one of them is compiled.

Shapes: R rows, V vocabulary, C columns of one tile, P interleaved parts of one tile (1, or 2 for bfloat16).

A kernel takes a tile [R, C], its bias [P, C / P] and some values a row. There are two forms of it: a plain one, and
one written in operations that the compiler turns into vector instructions on a CPU.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

SMALLEST_EXPONENT = -87.0
"""e^-87 is the last normal float32: below it a term is nothing beside a sum of at least 1."""


class Kernel(NamedTuple):
    """One tile's work: plain, and for the CPU's compiler.

    `num_row_values`: how many values a row it takes behind tile and bias. `rows_on_cpu`: the tallest tile, compiled
    there. It is measured once, not by a trial at the start of each run: one shape is within 1% of the fastest for all
    models and vocabularies tried (EXPERIMENTS.md), and a trial of a second would see the machine's other work.
    """

    plain: Callable[..., Any]
    on_cpu: Callable[..., Any]
    num_row_values: int
    rows_on_cpu: int


class Tiling(NamedTuple):
    """The shape of a tile, its place, and the kernel in the form that runs there."""

    rows: int
    columns: int
    parts: int
    dtype: torch.dtype
    device: torch.device
    run: Callable[..., Any]

    @classmethod
    def of(
        cls,
        kernel: Kernel,
        like: Tensor,
        num_vocab: int,
        *,
        row_chunk: int | None = None,
        vocab_chunk: int | None = None,
        compiled: bool,
    ) -> Tiling:
        """Returns the tiling for logits in the dtype and place of `like`; the chunks default to what was fastest."""
        on_cpu = like.device.type == "cpu"
        rows = max(2, row_chunk or _default_rows(kernel, on_cpu, compiled))
        # Powers of two: small vocabularies share a few widths, so that few shapes are ever compiled.
        columns = vocab_chunk or min(2048 if on_cpu else 8192, max(64, 1 << (num_vocab - 1).bit_length()))
        parts = 2 if compiled and on_cpu and like.dtype == torch.bfloat16 and columns % 2 == 0 else 1
        run = _compiled(kernel, columns, parts, like.dtype, like.device) if compiled else kernel.plain
        return cls(rows, columns, parts if run is not kernel.plain else 1, like.dtype, like.device, run)


def column_slices(bias_V: Tensor, tiling: Tiling) -> Iterator[tuple[slice, Tensor]]:
    """Yields each slice of the vocabulary with its bias [P, C]; a bias of -inf switches the padding columns off."""
    num_vocab = len(bias_V)
    for start in range(0, num_vocab, tiling.columns):
        columns = slice(start, min(start + tiling.columns, num_vocab))
        bias_C = bias_V.new_full((tiling.columns,), -torch.inf)
        bias_C[: columns.stop - start] = bias_V[columns]
        yield columns, bias_C.view(-1, tiling.parts).t().clone(memory_format=torch.contiguous_format)


def _default_rows(kernel: Kernel, on_cpu: bool, compiled: bool) -> int:
    """Eager keeps five float32 copies of a tile alive, so its tile has to be smaller to stay in the cache."""
    if not on_cpu:
        return 4096
    return kernel.rows_on_cpu if compiled else 256


def bfloat16_halves(tile_RC: Tensor) -> list[Tensor]:
    """Returns the even and the odd columns as float32: a bfloat16 is the upper half of a float32.

    Two of them are read as one 32-bit integer, because a loop that loads 16-bit numbers compiles to code four times
    slower.
    """
    pairs_RC = tile_RC.view(torch.int32)
    return [(pairs_RC << 16).view(torch.float32), (pairs_RC & -65536).view(torch.float32)]


_ROUND_TO_INTEGER = 1.5 * 2.0**23
_EXP2_COEFFICIENTS = (
    0.001338130253731142,
    0.009666368515384688,
    0.055503810137964675,
    0.24022349038020382,
    0.6931471805599451,
    1.0,
)


def exp_inline(x: Tensor) -> Tensor:
    """Returns e^x for -87 <= x <= 0 to 3e-7 of itself: 2^n as bits of the exponent times a polynomial for the rest.

    The library's exp is a call, which empties the vector registers: half the speed at twice the precision needed here.
    """
    shifted = x * math.log2(math.e) + _ROUND_TO_INTEGER
    fraction = x * math.log2(math.e) - (shifted - _ROUND_TO_INTEGER)
    power = torch.full_like(fraction, _EXP2_COEFFICIENTS[0])
    for coefficient in _EXP2_COEFFICIENTS[1:]:
        power = power * fraction + coefficient
    return (power.view(torch.int32) + (shifted.view(torch.int32) << 23)).view(torch.float32)


def bfloat16_pairs(even_RC: Tensor, odd_RC: Tensor) -> Tensor:
    """Returns two non-negative float32 halves as one bfloat16 tile, rounded to even: undoes `bfloat16_halves`."""
    even_bits, odd_bits = (_rounded_bits(part_RC.view(torch.int32)) for part_RC in (even_RC, odd_RC))
    return ((even_bits >> 16) | (odd_bits & -65536)).view(torch.bfloat16)


def _rounded_bits(bits: Tensor) -> Tensor:
    return bits + 0x7FFF + ((bits >> 16) & 1)


@functools.cache
def _compiled(
    kernel: Kernel, num_columns: int, num_parts: int, dtype: torch.dtype, device: torch.device
) -> Callable[..., Any]:
    """Returns the kernel compiled for one width of tile and any number of rows, or the plain one where that fails."""
    on_cpu = device.type == "cpu"
    options: dict[str, Any] = {"cpp.enable_floating_point_contract_flag": "fast"} if on_cpu else {}
    # Autocast is off inside: it changes nothing there, but every change of it would compile again.
    unchanging = torch.autocast(device.type, enabled=False)
    run = unchanging(torch.compile(kernel.on_cpu if on_cpu else kernel.plain, fullgraph=True, options=options))
    tile_RC = torch.zeros(2, num_columns, dtype=dtype, device=device)
    row_values = [torch.zeros(2, device=device) for _ in range(kernel.num_row_values)]
    for tensor in (tile_RC, *row_values):
        torch._dynamo.mark_dynamic(tensor, 0)
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's own, on loading its compiler
            run(tile_RC, torch.zeros(num_parts, num_columns // num_parts, device=device), *row_values)
    except Exception:  # what is raised without a compiler differs by platform and by release of torch
        return kernel.plain
    return run
