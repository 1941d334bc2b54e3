"""The layouts people have, read to the same examples; and what is wrong with those they have not."""

import gzip
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskwise.errors import InputError
from maskwise.lab.tasks.classification import find_folder, load_task
from maskwise.lab.tasks.table import COLA, MNLI, MRPC, QQP, RTE, SST2, STSB, WNLI, Task, find_task

QUOTED = [
    {"sentence1": 'He called her " the witness .', "sentence2": '" I said no .', "label": 1},
    {"sentence1": '"The end', "sentence2": "She left .\u2028Then came back .", "label": 0},
]


def write(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def rows_of(split):
    return list(zip(*split.texts, split.labels, strict=True))


def both(folder, write_split, names=("train", "validation")):
    for name in names:
        write_split(folder, name)
    return folder


def write_jsonl(folder, name):
    write(folder, f"{name}.jsonl", jsonl(QUOTED))


def write_parquet(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    for i, row in enumerate(QUOTED):
        table = pa.Table.from_pylist([row | {"idx": i}])
        pq.write_table(table, folder / f"{name}-0000{i}-of-00002.parquet")


def write_official(folder, name):
    lines = ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"]
    lines += [f"{row['label']}\t7\t8\t{row['sentence1']}\t{row['sentence2']}" for row in QUOTED]
    text = "\ufeff" + "\n".join(lines) + "\r\n"
    write(folder, f"{name.replace('validation', 'dev')}.tsv", text)


def write_csv(folder, name):
    write(folder, f"{name}.csv", 'sentence1,sentence2,label\n"He called her "" the witness .",""" I said no .",1\n'
          '"""The end",She left .\u2028Then came back .,0\n')  # fmt: skip


@pytest.mark.parametrize("layout", [write_jsonl, write_parquet, write_official, write_csv])
def test_mrpc_reads_the_same_from_every_layout(layout, tmp_path):
    """Its quotation marks are text and are not balanced: a reader that takes them for quoting joins lines."""
    data = load_task(MRPC, both(tmp_path, layout))
    expected = [tuple(row.values()) for row in QUOTED]
    assert rows_of(data.train) == rows_of(data.held_out["validation"]) == expected
    assert data.repairs == []
    assert data.classes == ("not_equivalent", "equivalent")


def test_colas_official_files_have_no_header(tmp_path):
    for name in ("train", "dev"):
        write(tmp_path, f"{name}.tsv", "gj04\t1\t\tOur friends \"won't buy it.\nks08\t0\t*\tHim left.\n")
    data = load_task(COLA, tmp_path)
    assert rows_of(data.train) == [("Our friends \"won't buy it.", 1), ("Him left.", 0)]


@pytest.mark.parametrize(
    ("task", "header", "line", "expected"),
    [
        (SST2, "sentence\tlabel", "so bad \t0", ("so bad ", 0)),
        (RTE, "index\tsentence1\tsentence2\tlabel", "0\ta\tb\tnot_entailment", ("a", "b", 1)),
        (WNLI, "index\tsentence1\tsentence2\tlabel", "0\ta\tb\t1", ("a", "b", 1)),
        (STSB, "index\tgenre\tsentence1\tsentence2\tscore", "0\tx\ta\tb\t3.800", ("a", "b", 3.8)),
        (QQP, "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "0\t1\t2\ta?\tb?\t1", ("a?", "b?", 1)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_official_columns_are_found_by_their_names(task, header, line, expected, tmp_path):
    for name in ("train", "dev"):
        write(tmp_path, f"{name}.tsv", f"{header}\n{line}\n")
    assert rows_of(load_task(task, tmp_path).held_out["validation"]) == [expected]


def test_mnli_has_two_held_out_sets(tmp_path):
    for name, label in (("train", "entailment"), ("dev_matched", "neutral"), ("dev_mismatched", "contradiction")):
        write(tmp_path, f"{name}.tsv", f"index\tsentence1\tsentence2\tgold_label\n0\ta\tb\t{label}\n")
    data = load_task(MNLI, tmp_path)
    assert {name: split.labels for name, split in data.held_out.items()} == {
        "validation_matched": [1], "validation_mismatched": [2],
    }  # fmt: skip


def test_text_files_may_be_compressed(tmp_path):
    for name in ("train", "validation"):
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(jsonl(QUOTED).encode()))
    assert len(load_task(MRPC, tmp_path).train) == 2


@pytest.mark.parametrize("name", ["SST-2", "sst2"])
def test_a_folder_of_task_folders_and_the_folder_itself_are_both_understood(name, tmp_path):
    (tmp_path / name).mkdir()
    assert find_folder(SST2, tmp_path) == tmp_path / name
    (tmp_path / name / "train.jsonl").touch()
    assert find_folder(SST2, tmp_path / name) == tmp_path / name


def own(rows, tmp_path, validation=None):
    write(tmp_path, "train.jsonl", jsonl(rows))
    write(tmp_path, "validation.jsonl", jsonl(validation or rows))
    return load_task(find_task("mine", text_columns=("text",)), tmp_path)


def test_classes_of_a_set_of_yours_are_found_in_its_training_data(tmp_path):
    assert own([{"text": "a", "label": "spam"}, {"text": "b", "label": "ham"}], tmp_path).classes == ("ham", "spam")
    assert own([{"text": "a", "label": 2}, {"text": "b", "label": 0}], tmp_path).classes == ("0", "1", "2")
    write(tmp_path, "label_names.json", '["good", "bad", "other"]')
    data = own([{"text": "a", "label": 0}, {"text": "b", "label": "bad"}], tmp_path)
    assert data.classes == ("good", "bad", "other")
    assert data.train.labels == [0, 1]


def test_empty_texts_and_malformed_lines_of_the_training_set_are_left_out_and_counted(tmp_path):
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    write(tmp_path, "train.tsv", f"{header}0\t1\t2\ta?\tb?\t1\n0\t1\t2\t \tb?\t1\n0\t1\tbroken\n")
    write(tmp_path, "dev.tsv", f"{header}0\t1\t2\t\tb?\t1\n")
    data = load_task(QQP, tmp_path)
    assert rows_of(data.train) == [("a?", "b?", 1)]
    assert rows_of(data.held_out["validation"]) == [("", "b?", 1)]
    assert len(data.repairs) == 3
    assert [text for text in data.repairs if "1 malformed" in text]
    assert [text for text in data.repairs if "1 examples with an empty text are left out" in text]
    assert [text for text in data.repairs if "kept" in text]


SENTENCE = {"sentence": "a", "label": 1}


@pytest.mark.parametrize(
    ("task", "train", "validation", "said"),
    [
        (SST2, [SENTENCE], None, "no validation file for the task 'sst2'; found: train.jsonl"),
        (SST2, [], [SENTENCE], "sst2 train has no examples"),
        (SST2, [SENTENCE | {"label": 2}], [SENTENCE], "example 1: the label 2 is outside the task's 2 classes"),
        (SST2, [SENTENCE], [SENTENCE, SENTENCE | {"label": -1}], "sst2 validation, example 2: the label -1"),
        (SST2, [{"text": "a", "label": 1}], [SENTENCE], "no column 'sentence'; found: text, label"),
        (SST2, [{"sentence": "a", "stars": 1}], [SENTENCE], "no column 'label'; found: sentence, stars"),
        (SST2, [{"sentence": " ", "label": 1}], [SENTENCE], "every text is empty"),
        (SST2, [SENTENCE, [1]], [SENTENCE], "line 2 has no column 'sentence'; found: none"),
        (Task("sts", "regress"), [{"sentence": "a", "label": "x"}], [SENTENCE], "the label 'x' is not a number"),
        (Task("own"), [SENTENCE | {"label": "a"}], [SENTENCE | {"label": "b"}], "List all classes in label_names.json"),
    ],
)
def test_what_is_wrong_is_said_with_what_was_found(task, train, validation, said, tmp_path):
    write(tmp_path, "train.jsonl", jsonl(train))
    if validation is not None:
        write(tmp_path, "validation.jsonl", jsonl(validation))
    with pytest.raises(InputError) as error:
        load_task(task, tmp_path)
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) <= 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"sentence": \n', "line 1 is not JSON"),
        (b'{"sentence": "\xff", "label": 1}\n', "not UTF-8: byte 14 is 0xff"),
    ],
)
def test_a_damaged_text_file_is_named_with_the_place(content, said, tmp_path):
    (tmp_path / "train.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_task(SST2, tmp_path)


def test_a_damaged_parquet_file_and_a_short_tsv_are_named(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match=r"train\.parquet is not a parquet file"):
        load_task(SST2, tmp_path)
    write(tmp_path / "cola", "train.tsv", "1\tHim left.\n")
    with pytest.raises(InputError, match="has 2 columns, and column 4 is needed"):
        load_task(COLA, tmp_path / "cola")


def test_a_missing_folder_and_a_folder_without_the_task_are_named(tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        load_task(SST2, tmp_path / "none")
    (tmp_path / "MRPC").mkdir()
    with pytest.raises(InputError, match="no folder for the task 'sst2'; found: MRPC"):
        load_task(SST2, tmp_path)


def test_the_hub_tells_columns_and_classes(monkeypatch):
    """A stand-in for the hub: one data set in memory, whose label column knows its classes."""
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    asked = []

    def load_dataset(name, config, *, split):
        asked.append((name, config, split))
        return datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    data = load_task(find_task("mine", text_columns=("text",)), "hub:owner/mine:small")
    assert asked == [("owner/mine", "small", "train"), ("owner/mine", "small", "validation")]
    assert data.classes == ("no", "yes")
    assert rows_of(data.train) == [("a", 1), ("b", 0)]
    with pytest.raises(InputError, match="no column 'body'; found: text, label"):
        load_task(find_task("mine", text_columns=("body",)), "hub:owner/mine")


def test_without_a_network_the_hub_is_refused_in_words():
    with pytest.raises(InputError, match="cannot load train of 'nyu-mll/glue' from the hub"):
        load_task(SST2, None)
    with pytest.raises(InputError, match="give --task-data DIR or hub:NAME"):
        load_task(Task("mine"), None)


@pytest.mark.data
@pytest.mark.parametrize(("task", "train", "held_out"), [(COLA, 8551, 1043), (MRPC, 3668, 408), (RTE, 2490, 277)])
def test_the_real_sets_are_whole(task, train, held_out, data_root):
    data = load_task(task, data_root / "glue")
    assert (len(data.train), len(data.held_out["validation"])) == (train, held_out)
    assert data.repairs == []
