"""Which files a split is read from, and where each of its rows stands."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskwise.errors import InputError
from maskwise.lab.tasks.columns import find_split, read_table


def make(folder, *names):
    for name in names:
        (folder / name).write_text("", encoding="utf-8")
    return folder


def names(paths):
    return [path.name for path in paths]


@pytest.mark.parametrize(
    ("present", "files", "others"),
    [
        (["dev.tsv"], ["dev.tsv"], []),
        (["valid.jsonl", "validation.jsonl"], ["validation.jsonl"], ["valid.jsonl"]),
        (["validation.csv", "dev.jsonl.gz", "dev.tsv"], ["dev.jsonl.gz"], ["validation.csv", "dev.tsv"]),
        (["validation.jsonl", "validation.jsonl.xz"], ["validation.jsonl"], ["validation.jsonl.xz"]),
        (["Validation.JSONL"], ["Validation.JSONL"], []),
        (
            ["validation-00001-of-00002.parquet", "validation-00000-of-00002.parquet"],
            ["validation-00000-of-00002.parquet", "validation-00001-of-00002.parquet"],
            [],
        ),
        (
            ["validation-0-of-1.parquet", "validation.parquet"],
            ["validation.parquet"],
            ["validation-0-of-1.parquet"],
        ),
        (["validation.json", "my-validation.jsonl", "validation.jsonl.bak"], [], []),
    ],
)
def test_one_set_of_files_is_taken_and_the_others_are_named(present, files, others, tmp_path):
    found = find_split(make(tmp_path, *present), "validation")
    assert (names(found.files), names(found.others)) == (files, others)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_shard_is_refused(missing, tmp_path):
    make(tmp_path, *(f"train-0000{i}-of-00003.parquet" for i in range(3) if i != missing))
    with pytest.raises(InputError, match=f"has 2 of the 3 shards of train: number {missing} is missing"):
        find_split(tmp_path, "train")


def test_a_row_is_known_by_its_file_and_line_across_shards(tmp_path):
    lines = ['{"text": "a"}', "", '{"text": "b"}']
    (tmp_path / "train-0-of-2.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "train-1-of-2.jsonl").write_text(json.dumps({"text": "c"}), encoding="utf-8")
    table = read_table("mine train", find_split(tmp_path, "train").files, ["text"])
    assert table.columns == {"text": ["a", "b", "c"]}
    assert [table.where(i) for i in range(3)] == [
        "mine train, example 1 (train-0-of-2.jsonl, line 1)",
        "mine train, example 2 (train-0-of-2.jsonl, line 3)",
        "mine train, example 3 (train-1-of-2.jsonl, line 1)",
    ]


def test_a_row_of_parquet_is_known_by_its_number(tmp_path):
    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "train.parquet")
    table = read_table("mine train", [tmp_path / "train.parquet"], ["text"])
    assert table.where(1) == "mine train, example 2 (train.parquet, row 2)"
