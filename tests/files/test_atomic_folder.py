import errno
import os

import pytest

from maskwise.errors import InputError
from maskwise.files.atomic_folder import atomic_folder


def test_the_folder_appears_only_when_whole(tmp_path):
    out = tmp_path / "new" / "data"
    with atomic_folder(out) as folder:
        (folder / "file").write_text("x")
        assert not out.exists()
        assert folder.parent == out.parent
    assert (out / "file").read_text() == "x"
    assert os.listdir(out.parent) == ["data"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("bad text"), RuntimeError()])
def test_nothing_is_left_when_the_work_fails(tmp_path, error):
    def work():
        with atomic_folder(tmp_path / "data") as folder:
            (folder / "file").write_text("x")
            raise error

    with pytest.raises(type(error)):
        work()
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_said_plainly_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="the disk is full"), atomic_folder(tmp_path / "data"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_there_stays_as_it_is(tmp_path):
    (tmp_path / "data").mkdir()
    with atomic_folder(tmp_path / "data") as folder:  # an empty one may be filled
        (folder / "manifest.json").write_text("{}")
    with (
        pytest.raises(InputError, match=r"data is a data folder already.\nGive another --out"),
        atomic_folder(tmp_path / "data"),
    ):
        pass
    assert (tmp_path / "data" / "manifest.json").read_text() == "{}"
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file exists and is not empty"), atomic_folder(tmp_path / "file"):
        pass


def test_leftovers_of_dead_runs_go_and_those_of_living_ones_stay(tmp_path):
    dead = 2**22 + 1  # above the largest process number there is
    (tmp_path / f".data.unfinished-{dead}").mkdir()
    (tmp_path / f".data.unfinished-{os.getppid()}").mkdir()
    (tmp_path / f".other.unfinished-{dead}").mkdir()
    with atomic_folder(tmp_path / "data"):
        pass
    assert sorted(os.listdir(tmp_path)) == [f".data.unfinished-{os.getppid()}", f".other.unfinished-{dead}", "data"]
