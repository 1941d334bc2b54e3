"""Pretraining from a script: keyword arguments, own scores, results that stand for their folders, silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from maskwise import Masker
from maskwise.errors import InputError
from maskwise.lab import pretrain
from maskwise.lab.records.run_folder import read_metrics
from maskwise.lab.tokens.blocks import open_data
from maskwise.masking.score import StatefulScore
from maskwise.recipes import read_toml

QUICK = {
    "trainer": {
        "per_device_train_batch_size": 4, "bf16": False, "logging_steps": 1, "save_steps": 2, "eval_strategy": "no",
        "report_to": [],
    },
    "changes": {"data": {"held_out_blocks": 4}},
}  # fmt: skip
SCORE_FILE = "import torch\n\ndef long_ids(batch, power=1):\n    return batch['input_ids'].float() ** power\n"


def long_ids(batch):
    return batch["input_ids"].float()


def losses(run: Path) -> list[float]:
    return [record["loss"] for record in read_metrics(run / "metrics.jsonl") if "loss" in record]


@pytest.fixture
def quick(tiny_data):
    return {"data": tiny_data, "model": "tiny", "steps": 2, "show": False, **QUICK}


def test_keyword_arguments_a_mapping_and_a_file_are_the_same_run(quick, tiny_data, tmp_path):
    first = pretrain(out=tmp_path / "1", recipe="whole-word", seed=4, **quick)
    tables = {
        "data": {"path": str(tiny_data), "held_out_blocks": 4}, "model": {"preset": "tiny"}, "recipe": "whole-word",
        "seed": 4, "trainer": QUICK["trainer"] | {"max_steps": 2},
    }  # fmt: skip
    pretrain(tables, tmp_path / "2", show=False)
    pretrain(tmp_path / "1" / "config.toml", tmp_path / "3", show=False)
    configs = {(tmp_path / run / "config.toml").read_text() for run in "123"}
    assert len(configs) == 1
    assert read_toml(tmp_path / "1" / "config.toml")["masking"]["unit"] == "word"
    assert losses(tmp_path / "1") == losses(tmp_path / "2") == losses(tmp_path / "3")
    assert set(first.held_out) == {"unigram floor", "whole-word"}
    assert "whole-word" in repr(first)


def test_the_command_line_makes_the_same_run(quick, maskwise, tiny_data, tmp_path):
    pretrain(out=tmp_path / "python", recipe="span", **quick)
    changes = [f"trainer.{key}={str(value).lower()}" for key, value in QUICK["trainer"].items() if key != "report_to"]
    changes += ["trainer.report_to=[]", "data.held_out_blocks=4"]
    assignments = [part for change in changes for part in ("--set", change)]
    command = ["pretrain", "--data", tiny_data, "--model", "tiny", "--recipe", "span", "--steps", 2]
    maskwise([*command, "--out", tmp_path / "line", *assignments])
    assert (tmp_path / "line" / "config.toml").read_text() == (tmp_path / "python" / "config.toml").read_text()


def test_a_function_may_be_the_score_and_its_name_is_recorded(quick, tmp_path):
    run = pretrain(out=tmp_path / "run", recipe="entropy-high", score=long_ids, masking={"pick": "low"}, **quick)
    masking = read_toml(tmp_path / "run" / "config.toml")["masking"]
    assert (masking["score"], masking["pick"], masking["source"]) == (f"{__name__}:long_ids", "low", "self")
    assert f"masked by {__name__}:long_ids" in (tmp_path / "run" / "README.md").read_text()
    again = pretrain(out=tmp_path / "again", masking={"score": long_ids, "pick": "low"}, **quick)
    assert losses(run.folder) == losses(again.folder)


def test_a_score_of_a_file_takes_arguments_on_the_command_line_too(quick, maskwise, tiny_data, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SCORE_FILE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    pretrain(out="python", masking={"score": "mine.py:long_ids", "score_arguments": {"power": -1}}, **quick)
    config = (tmp_path / "python" / "config.toml").read_text()
    assert "power = -1" in config
    assert 'score = "mine.py:long_ids"' in config
    (tmp_path / "settings.toml").write_text(config, encoding="utf-8")
    maskwise(
        ["pretrain", "--config", "settings.toml", "--out", "line", "--set", "masking.score_arguments={power = -1}"]
    )
    assert losses(tmp_path / "line") == losses(tmp_path / "python")


class Counting(StatefulScore):
    """Has a state that decides what is masked."""

    def __init__(self):
        self.add_state("steps", torch.zeros(()))

    def __call__(self, batch):
        return (batch["input_ids"] + self.steps) % 7 + 1.0

    def on_step_end(self, context):
        self.steps += 1


def test_a_run_by_an_object_is_resumed_with_one_like_it(quick, tmp_path):
    whole = pretrain(out=tmp_path / "whole", score=Counting(), **quick | {"steps": 4})
    pretrain(out=tmp_path / "run", score=Counting(), **quick | {"steps": 4})
    cut = tmp_path / "run"
    (cut / "done.json").unlink()
    for name in os.listdir(cut / "checkpoint-4"):
        (cut / "checkpoint-4" / name).unlink()
    pretrain(out=cut, score=Counting(), resume=True, show=False)
    assert losses(cut) == losses(whole.folder)
    assert len(losses(cut)) == 4


def test_results_stand_for_their_folders(quick, tmp_path, tiny_data):
    data = open_data(tiny_data)
    first = pretrain(out=tmp_path / "teacher", **quick | {"data": data})
    second = pretrain(out=tmp_path / "next", recipe="entropy-high", teacher=first, **quick | {"data": data})
    config = read_toml(second.folder / "config.toml")
    assert (config["teacher"], config["data"]["path"]) == (str(first.folder), str(tiny_data))
    assert Masker.from_recipe("entropy-high", str(first.folder), teacher=str(first.folder)).score.teacher is not None


def test_what_is_not_shown_is_silent(quick, tmp_path, capfd):
    """The bars of the libraries too: loading a teacher shows one."""
    first = pretrain(out=tmp_path / "1", **quick)
    capfd.readouterr()
    pretrain(out=tmp_path / "2", checkpoint=first, **{key: value for key, value in quick.items() if key != "model"})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"out": None}, r"A run needs a folder: pretrain\(\.\.\., out='run'\)"),
        ({"recipe": "entropy-high"}, "needs a teacher"),
        ({"score": "entropy"}, r"score= is a function or an object; found 'entropy'. A name goes to masking="),
        ({"masking": {"score": "mine.py:none"}}, "there is no file mine.py"),
        ({"masking": {"score": "os:getcwd"}}, "takes no argument"),
        ({"checkpoint": "run"}, "either a preset"),
        ({"trainer": {"max_stps": 3}}, "Did you mean 'max_steps'"),
    ],
)
def test_mistakes_are_answered_in_words_and_leave_nothing(quick, tmp_path, more, message):
    with pytest.raises(InputError, match=message):
        pretrain(**{"out": tmp_path / "run", **quick, **more})
    assert not (tmp_path / "run").exists()
