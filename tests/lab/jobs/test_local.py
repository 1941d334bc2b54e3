"""Jobs in processes of this machine: as many as asked for, and a GPU of its own for each, if there are any."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from maskwise.errors import InputError
from maskwise.lab.jobs import local
from maskwise.lab.jobs.job import JobSpec, Requirements
from maskwise.lab.jobs.local import LocalExecutor

# Says what it sees, then waits for a file to appear, or for its parent to end.
WORKER = """
import json, os, sys, time
from pathlib import Path
settings = Path(sys.argv[-2])
seen = {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "threads": os.environ["OMP_NUM_THREADS"]}
settings.with_suffix(".seen.part").write_text(json.dumps(seen))
settings.with_suffix(".seen.part").rename(settings.with_suffix(".seen"))
while not settings.with_suffix(".stop").exists():
    time.sleep(0.01)
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A worker that does nothing but wait, in a module that the processes can import."""
    (tmp_path / "waiting_worker.py").write_text(WORKER)
    monkeypatch.setattr(local, "WORKER", "waiting_worker")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def make_executor():
    """Makes executors whose processes end with the test."""
    made, ids = [], []

    def make(*arguments, **options):
        made.append(LocalExecutor(*arguments, **options))
        return made[-1], ids

    yield make
    for executor in made:
        executor.cancel(ids, grace_s=0)


def spec_of(tmp_path, name, gpus=1):
    path = tmp_path / name
    return JobSpec(f"s/{name}", path, Requirements(gpus=gpus), path.with_suffix(".log"), path.with_suffix(".done"))


def wait_for(executor, ids, expected):
    give_up_at = time.monotonic() + 60
    while list(executor.states(ids).values()) != expected:
        assert time.monotonic() < give_up_at, executor.states(ids)
        time.sleep(0.02)


def seen_by(tmp_path, name):
    path, give_up_at = tmp_path / f"{name}.seen", time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
    return json.loads(path.read_text())


def test_each_job_gets_a_gpu_of_its_own_and_waits_if_none_is_free(tmp_path, worker, make_executor):
    executor, ids = make_executor(3, num_gpus=2)
    ids += [executor.submit(spec_of(tmp_path, name), 1) for name in "abc"]
    assert executor.capacity() == 3
    assert list(executor.states(ids).values()) == ["running", "running", "pending"]
    assert {seen_by(tmp_path, name)["gpus"] for name in "ab"} == {"0", "1"}
    (tmp_path / "a.stop").touch()
    wait_for(executor, ids, ["gone", "running", "running"])
    assert seen_by(tmp_path, "c")["gpus"] == seen_by(tmp_path, "a")["gpus"]


def test_the_gpus_that_torch_sees_are_shared(tmp_path, worker, make_executor, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    executor, ids = make_executor(3)
    ids += [executor.submit(spec_of(tmp_path, name), 1) for name in "abc"]
    assert list(executor.states(ids).values()) == ["running", "running", "pending"]
    assert {seen_by(tmp_path, name)["gpus"] for name in "ab"} == {"0", "1"}


def test_a_job_that_asks_for_no_gpu_sees_none_and_does_not_wait(tmp_path, worker, make_executor):
    executor, ids = make_executor(2, num_gpus=1)
    ids += [executor.submit(spec_of(tmp_path, "a"), 1), executor.submit(spec_of(tmp_path, "b", gpus=0), 1)]
    assert list(executor.states(ids).values()) == ["running", "running"]
    assert seen_by(tmp_path, "b")["gpus"] == ""


def test_without_gpus_jobs_run_on_the_processor_and_share_its_threads(tmp_path, worker, make_executor, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    executor, ids = make_executor(2, num_gpus=0)
    ids.append(executor.submit(spec_of(tmp_path, "a"), 1))
    assert seen_by(tmp_path, "a") == {"gpus": None, "threads": "4"}


def test_gpus_are_named_as_the_environment_names_them(tmp_path, worker, make_executor, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-7f")
    executor, ids = make_executor(2, num_gpus=2)
    ids += [executor.submit(spec_of(tmp_path, name), 1) for name in "ab"]
    assert {seen_by(tmp_path, name)["gpus"] for name in "ab"} == {"5", "GPU-7f"}


def test_the_same_attempt_is_never_a_second_process(tmp_path, worker, make_executor):
    executor, ids = make_executor(2, num_gpus=0)
    ids += [executor.submit(spec_of(tmp_path, "a"), 1)] * 2
    assert ids[0] == ids[1] == executor.submit(spec_of(tmp_path, "a"), 1)
    seen_by(tmp_path, "a")
    (tmp_path / "a.seen").unlink()
    executor.cancel(ids, grace_s=0)
    assert executor.submit(spec_of(tmp_path, "a"), 1) == ids[0]
    assert executor.states(ids)[ids[0]] == "gone"
    assert executor.submit(spec_of(tmp_path, "a"), 2) != ids[0]
    ids.append("s/a/2")


def test_a_job_that_waits_can_be_cancelled(tmp_path, worker, make_executor):
    executor, ids = make_executor(2, num_gpus=1)
    ids += [executor.submit(spec_of(tmp_path, name), 1) for name in "ab"]
    executor.cancel(ids[1:], grace_s=5)
    assert list(executor.states(ids).values()) == ["running", "gone"]


def test_no_jobs_at_a_time_are_refused():
    with pytest.raises(InputError, match="--jobs is 0"):
        LocalExecutor(0)


def test_nothing_of_posix_is_needed_to_import_the_laboratory():
    """Windows has neither fcntl nor resource; what uses them asks first."""
    for module in ("fcntl", "resource", "pwd", "grp"):
        for path in Path(local.__file__).parents[1].rglob("*.py"):
            lines = path.read_text(encoding="utf-8").splitlines()
            assert f"import {module}" not in lines, f"{path} imports {module} at its top"
    assert sys.platform
