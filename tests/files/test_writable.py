"""Folders that refuse files are found out before anything is computed."""

import errno
import os
import tempfile

import pytest

from maskwise.errors import InputError
from maskwise.files.writable import check_writable
from maskwise.lab import finetune, pretrain, run_study
from maskwise.lab.study.study_file import check_study


@pytest.fixture
def read_only(monkeypatch):
    """A file system that takes no files: permissions alone do not stop an administrator."""

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)


def test_a_folder_that_can_be_made_passes_and_is_not_made(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(tmp_path / "file" / "run")


def test_jobs_say_so_in_one_message(read_only, tree, tiny_data, teacher, glue, refused, tmp_path):
    out = tmp_path / "out"
    calls = (
        lambda: pretrain(data=tiny_data, model="tiny", steps=2, out=out, show=False),
        lambda: finetune(teacher, "sst2", task_data=glue, out=out, show=False),
        lambda: run_study(check_study(tree), out, show=False),
    )
    for call in calls:
        with pytest.raises(InputError, match=r"refuses new files \(Read-only file system\)"):
            call()
    assert "refuses new files" in refused(["drift", teacher, teacher, "--csv", tmp_path / "drift.csv"])
    assert not out.exists()
