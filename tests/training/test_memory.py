"""Keeping freed memory is asked of the C library, and taken back."""

import sys

import pytest

from maskwise.training.memory import keep_freed_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_the_c_library_takes_the_setting_and_takes_it_back():
    assert keep_freed_memory()
    assert keep_freed_memory(False)


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
