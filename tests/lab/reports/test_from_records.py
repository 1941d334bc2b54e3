"""Reports read a study's folder and nothing else: wherever it lies, and whatever in it is damaged."""

import json
import shutil
import sys

import pytest

from fixtures.studies import NOUNS
from made_up_study import make_study
from maskwise.errors import InputError
from maskwise.lab.config import merge
from maskwise.lab.jobs.in_process import InProcessExecutor
from maskwise.lab.records.record import RECORD, read_record
from maskwise.lab.reports.files import as_json, as_markdown, write_report
from maskwise.lab.reports.job import report
from maskwise.lab.reports.page import report_page
from maskwise.lab.study.layout import STUDY_FILE
from maskwise.lab.study.results import collect, plain_rows, read_study
from maskwise.lab.study.runner import run_study
from maskwise.lab.study.study_file import check_study
from maskwise.recipes import load_recipe

SOURCE = "import torch\n\n\ndef own(batch):\n    return torch.ones(batch['input_ids'].shape)\n"


def test_a_copied_folder_gives_the_same_report_to_the_byte(study_tables, tiny_data, tasks, tmp_path, monkeypatch):
    """Without data, teacher, tasks, checkpoints, recipes, the task table or the module of one's own score."""
    here = tmp_path / "here"
    here.mkdir()
    data, task_data = shutil.copytree(tiny_data, here / "data"), shutil.copytree(tasks, here / "glue")
    (here / "mine.py").write_text(
        "import torch\n\n\ndef own(batch):\n    return torch.ones(batch['input_ids'].shape)\n"
    )
    monkeypatch.syspath_prepend(here)
    arms = [{"name": "random"}, {"name": "high", "recipe": "entropy-high"}, {"name": "own", "score": "mine:own"}]
    (task_data / "pairs").mkdir()
    for name, bad in {"agreement": "the {} are old", "order": "old the {} is"}.items():
        rows = [{"sentence_good": f"the {noun} is old", "sentence_bad": bad.format(noun)} for noun in NOUNS]
        path = task_data / "pairs" / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tree = merge(study_tables, {
        "arms": arms, "tuning_seeds": [0], "task_data": str(task_data), "not_pretrained": True,
        "tasks": ["cola", "pairs:pairs"], "pretrain": {"data": {"path": str(data)}}, "teacher": {},
        "statistics": {"family": [["high", "random"], ["own", "random"]]},
    })  # fmt: skip
    result = run_study(check_study(tree), here / "out", executor=InProcessExecutor(), show=False)
    assert not result.failed, result.summary()
    found = report(here / "out")
    on_pairs = [one.hypothesis for one in found.findings if one.hypothesis.task == "pairs:pairs"]
    assert [one.items is not None and one.bootstrap is not None for one in on_pairs] == [True, True]
    assert {row["arm"] for row in found.tables["cost"].rows} >= {"teacher"}
    written = [path for path in write_report(found, here / "report.html") if path.is_file()]
    before = {path.name: path.read_bytes() for path in [*written, *(here / "report-tables").iterdir()]}
    record = read_record(here / "out/runs/own/tiny/1/pairs-pairs")
    assert record.kind == "evaluate" and record.baselines["chance"] == {"accuracy": 0.5}
    assert set(record.content) == {"checkpoint", "task data"} and "predictions" in record.files
    there = shutil.copytree(here / "out", tmp_path / "there", ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.rmtree(here)
    monkeypatch.delitem(sys.modules, "mine")
    monkeypatch.setattr("maskwise.lab.tasks.table.TASKS", {})
    for where in (
        "maskwise.lab.study.declaration",
        "maskwise.lab.study.study_file",
        "maskwise.recipes",
        "maskwise.lab.config",
    ):
        monkeypatch.setattr(
            f"{where}.load_recipe", lambda name: pytest.fail(f"the recipe {name} was read"), raising=False
        )
    written = [path for path in write_report(report(there), tmp_path / "report.html") if path.is_file()]
    after = {path.name: path.read_bytes() for path in [*written, *(tmp_path / "report-tables").iterdir()]}
    assert after == before


def test_a_study_file_keeps_what_its_recipes_held(tmp_path):
    make_study(tmp_path / "study")
    high = read_study(tmp_path / "study").arm("high")
    assert high.recipe_settings["masking"] == load_recipe("entropy-high")["masking"]


DAMAGES = {
    "a record that is cut": lambda run: (run / RECORD).write_text((run / RECORD).read_text()[:200]),
    "a record of another run": lambda run: shutil.copy(sibling(run) / RECORD, run / RECORD),
    "no record": lambda run: (run / RECORD).unlink(),
    "predictions with a flipped bit": lambda run: flip(run / "predictions.parquet"),
    "no predictions": lambda run: (run / "predictions.parquet").unlink(),
}


def sibling(run):
    return run.parents[3] / "1/cola/cola/seed-0"


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_named_counts_as_unfinished_and_stops_no_other(tmp_path, name):
    out = tmp_path / "study"
    make_study(out)
    run = out / "runs/high/tiny/0/cola/cola/seed-0"
    DAMAGES[name](run)
    found = report(out, against="random")
    assert "against random" in repr(found) and all(one.sentence in repr(found) for one in found.findings)
    assert found._repr_html_().startswith("<iframe srcdoc=")
    assert (found.num_done, found.num_jobs) == (44, 45)
    (row,) = found.tables["damaged"].rows
    assert row["job"] == "high/tiny/0/cola" and str(run) in row["found"]
    assert [row["job"] for row in found.tables["missing"].rows] == ["high/tiny/0/cola"]
    assert "What is damaged" in report_page(found) and "What is damaged" in as_markdown(found)
    assert json.loads(as_json(found))["jobs"] == {"done": 44, "all": 45}


def test_damaged_metrics_of_a_run_that_is_not_finished_are_named_too(tmp_path):
    out = tmp_path / "study"
    make_study(out, without=("high/tiny/4/pretrain", "high/tiny/4/cola", "high/tiny/4/mrpc"))
    path = out / "runs/high/tiny/4/pretrain/metrics.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"step": 120', '"step": '), encoding="utf-8")
    (row,) = report(out, against="random").tables["damaged"].rows
    assert row["job"] == "high/tiny/4/pretrain" and "metrics.jsonl, line" in row["found"]


@pytest.mark.parametrize("text", ["", "seeds = [", "seeds = 3\n", "\x00"])
def test_a_damaged_study_file_is_named(tmp_path, text):
    make_study(tmp_path / "study")
    (tmp_path / "study" / STUDY_FILE).write_text(text)
    with pytest.raises(InputError, match=r"study\.toml"):
        report(tmp_path / "study")


def test_a_report_takes_a_frame_from_anywhere(tmp_path):
    out = tmp_path / "study"
    make_study(out)
    frame, study = collect(out), read_study(out)
    whole, alone = report(out, against="random"), report(study, frame, against="random")
    assert [found.verdict for found in alone.findings] == [found.verdict for found in whole.findings]
    assert alone.tables["scores"] == whole.tables["scores"] and alone.is_finished
    fewer = report(study, frame[frame["seed"] < 3][["arm", "backbone", "seed", "task", "metric", "value"]])
    assert not fewer.is_finished
    with pytest.raises(InputError, match="no column 'metric'"):
        report(study, frame.drop(columns="metric"))
    with pytest.raises(InputError, match="needs results"):
        report(study)


def test_a_full_disk_leaves_the_old_report_whole(tmp_path, full_disk):
    out = tmp_path / "study"
    make_study(out)
    path = tmp_path / "report.html"
    write_report(report(out, against="random"), path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("report*") if file.is_file()}
    other = report(out, against="high")
    with full_disk(20_000), pytest.raises(InputError, match="Nothing was changed"):
        write_report(other, path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("report*") if file.is_file()} == before
    assert not list(tmp_path.glob("**/.*.new"))


def test_collected_rows_are_plain_values_again(tmp_path):
    make_study(tmp_path / "study")
    row = plain_rows(collect(tmp_path / "study"))[0]
    assert row["tuning_seed"] is None and type(row["seed"]) is int and row["adapted_to"] is None


CONTENTS = {
    "nothing": b"", "zeros": bytes(500), "a list": b"[]", "a table": b"{}", "a number": b"3",
    "no text": b"\xff\xfe\x80",
    "nested too deeply": b"[" * 50_000, "wrong types": b'{"status": [], "message": 3, "seconds": "x", "step": 1}\n',
}  # fmt: skip
PLACES = (
    "runs/high/tiny/0/pretrain/record.json", "runs/high/tiny/0/pretrain/metrics.jsonl",
    "runs/high/tiny/0/pretrain/done.json", "runs/high/tiny/0/cola/cola/seed-0/record.json",
    "runs/high/tiny/0/cola/cola/seed-0/predictions.parquet", "runs/high/tiny/0/cola/results.json",
    "runs/high/tiny/4/pretrain/attempts/1.jsonl", "runs/high/tiny/4/pretrain.log", "results.parquet",
)  # fmt: skip


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """A study with one run that is not finished and has an attempt."""
    out = tmp_path_factory.mktemp("unfinished") / "study"
    make_study(out, without=("high/tiny/4/pretrain", "high/tiny/4/cola", "high/tiny/4/mrpc"))
    attempts = out / "runs/high/tiny/4/pretrain/attempts"
    attempts.mkdir()
    (attempts / "1.jsonl").write_text('{"event": "end", "message": "no room"}\n', encoding="utf-8")
    return out


@pytest.mark.parametrize("place", PLACES)
def test_no_damage_to_one_file_stops_the_others(unfinished, tmp_path, place):
    """Whatever a file holds, or a folder in its place: the other runs are reported, and nothing raises."""
    out = shutil.copytree(unfinished, tmp_path / "study")
    path, whole = out / place, (out / place).read_bytes()
    for content in CONTENTS.values():
        path.write_bytes(content)
        assert report(out, against="random").num_done >= 40
    path.unlink()
    assert report(out, against="random").num_done >= 40
    path.mkdir()
    assert report(out, against="random").num_done >= 40
    path.rmdir()
    path.write_bytes(whole)


def test_html_in_names_and_descriptions_is_shown_as_it_was_written(tmp_path):
    out = tmp_path / "study"
    make_study(out, {"question": "Is <script>alert(1)</script> [better](javascript:x)?\n# really"})
    found = report(out, against="random")
    shown = as_markdown(found).split("## The study file")[0]
    assert "<script" not in shown and "&lt;script>" in shown
    assert "](javascript" not in shown and "\n# really" not in shown
    assert "<script>alert" not in report_page(found)


def test_a_report_is_strict_json_whatever_was_measured(tmp_path):
    out = tmp_path / "study"
    make_study(out)
    frame = collect(out)
    frame.loc[frame["arm"] == "high", "value"] = float("nan")
    frame.loc[frame["metric"] == "loss", "value"] = float("inf")
    text = as_json(report(read_study(out), frame))
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name))
