"""Metrics that are damaged, and a run that finds other content than it was started with."""

import json

import pytest

from maskwise.errors import InputError
from maskwise.lab.records.record import RunRecord, write_record
from maskwise.lab.records.run_folder import check_same_content, cut_metrics, read_metrics


@pytest.fixture
def metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step, "loss": 1.0}) + "\n" for step in range(4)))
    return path


def test_only_a_last_line_that_was_cut_is_passed_over(metrics):
    metrics.write_text(metrics.read_text() + '{"step": 4, "lo')
    assert [line["step"] for line in read_metrics(metrics)] == [0, 1, 2, 3]
    cut_metrics(metrics, last_step=2)
    assert [line["step"] for line in read_metrics(metrics)] == [0, 1, 2]


@pytest.mark.parametrize("damage", ['{"step": 1, "lo\n', "[]\n", "\x00\x00\n", '{"loss": 2.0}\n'])
def test_a_damaged_line_in_the_middle_is_refused_and_nothing_is_dropped(metrics, damage):
    lines = metrics.read_text().splitlines(keepends=True)
    text = "".join([lines[0], damage, *lines[2:]])
    metrics.write_text(text)
    with pytest.raises(InputError, match=r"metrics\.jsonl, line 2 is damaged"):
        cut_metrics(metrics, last_step=3)
    assert metrics.read_text() == text


def test_a_run_is_not_resumed_on_other_content(tmp_path):
    content = {"data": "a" * 20, "teacher": "b" * 20}
    write_record(tmp_path, RunRecord(kind="pretrain", content=content))
    check_same_content(tmp_path, RunRecord(kind="pretrain", content=content))
    other = RunRecord(kind="pretrain", content=content | {"teacher": "c" * 20})
    with pytest.raises(InputError, match="started with another teacher"):
        check_same_content(tmp_path, other)
