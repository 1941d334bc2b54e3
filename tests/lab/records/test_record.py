"""Records: strict JSON, checked when they are read, and the files that they list."""

import json
import math

import pytest

from maskwise.errors import InputError
from maskwise.lab.records.record import (
    RECORD,
    RunKey,
    RunRecord,
    check_files,
    list_files,
    metrics_of,
    read_record,
    write_record,
)


def test_a_record_is_read_as_it_was_written(tmp_path):
    key = RunKey("high", "tiny", 3, "cola", "cola")
    record = RunRecord(kind="tune", key=key, tuning_seed=1, metrics=metrics_of({"loss": 2.5, "accuracy": 0.5}))
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert record.metrics["loss"].direction == "down" and record.metrics["accuracy"].direction == "up"


def test_what_is_not_finite_is_null_in_strict_json(tmp_path):
    write_record(tmp_path, RunRecord(kind="pretrain", metrics=metrics_of({"loss": math.nan}), flops=math.inf))
    text = (tmp_path / RECORD).read_text(encoding="utf-8")
    told = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert told["metrics"]["loss"]["value"] is None and told["flops"] is None


DAMAGES = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "another kind": lambda text: text.replace('"pretrain"', '"bake"'),
    "a word for a number": lambda text: text.replace('"steps": 4', '"steps": "four"'),
    "a key of nobody": lambda text: text.replace('"steps"', '"stepz"'),
    "a list": lambda text: "[]",
    "not text": lambda text: "\x00\x01",
    "nested too deeply": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_record_is_named_with_what_to_do(tmp_path, name):
    write_record(tmp_path, RunRecord(kind="pretrain", steps=4))
    path = tmp_path / RECORD
    path.write_text(DAMAGES[name](path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        read_record(tmp_path)
    assert str(path) in str(refused.value) and "Restore it, or delete" in str(refused.value)


def test_a_file_that_is_not_as_the_run_left_it_is_found(tmp_path):
    for name in ("metrics.jsonl", "log"):
        (tmp_path / name).write_text("one line\n")
    files = list_files(tmp_path, {"metrics": "metrics.jsonl", "log": "log", "none": "none"}, growing=["log"])
    record = RunRecord(kind="pretrain", files=files)
    assert set(files) == {"metrics", "log"}
    (tmp_path / "log").write_text("more\n")
    check_files(tmp_path, record)
    (tmp_path / "metrics.jsonl").write_text("one lime\n")
    with pytest.raises(InputError, match=r"metrics\.jsonl is damaged"):
        check_files(tmp_path, record)
    (tmp_path / "metrics.jsonl").unlink()
    with pytest.raises(InputError, match=r"metrics\.jsonl is missing"):
        check_files(tmp_path, record)
