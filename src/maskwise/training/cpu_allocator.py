"""The C allocator, told to keep what training frees and soon takes again."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# <malloc.h> of glibc, and the values its own adaptation arrives at in a process that frees large buffers.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
ADAPTED = {M_MMAP_MAX: 65_536, M_MMAP_THRESHOLD: 32 << 20, M_TRIM_THRESHOLD: 64 << 20}
KEEPING = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1}


@contextmanager
def kept_buffers(device: torch.device) -> Iterator[None]:
    """Keeps freed memory in the process while its body runs on a CPU; on other devices and C libraries does nothing.

    glibc asks the system for every buffer above 32 MB, and gives it back when it is freed. A step takes several (the
    gradient of an embedding is one), and each comes as empty pages to be filled in one by one, which may cost as much
    as the mathematics. Kept buffers are taken again as they are. What is kept is given back at the end.
    """
    libc = _glibc() if device.type == "cpu" else None
    if libc is None:
        yield
        return
    _set(libc, KEEPING)
    try:
        yield
    finally:
        _set(libc, ADAPTED)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
    except TypeError:  # Windows
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def _set(libc: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        libc.mallopt(option, value)
