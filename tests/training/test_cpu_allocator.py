"""Buffers that are freed while the allocator keeps them come back without a page fault."""

from __future__ import annotations

import ctypes
import resource
import subprocess
import sys

import pytest
import torch

from maskwise.training.cpu_allocator import kept_buffers

CPU, FLOATS = torch.device("cpu"), 9 << 20  # 36 MB
needs_glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")


COUNT = f"""
import resource, torch
from maskwise.training.cpu_allocator import kept_buffers

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.empty({FLOATS}).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

outside = faults(10)
with kept_buffers(torch.device("cpu")):
    faults(40)  # until what lies between kept buffers has joined
    inside = faults(10)
print(outside, inside, faults(10))
"""


@needs_glibc
def test_a_large_buffer_is_faulted_in_anew_outside_only():
    """In a process of its own: where the gaps of the heap are depends on all that a process did before."""
    printed = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True).stdout
    outside, inside, afterwards = map(int, printed.split())
    assert inside < min(outside, afterwards) / 10


@needs_glibc
def test_what_was_kept_is_given_back_at_the_end_also_after_an_error():
    kept = []

    def fail_after_freeing() -> None:
        torch.empty(8 * FLOATS).fill_(1)
        kept.append(resident_bytes())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), kept_buffers(CPU):
        fail_after_freeing()
    assert kept[0] - resident_bytes() > 7 * FLOATS * 4


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_a_c_library_without_these_options_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    with kept_buffers(CPU):
        assert torch.zeros(3).sum() == 0
