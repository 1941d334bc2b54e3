"""Recipes that read a column, and units named by text, from a data folder to a trained model."""

from __future__ import annotations

import json
import math

import pytest

from maskwise.errors import InputError
from maskwise.lab import add_column, pretrain
from maskwise.lab.records.record import read_record
from maskwise.lab.records.run_folder import read_metrics
from maskwise.lab.tokens.blocks import open_data
from maskwise.recipes import read_toml

QUICK = {
    "trainer": {
        "per_device_train_batch_size": 4, "bf16": False, "logging_steps": 1, "save_strategy": "no", "eval_steps": 1,
        "report_to": [],
    },
    "changes": {"data": {"held_out_blocks": 4}},
    "model": "tiny", "steps": 2, "show": False,
}  # fmt: skip
UNITS = """
def thirds(batch, column="tags"):
    return batch[column]
thirds.columns = ("tags",)

def undeclared(batch):
    return batch["tags"]

class Runs:
    def __init__(self, length):
        self.length = length
    def __call__(self, batch):
        return (batch["input_ids"] > -1).long().cumsum(-1) // self.length
"""


@pytest.fixture(scope="module")
def tagged(tiny_data, tmp_path_factory):
    """A data folder with a tag and an entity per token; blocks of odd numbers have no entity."""
    out = tmp_path_factory.mktemp("tagged")
    add_column(tiny_data, "tags", lambda row: [i % 3 for i in row["input_ids"]], out=out / "1", show=False)

    def entities(row):
        has_one = row["input_ids"][2] % 2 == 0
        return [place // 4 if has_one and place % 4 < 2 else -1 for place in range(len(row["input_ids"]))]

    return add_column(out / "1", "entities", entities, out=out / "2", show=False).path


def figures(run):
    records = read_metrics(run / "metrics.jsonl")
    return [record["loss"] for record in records if "loss" in record], records


@pytest.mark.parametrize(
    "recipe", ["field", "salient-span", "phases-mmbert", "rarity-counts", "rarity", "complementary"]
)
def test_a_recipe_trains_on_a_data_folder_that_has_its_columns(tagged, tmp_path, recipe):
    pretrain(out=tmp_path / "run", data=tagged, recipe=recipe, **QUICK)
    losses, records = figures(tmp_path / "run")
    assert len(losses) == 2 and all(map(math.isfinite, losses))
    looks = [record for record in records if "masked_rate" in record]
    assert looks and all(0 < look["masked_rate"] < 0.5 for look in looks)
    assert read_record(tmp_path / "run").finished
    assert json.loads((tmp_path / "run" / "done.json").read_text())["steps"] == 2


def test_the_command_line_names_a_unit_by_its_file_with_columns_and_spans_with_settings(maskwise, tagged, tmp_path):
    (tmp_path / "mine.py").write_text(UNITS)
    settings = [f"--set=trainer.{key}={str(value).lower()}" for key, value in QUICK["trainer"].items()]
    common = ["pretrain", "--data", tagged, "--model", "tiny", "--steps", 1, *settings, "--set=data.held_out_blocks=4"]
    unit = ["--set", f"masking.unit={tmp_path}/mine.py:undeclared", "--set", 'masking.columns=["tags"]']
    maskwise([*common, "--out", tmp_path / "own", *unit])
    assert read_toml(tmp_path / "own" / "config.toml")["masking"]["columns"] == ["tags"]
    assert len(read_record(tmp_path / "own").content["unit"]) == 64, "a hash of the unit's file"
    spans = ["--set", "masking.unit.longest=3", "--set", "masking.unit.atom=token", "--set", "masking.rate=one"]
    maskwise([*common, "--out", tmp_path / "spans", "--recipe", "span", *spans])
    assert read_toml(tmp_path / "spans" / "config.toml")["masking"]["unit"] == {"longest": 3, "atom": "token"}


def test_a_class_of_units_is_made_with_its_arguments(tagged, tmp_path):
    (tmp_path / "mine.py").write_text(UNITS)
    masking = {"unit": f"{tmp_path}/mine.py:Runs", "unit_arguments": {"length": 4}}
    pretrain(out=tmp_path / "run", data=tagged, masking=masking, **QUICK)
    assert len(figures(tmp_path / "run")[0]) == 2


def test_a_column_that_the_data_do_not_have_is_named_before_anything_is_made(tiny_data, tmp_path):
    message = r"reads the column 'tags', and .* has input_ids, word_ids.\nAdd it .*add_column"
    with pytest.raises(InputError, match=message):
        pretrain(out=tmp_path / "run", data=tiny_data, recipe="field", **QUICK)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("masking", "message"),
    [
        ({"unit": "mine.py:thirds"}, "there is no file mine.py"),
        ({"unit": "{file}:third"}, "has no 'third'. Did you mean 'thirds'"),
        ({"unit": "{file}:Runs"}, "missing a required argument: 'length'.*unit_arguments"),
        ({"unit": "{file}:thirds", "unit_arguments": {"colunm": "a"}}, "unexpected keyword argument 'colunm'"),
        ({"unit": "word", "unit_arguments": {"length": 4}}, "masking.unit_arguments is for units of your own"),
        ({"unit": "{file}:thirds", "max_word_pieces": 9}, "max_word_pieces is for words"),
        ({"columns": ["state"]}, "column 'state' cannot be declared"),
        ({"rate": {"steps": [[0, 30]]}}, "Write 15% as 0.15"),
        ({"unit": {"longest": 0}}, "unit.longest': .*greater than or equal to 1"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(tagged, tmp_path, masking, message):
    (tmp_path / "of.py").write_text(UNITS)
    if "unit" in masking and isinstance(masking["unit"], str):
        masking = masking | {"unit": masking["unit"].format(file=tmp_path / "of.py")}
    with pytest.raises(InputError, match=message):
        pretrain(out=tmp_path / "run", data=tagged, masking=masking, **QUICK)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        ("word_ids", lambda row: 1, "has a column 'word_ids' already, or batches do"),
        ("state", lambda row: 1, "column 'state' cannot be declared"),
        ("tags", lambda row: None, "needs one number for each of the .* tokens of a block.*returned None for block 0"),
        ("tags", lambda row: [1, 2], r"returned \[1, 2\]"),
        ("tags", lambda row: "NOUN", "returned 'NOUN'"),
        ("tags", lambda row: [[1, 2]] * len(row["input_ids"]), "needs one number"),
        ("tags", lambda row: math.nan, "returned nan"),
        ("tags", lambda row: [0.5] * len(row["input_ids"]) if row["input_ids"][1] % 2 else 1, "return the same kind"),
    ],
)
def test_a_column_that_is_none_leaves_nothing_behind(tiny_data, tmp_path, name, function, message):
    with pytest.raises(InputError, match=message):
        add_column(tiny_data, name, function, out=tmp_path / "new", show=False)
    assert not list(tmp_path.iterdir())


def test_a_new_column_holds_what_the_function_returned_and_the_rest_is_the_same(tiny_data, tmp_path):
    old = open_data(tiny_data)
    new = add_column(old, "share", lambda row: [i / 7 for i in row["input_ids"]], out=tmp_path / "a", show=False)
    both = add_column(new, "source", lambda row: row["input_ids"][1], out=tmp_path / "b", show=False)
    assert len(both.train) == len(old.train) and len(both.valid) == len(old.valid)
    for split in ("train", "valid"):
        rows, before = both.rows(split), old.rows(split)
        assert rows["input_ids"][:] == before["input_ids"][:] and rows["word_ids"][:] == before["word_ids"][:]
        assert rows[0]["share"] == pytest.approx([i / 7 for i in before[0]["input_ids"]])
        assert [row["source"] for row in rows] == [row["input_ids"][1] for row in before]
