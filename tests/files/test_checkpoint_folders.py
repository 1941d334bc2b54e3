"""Which folders `checkpoint-N` are complete, and which of them are as they were written."""

import json

import pytest

from maskwise.errors import InputError
from maskwise.files.checkpoint_folders import (
    MARKER,
    TRAINER_STATE,
    complete_checkpoints,
    delete_incomplete,
    newest_undamaged,
    whats_wrong,
)
from maskwise.files.checksums import record_files


@pytest.fixture
def run(tmp_path):
    """A run of 10 steps with the complete checkpoints 2, 8 and 10."""
    for step in (10, 2, 8):
        make(tmp_path, step)
    return tmp_path


def make(run, step):
    folder = run / f"checkpoint-{step}"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(bytes(range(256)) * step)
    (folder / TRAINER_STATE).write_text(json.dumps({"global_step": step, "max_steps": 10}))
    (folder / MARKER).write_text(json.dumps({"step": step, "files": record_files(folder)}))


def remark(folder, **changes):
    """Writes a marker that fits the files as they are."""
    marker = json.loads((folder / MARKER).read_text())
    (folder / MARKER).unlink()
    (folder / MARKER).write_text(json.dumps(marker | {"files": record_files(folder)} | changes))


def test_complete_ones_are_listed_by_their_steps(run):
    (run / "checkpoint-8" / MARKER).unlink()
    (run / "checkpoint-best").mkdir()
    assert [path.name for path in complete_checkpoints(run)] == ["checkpoint-2", "checkpoint-10"]
    assert [path.name for path in delete_incomplete(run)] == ["checkpoint-8"]
    assert {path.name for path in run.iterdir()} == {"checkpoint-2", "checkpoint-10", "checkpoint-best"}


def damages():
    state = lambda text: lambda folder: ((folder / TRAINER_STATE).write_text(text), remark(folder))  # noqa: E731
    return {
        "a flipped bit": (
            lambda folder: (folder / "weights.bin").write_bytes(b"\x01" + (folder / "weights.bin").read_bytes()[1:]),
            "weights.bin is not what was written",
        ),
        "a cut file": (
            lambda folder: (folder / "weights.bin").write_bytes(b"short"),
            "weights.bin has 5 bytes instead of 2,560",
        ),
        "a missing file": (lambda folder: (folder / "weights.bin").unlink(), "weights.bin is missing"),
        "an empty state": (state("{}"), "is of step None"),
        "a state of another step": (state('{"global_step": 8, "max_steps": 10}'), "is of step 8"),
        "a step beyond the end": (state('{"global_step": 10, "max_steps": 9}'), "is of a run of 9 steps"),
        "a state without an end": (state('{"global_step": 10}'), "is of a run of None steps"),
        "a state that is a list": (state("[]"), "holds no table"),
        "a state that does not parse": (state("{"), "cannot be read"),
        "a marker of another step": (lambda folder: remark(folder, step=8), "marker is of step 8"),
        "a marker of older kind": (
            lambda folder: (folder / MARKER).write_text('{"step": 10}'), "record of its files does not parse"
        ),
        "an empty marker": (lambda folder: (folder / MARKER).write_text(""), "cannot be read"),
    }  # fmt: skip


@pytest.mark.parametrize(("damage", "what"), damages().values(), ids=damages())
def test_a_damaged_one_is_passed_over_and_said(damage, what, run):
    damage(run / "checkpoint-10")
    assert what in whats_wrong(run / "checkpoint-10")
    said = []
    assert newest_undamaged(run, said.append) == run / "checkpoint-8"
    assert len(said) == 1 and what in said[0] and "resuming from checkpoint-8 instead" in said[0]
    assert not (run / "checkpoint-10" / MARKER).exists()
    assert newest_undamaged(run, said.append) == run / "checkpoint-8" and len(said) == 1


def test_a_renamed_folder_is_not_a_checkpoint(run):
    (run / "checkpoint-8").rename(run / "checkpoint-9")
    assert whats_wrong(run / "checkpoint-9") == "its marker is of step 8"


def test_whole_ones_are_taken_as_they_are(run):
    said = []
    assert [whats_wrong(path) for path in complete_checkpoints(run)] == [None] * 3
    assert newest_undamaged(run, said.append) == run / "checkpoint-10" and not said


def test_what_else_is_looked_at_counts_as_damage(run):
    newest = newest_undamaged(run, lambda text: None, lambda path: "not finite" if path.name.endswith("10") else None)
    assert newest == run / "checkpoint-8"


def test_if_all_are_damaged_the_markers_stay_and_every_reason_is_named(run):
    """A resume would otherwise begin the run anew, over what could be put back."""
    for path in complete_checkpoints(run):
        (path / "weights.bin").unlink()
    with pytest.raises(
        InputError, match=r"Every checkpoint(.|\n)*checkpoint-10: weights.bin is missing(.|\n)*checkpoint-2"
    ):
        newest_undamaged(run, print)
    assert len(complete_checkpoints(run)) == 3


def test_without_a_marked_one_there_is_none(tmp_path):
    (tmp_path / "checkpoint-4").mkdir()
    assert newest_undamaged(tmp_path, print) is None
