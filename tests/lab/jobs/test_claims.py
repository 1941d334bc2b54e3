"""Locks: one holder, a clear message for the second, and file systems without any."""

import errno

import pytest

from maskwise.errors import InputError
from maskwise.lab.jobs import claims
from maskwise.lab.jobs.claims import locked


def test_a_second_holder_is_told_so_and_the_lock_is_free_afterwards(tmp_path):
    lock = tmp_path / "new" / "lock"
    with locked(lock, "busy"), pytest.raises(InputError, match="busy"), locked(lock, "busy"):
        pass
    with locked(lock, "busy"):
        pass


def test_a_file_system_without_locks_is_a_message_and_no_traceback(tmp_path, monkeypatch):
    def refuse(opened):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(claims, "_lock", refuse)
    with (
        pytest.raises(InputError, match=r"cannot be locked: No locks available.*local disk"),
        locked(tmp_path / "l", ""),
    ):
        pass
