"""The worker: one job from its settings file, its start noted before torch, its end last."""

import json
import subprocess
import sys

import pytest

from maskwise.lab.commands import worker
from maskwise.lab.jobs.executor import WORKER
from maskwise.lab.records.attempts import read_attempts


@pytest.fixture
def job_file(tmp_path):
    """Writes the settings of a job of this kind; returns the file."""

    def write(kind="pretrain", **settings):
        path = tmp_path / "job.json"
        tree = {"name": "n", "kind": kind, "folder": str(tmp_path / "job"), "settings": settings}
        path.write_text(json.dumps(tree | {"attempts": str(tmp_path / "attempts")}))
        return path

    return write


def test_the_table_has_every_kind_and_the_executors_name_this_module():
    assert set(worker.JOB_KINDS) == {"prepare", "pretrain", "annotate", "tune", "time", "evaluate"}
    assert worker.__name__ == WORKER


def test_the_start_line_is_written_before_torch_is_imported(job_file, tmp_path, monkeypatch):
    code = (
        "import sys, maskwise.lab.commands.worker as worker\n"
        "from pathlib import Path\n"
        "def seen(job, recorder, objects):\n"
        "    print(Path(job.attempts, '1.jsonl').exists(), {'torch', 'transformers', 'datasets'} & set(sys.modules))\n"
        "worker.JOB_KINDS = {**worker.JOB_KINDS, 'pretrain': seen}\n"
        f"sys.exit(worker.run_worker([{str(job_file())!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True set()"
    (attempt,) = read_attempts(tmp_path / "attempts")
    assert (attempt.status, attempt.exit_code) == ("done", 0) and attempt.peak_memory > 1e6


def test_a_mistake_is_a_message_and_an_error_a_traceback(job_file, tmp_path, capsys):
    assert worker.run_job(job_file(data={"path": "nowhere"}, model={"preset": "tiny"}), own_process=False) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("Error: ") and "nowhere" in printed and "Traceback" not in printed
    assert worker.run_job(job_file(model="no table"), own_process=False) == 1
    first, second = read_attempts(tmp_path / "attempts")
    assert (first.exit_code, second.exit_code) == (2, 1)
    assert "nowhere" in first.message and second.message.startswith("pydantic")


def test_settings_that_are_damaged_are_named(tmp_path, capsys):
    path = tmp_path / "job.json"
    path.write_text('{"kind": "bake"}')
    assert worker.run_job(path, own_process=False) == 2
    assert str(path) in capsys.readouterr().err
