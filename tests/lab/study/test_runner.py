"""A study as it runs: each cell once, whatever happens, and one table at the end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maskwise.errors import InputError
from maskwise.lab.config import merge
from maskwise.lab.jobs.claims import locked
from maskwise.lab.jobs.job import Job
from maskwise.lab.pretraining.run_record import training_seconds
from maskwise.lab.reports.hypotheses import judge
from maskwise.lab.study.layout import Layout
from maskwise.lab.study.outline import num_runs
from maskwise.lab.study.results import COST_COLUMNS, plain_rows, read_results, read_study
from maskwise.lab.study.speed import seconds_a_step
from maskwise.lab.study.study_file import check_study
from maskwise.lab.tokens.blocks import open_data
from study_in_process import run_in_process


def without_costs(out):
    rows = plain_rows(read_results(out))
    assert rows
    return [{key: value for key, value in row.items() if key not in COST_COLUMNS} for row in rows]


@pytest.fixture(scope="module")
def finished(request, tmp_path_factory):
    """One study of 2 arms, 2 seeds, 1 task and 2 tuning seeds, run to its end without a break: its file and folder."""
    import tomli_w

    folder = tmp_path_factory.mktemp("finished")
    tables = request.getfixturevalue("study_tables")
    (folder / "study.toml").write_text(tomli_w.dumps(tables), encoding="utf-8")
    result = run_in_process(folder / "study.toml", folder / "out")
    assert not result.failed, result.summary()
    return folder / "study.toml", folder / "out"


def test_there_is_a_row_for_every_arm_seed_task_tuning_seed_and_metric(finished):
    rows = plain_rows(read_results(finished[1]))
    keys = [(r["arm"], r["backbone"], r["seed"], r["task"], r["tuning_seed"], r["metric"]) for r in rows]
    assert len(set(keys)) == len(keys) == 2 * 2 * (4 + 2 * 2)
    assert {(r["task"], r["metric"]) for r in rows} == {
        *(("held_out", metric) for metric in ("loss", "perplexity", "top1", "top5")),
        ("cola", "matthews_correlation"), ("cola", "accuracy"),
    }  # fmt: skip
    tuned = [r for r in rows if r["task"] == "cola"]
    assert all(r["constant"] is not None and r["one_class"] is not None for r in tuned)
    assert all(r["tokens"] > 0 and r["flops"] > 0 and r["seconds"] >= 0 for r in rows)


def test_the_numbers_are_those_that_the_jobs_wrote(finished):
    out = finished[1]
    rows = plain_rows(read_results(out))
    done = json.loads((out / "runs/cold/tiny/1/pretrain/done.json").read_text())
    (loss,) = (r for r in rows if (r["arm"], r["seed"], r["metric"]) == ("cold", 1, "loss"))
    assert loss["value"] == done["held_out"]["entropy-self-cold"]["loss"] and loss["steps"] == 4
    result = json.loads((out / "runs/random/tiny/0/cola/cola/seed-1/result.json").read_text())
    (accuracy,) = (
        r for r in rows if (r["arm"], r["seed"], r["tuning_seed"], r["metric"]) == ("random", 0, 1, "accuracy")
    )
    assert accuracy["value"] == result["metrics"]["accuracy"] and accuracy["tokens"] == result["tokens"]


def test_runs_of_other_settings_have_other_hashes_and_arms_share_their_seeds(finished):
    rows = [r for r in plain_rows(read_results(finished[1])) if r["metric"] in ("loss", "accuracy")]
    hashes = [r["settings_hash"] for r in rows]
    assert len(set(hashes)) == len(rows) == 2 * 2 * 3
    one, other = (
        (finished[1] / f"runs/{arm}/tiny/1/pretrain.json").read_text(encoding="utf-8") for arm in ("random", "cold")
    )
    assert '"seed": 1' in one and '"seed": 1' in other


def test_what_nobody_needs_is_deleted_and_predictions_stay(finished):
    out = finished[1]
    assert not list(out.rglob("checkpoint-*"))
    assert len(list(out.rglob("predictions.parquet"))) == 8
    assert len(list(out.rglob("model.safetensors"))) == 4, "pretrained models stay, tuned ones do not"


def test_a_finished_study_runs_nothing_again(finished):
    path, out = finished
    files = {file: file.stat().st_mtime_ns for file in (out / "runs").rglob("*") if file.is_file()}
    before = plain_rows(read_results(out))
    started_at = time.monotonic()
    assert not run_in_process(path, out).failed
    assert time.monotonic() - started_at < 30
    assert {file: file.stat().st_mtime_ns for file in (out / "runs").rglob("*") if file.is_file()} == files
    assert plain_rows(read_results(out)) == before


def test_a_folder_belongs_to_the_study_that_was_declared(finished):
    """Seeds added after a look at the results are not the study that was planned."""
    path, out = finished
    with pytest.raises(InputError, match=r"declared with other settings \(seeds\)"):
        run_in_process(path, out, seeds=[0, 1, 2])
    with pytest.raises(InputError, match=r"declared with other settings \(statistics\)"):
        run_in_process(path, out, statistics={"margin": 0.02})
    assert read_study(out).seeds == (0, 1)


def test_a_folder_of_something_else_is_left_alone(finished, tmp_path):
    (tmp_path / "thesis.txt").write_text("dear to me")
    with pytest.raises(InputError, match="not empty, and not a study's folder"):
        run_in_process(finished[0], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_second_study_on_a_folder_says_so_and_stops(finished, run_maskwise):
    path, out = finished
    with locked(Layout(out).lock, "busy"):
        second = run_maskwise(["study", str(path), "--out", str(out)], fails=True)
    assert second.returncode == 2
    assert f"A study is running in {out} already." in second.stderr


def test_a_failed_job_does_not_stop_the_others(study_tables, write_study, tmp_path):
    """What needs it is not run, the rest is; and it is tried again by the same command."""
    broken = {"name": "broken", "score": "json:loads"}  # it can be imported, and is no score
    arms = [study_tables["arms"][0], broken]
    rules = {"statistics": {"family": [["broken", "random"]]}, "arms": arms, "tuning_seeds": [0]}
    result = run_in_process(write_study(merge(study_tables, rules)), tmp_path / "out")
    assert list(result.failed) == ["broken/tiny/0/pretrain", "broken/tiny/1/pretrain"]
    assert "TypeError" in result.summary()
    assert "2 jobs were not run: they need one that failed." in result.summary()
    rows = plain_rows(read_results(tmp_path / "out"))
    assert {(r["arm"], r["seed"], r["task"]) for r in rows} == {
        ("random", seed, task) for seed in (0, 1) for task in ("held_out", "cola")
    }
    (comparison,) = judge(rows, read_study(tmp_path / "out"))
    assert comparison.verdict == "inconclusive"


def test_equal_seconds_are_timed_once_and_decide_the_steps_of_every_seed(study_tables, write_study, tmp_path):
    arms = [study_tables["arms"][0], {**study_tables["arms"][1], "equal": "seconds"}]
    path, out = write_study(merge(study_tables, {"arms": arms, "tasks": ["held_out"]})), tmp_path / "out"
    assert not run_in_process(path, out).failed
    speeds = [seconds_a_step(out / "speed" / arm / "tiny") for arm in ("random", "cold")]
    assert all(speeds)
    rows = [row for row in plain_rows(read_results(out)) if row["metric"] == "loss"]
    expected = {"random": 4, "cold": max(1, round(4 * speeds[0] / speeds[1]))}
    assert [(row["arm"], row["steps"]) for row in rows] == [(arm, expected[arm]) for arm in ("random", "cold") * 2]
    assert len(list(out.rglob("model.safetensors"))) == 4, "what was only timed is not kept"
    files = {file: file.stat().st_mtime_ns for file in (out / "speed").rglob("*") if file.is_file()}
    run_in_process(path, out)
    assert {file: file.stat().st_mtime_ns for file in (out / "speed").rglob("*") if file.is_file()} == files


def test_seconds_add_up_over_the_processes_of_a_run(tmp_path):
    """Each process counts from 0; what a killed one did after its last checkpoint is not in the file any more."""
    lines = [{"step": i, "seconds": s} for i, s in enumerate([1.0, 2.5, 4.0, 0.5, 3.0])]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert training_seconds(tmp_path / "metrics.jsonl") == 4.0 + 3.0


def test_a_study_killed_twice_ends_with_the_unbroken_table(finished, tmp_path, environment):
    """SIGKILL in the middle of a pretraining step or of tuning, with no word to anybody."""
    path, unbroken = finished
    out, command = tmp_path / "out", [sys.executable, str(Path(__file__).parents[2] / "study_in_process.py"), str(path)]
    for wait_for in ("runs/random/tiny/0/cola/cola", "runs/cold/tiny/1/pretrain/checkpoint-2"):
        process = subprocess.Popen([*command, str(out)], env=environment)
        give_up_at = time.monotonic() + 240
        while not (out / wait_for).exists() and process.poll() is None and time.monotonic() < give_up_at:
            time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        process.wait()
        assert not (out / "results.parquet").exists()
    assert not run_in_process(path, out).failed
    assert without_costs(out) == without_costs(unbroken)


@pytest.mark.slow
def test_jobs_of_their_own_processes_end_with_a_killed_study_and_agree(finished, tmp_path, environment):
    """The real thing, two at a time: no orphan writes on after the study is gone, and the table is the same."""
    path, unbroken = finished
    out = tmp_path / "out"
    command = [sys.executable, "-m", "maskwise", "study", str(path), "--out", str(out), "--jobs", "2"]
    command += ["--set", 'tasks=["held_out"]']
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not list(out.glob("runs/*/tiny/0/pretrain/metrics.jsonl")):
        time.sleep(0.01)
    children = _children(process.pid)
    assert children
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    give_up_at = time.monotonic() + 10
    while any(map(_is_running, children)) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not any(map(_is_running, children))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 jobs are done." in done.stdout
    assert without_costs(out) == [row for row in without_costs(unbroken) if row["task"] == "held_out"]
    assert all(row["peak_memory"] > 1e8 for row in plain_rows(read_results(out)))


def _is_running(pid):
    return Path(f"/proc/{pid}/exe").exists()  # a zombie has none


def _children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in text.split()]


def test_task_adaptive_arms_read_the_tasks_own_text(study_tables, study_checkpoint, tmp_path, write_study):
    """One job: prepare the task's text, continue the checkpoint by masking, keep the best held-out loss, then tune."""
    tables = merge(
        study_tables,
        {
            "adapt": True, "adapt_block": 16, "tuning_seeds": [0],
            "backbones": [{"name": "small", "checkpoint": str(study_checkpoint)}],
            "pretrain": {"trainer": {"max_steps": 6}},
        },
    )  # fmt: skip
    result = run_in_process(write_study(tables), tmp_path / "out")
    assert not result.failed, result.summary()
    out = tmp_path / "out"
    assert num_runs(result.plan.study) == 4
    manifest = json.loads((out / "data/small-cola/manifest.json").read_text())
    assert manifest["mode"] == "document" and manifest["counts"]["documents"]["read"] == 96
    done = json.loads((out / "runs/cold/small/0/pretrain-cola/done.json").read_text())
    assert done["stopping"]["best"]["loss"] <= done["stopping"]["start"]["loss"]
    rows = plain_rows(read_results(out))
    assert {r["adapted_to"] for r in rows} == {"cola"}
    assert sum(r["metric"] == "accuracy" for r in rows) == 4


def test_an_arm_that_takes_typhoons_loss_from_the_task_reads_its_labels(
    study_tables, study_checkpoint, tmp_path, write_study
):
    arms = [{"name": "random"}, {"name": "by-task", "recipe": "typhoon"}]
    typhoon = {"loss": "task", "task_batch_size": 8, "refresh_batches": 2, "refresh_steps": 2}
    arms[1] |= {"settings": {"masking": {"typhoon": typhoon}}}
    tables = merge(
        study_tables,
        {
            "adapt": True, "adapt_block": 16, "seeds": [0, 1], "tuning_seeds": [0], "arms": arms,
            "backbones": [{"name": "small", "checkpoint": str(study_checkpoint)}],
            "pretrain": {"trainer": {"max_steps": 4}}, "statistics": {"family": [["by-task", "random"]]},
        },
    )  # fmt: skip
    result = run_in_process(write_study(tables), tmp_path / "out")
    assert not result.failed, result.summary()
    rows = open_data(tmp_path / "out/data/small-cola").rows("train")
    assert set(rows["label"]) == {"0", "1"}
    flops = {
        row["arm"]: row["flops"] for row in plain_rows(read_results(tmp_path / "out")) if row["task"] == "held_out"
    }
    assert flops["by-task"] > flops["random"]


def test_a_job_that_cannot_start_does_not_stop_the_others(study_tables, write_study, tmp_path, monkeypatch):
    def resolved(job, study, objects=None):
        if job.name == "cold/tiny/0/pretrain":
            raise OSError("no space left on device")
        return real(job, study, objects)

    real = Job.resolve
    monkeypatch.setattr(Job, "resolve", resolved)
    result = run_in_process(write_study(study_tables), tmp_path / "out")
    assert result.failed == {"cold/tiny/0/pretrain": "no space left on device"}
    rows = plain_rows(read_results(tmp_path / "out"))
    assert {(row["arm"], row["seed"]) for row in rows} == {("random", 0), ("random", 1), ("cold", 1)}


def test_the_study_verb_plans_without_writing(study_tables, write_study, monkeypatch, capsys, tmp_path):
    from maskwise.__main__ import main

    path = write_study(study_tables)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["maskwise", "study", str(path), "--dry-run", "--set", "seeds=0-2"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    assert "12 runs: 2 arms x 1 backbones x 3 seeds" in capsys.readouterr().out
    assert [entry.name for entry in tmp_path.iterdir()] == ["study.toml"]
    check_study(study_tables)
