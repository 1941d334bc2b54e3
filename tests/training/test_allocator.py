"""Buffers that are freed while the allocator keeps them come back without a page fault."""

from __future__ import annotations

import ctypes
import resource

import pytest
import torch

from maskwise.training.allocator import kept_buffers

CPU, FLOATS = torch.device("cpu"), 9 << 20  # 36 MB
needs_glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")


def page_faults_of_taking_a_buffer_again() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(40):
        torch.empty(FLOATS).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@needs_glibc
def test_a_large_buffer_is_faulted_in_a_few_times_inside_and_every_time_outside():
    """A few times: what is left between kept buffers has to join before one fits again."""
    outside = page_faults_of_taking_a_buffer_again()
    with kept_buffers(CPU):
        inside = page_faults_of_taking_a_buffer_again()
    afterwards = page_faults_of_taking_a_buffer_again()
    assert inside < min(outside, afterwards) / 2


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
