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
        (SST2, "sentence\tlabel", "so bad \t0", ("so bad", 0)),
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
    assert own([{"text": "a", "label": 2}, {"text": "b", "label": 0}], tmp_path).classes == ("0", "2")
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
        (
            SST2,
            [SENTENCE | {"label": 2}],
            [SENTENCE],
            "line 1): the label 2 is outside the task's 2 classes",
        ),
        (
            SST2,
            [SENTENCE],
            [SENTENCE, SENTENCE | {"label": -1}],
            "sst2 validation, example 2 (validation.jsonl, line 2)",
        ),
        (SST2, [{"text": "a", "label": 1}], [SENTENCE], "no column 'sentence'; found: 'text', 'label'"),
        (SST2, [{"sentence": "a", "stars": 1}], [SENTENCE], "no column 'label'; found: 'sentence', 'stars'"),
        (SST2, [{"sentence": " ", "label": 1}], [SENTENCE], "every text is empty"),
        (SST2, [SENTENCE, [1]], [SENTENCE], "line 2 holds a list, not an object with 'sentence'"),
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
    with pytest.raises(InputError, match=r"train\.parquet is not a readable parquet file"):
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
    with pytest.raises(InputError, match="no column 'body'; found: 'text', 'label'"):
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


def by_name(data, split="train"):
    """The names of the classes that a split's labels were read as."""
    found = data.train if split == "train" else data.held_out[split]
    return [data.classes[label] for label in found.labels]


def labelled(labels):
    return [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    "labels",
    [
        [1, 2, 3, 4, 5], ["1", "2", "3", "N/A"], ["1", "2", "unknown"], [1, 2, "unknown"], [1, 2, 10000], [-1, 0, 1],
        [True, False], [0.0, 0.5, 1.0], ["01", "02"], ["1", "01"], [2019, 2020], ["None", "nan", "null"], ["0", "00"],
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("listed", [False, True])
def test_every_label_is_read_as_the_class_of_its_own_name(labels, listed, tmp_path):
    if listed:
        write(tmp_path, "label_names.json", json.dumps([str(label) for label in labels]))
    data = own(labelled(labels), tmp_path, labelled(labels[::-1]))
    assert by_name(data) == [str(label) for label in labels]
    assert by_name(data, "validation") == [str(label) for label in labels[::-1]]
    assert data.class_counts["train"] == data.class_counts["validation"] == dict.fromkeys(data.classes, 1)


def test_numbers_are_places_among_names_that_are_words(tmp_path):
    write(tmp_path, "label_names.json", '["bad", "good", "mixed"]')
    assert by_name(own(labelled([0, "1", 2, "bad"]), tmp_path)) == ["bad", "good", "mixed", "bad"]


def test_stars_numbered_from_0_whose_names_are_digits_need_a_name_for_each_label(tmp_path):
    stars = labelled([0, 1, 2])
    write(tmp_path, "label_names.json", '["1", "2", "3"]')
    with pytest.raises(InputError, match="it is not clear which classes the numbers mean"):
        own(stars, tmp_path)
    write(tmp_path, "label_names.json", '{"0": "1", "1": "2", "2": "3"}')
    assert by_name(own(stars, tmp_path)) == ["1", "2", "3"]


@pytest.mark.parametrize("missing", [None, "", "  ", float("nan")])
def test_a_missing_label_is_no_class(missing, tmp_path):
    rows = labelled(["a", missing, "b", missing])
    data = own(rows, tmp_path, labelled(["a"]))
    assert data.classes == ("a", "b")
    assert data.repairs == ["mine train: 2 examples without a label are left out"]
    with pytest.raises(InputError, match=r"mine validation, example 2 \(validation.jsonl, line 2\) has no label"):
        own(labelled(["a", "b"]), tmp_path, rows)
    with pytest.raises(InputError, match="mine train: no example has a label in the column 'label'"):
        own(labelled([missing]), tmp_path, labelled(["a"]))


@pytest.mark.parametrize(
    "column", [pa.array([0.0, 1.0, float("nan")]), pa.array([0, 1, None]), pa.array(["a", "b", None])], ids=str
)
def test_nan_and_null_in_parquet_are_missing_labels(column, tmp_path):
    pq.write_table(pa.table({"text": ["x", "y", "z"], "label": column}), tmp_path / "train.parquet")
    pq.write_table(pa.table({"text": ["x"], "label": column[:1]}), tmp_path / "validation.parquet")
    data = load_task(find_task("mine", text_columns=("text",)), tmp_path)
    assert len(data.classes) == 2
    assert data.repairs == ["mine train: 1 examples without a label are left out"]


def test_an_empty_cell_of_a_csv_is_a_missing_label(tmp_path):
    write(tmp_path, "train.csv", "text,label\nx,a\ny,\nz,b\n")
    write(tmp_path, "validation.csv", "text,label\nx,a\n")
    data = load_task(find_task("mine", text_columns=("text",)), tmp_path)
    assert (data.classes, len(data.train), len(data.repairs)) == (("a", "b"), 2, 1)


def test_one_number_in_two_spellings_is_refused_across_splits_and_shards(tmp_path):
    with pytest.raises(InputError, match=r"mine validation, example 1 .* 1\.0 is the same number as the label 1,"):
        own(labelled([0, 1]), tmp_path, labelled([1.0]))
    (tmp_path / "train.jsonl").unlink()
    for i, column in enumerate((pa.array([0, 1]), pa.array([1.0]))):
        table = pa.table({"text": ["x"] * len(column), "label": column})
        pq.write_table(table, tmp_path / f"train-{i}-of-2.parquet")
    with pytest.raises(InputError, match=r"train-1-of-2.parquet, row 1\): the label 1.0 is the same number"):
        load_task(find_task("mine", text_columns=("text",)), tmp_path)


@pytest.mark.parametrize("label", [["a", "b"], {"a": 1}, []])
def test_several_labels_of_one_example_are_refused_by_its_place(label, tmp_path):
    with pytest.raises(InputError, match=r"mine train, example 2 \(train.jsonl, line 2\): the label is"):
        own(labelled(["a", label]), tmp_path, labelled(["a"]))


def test_a_text_that_is_a_number_is_a_text_and_other_values_are_refused(tmp_path):
    rows = [{"text": text, "label": "a"} for text in (0, 7, 0.5, "x")]
    data = own(rows, tmp_path)
    assert data.train.texts[0] == data.held_out["validation"].texts[0] == ["0", "7", "0.5", "x"]
    for text in (["a", "b"], {"a": 1}, True):
        with pytest.raises(InputError, match=r"mine train, example 1 \(train.jsonl, line 1\): .* is not a text but a"):
            own([{"text": text, "label": "a"}], tmp_path)


def test_null_and_nan_texts_are_empty_and_half_surrogates_are_left_out(tmp_path):
    texts = [None, float("nan"), "so good \ud83d", "\ud83d", " Cafe\u0301\x00 "]
    data = own([{"text": text, "label": "a"} for text in texts], tmp_path)
    assert data.train.texts[0] == ["so good", "Caf\u00e9"]
    assert data.held_out["validation"].texts[0] == ["", "", "so good", "", "Caf\u00e9"]
    assert "mine train: 3 examples with an empty text are left out" in data.repairs


@pytest.mark.parametrize("label", ["1_000", "nan", "inf", "infinity", "1e999", True, [1], "", "3,5", "0x1"])
def test_what_is_no_number_is_no_label_of_a_regression(label, tmp_path):
    rows = [{"sentence": "a", "label": 1.5}, {"sentence": "b", "label": label}]
    write(tmp_path, "train.jsonl", jsonl(rows[:1]))
    write(tmp_path, "validation.jsonl", jsonl(rows))
    with pytest.raises(InputError, match=r"sts validation, example 2 \(.*\): the label .* is not a number"):
        load_task(Task("sts", "regress"), tmp_path)


def test_missing_numbers_are_left_out_of_a_regression_s_training_set_and_counted(tmp_path):
    rows = [{"sentence": "a", "label": label} for label in (1, "2.5", " -3e-1 ", None, "", float("nan"))]
    write(tmp_path, "train.jsonl", jsonl(rows))
    write(tmp_path, "validation.jsonl", jsonl(rows[:3]))
    data = load_task(Task("sts", "regress"), tmp_path)
    assert data.train.labels == data.held_out["validation"].labels == [1.0, 2.5, -0.3]
    assert data.repairs == ["sts train: 3 examples without a label are left out"]
    assert data.class_counts == {}


def test_a_second_file_of_a_split_is_passed_over_with_a_word(tmp_path):
    """Plain and compressed ones were read one after the other, and every example was there twice."""
    both(tmp_path, write_jsonl)
    for name in ("train", "validation"):
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(jsonl(QUOTED).encode()))
    write_csv(tmp_path, "train")
    data = load_task(MRPC, tmp_path)
    assert len(data.train) == len(data.held_out["validation"]) == 2
    assert data.repairs[0] == "mrpc train: read from train.jsonl; passed over: train.jsonl.gz, train.csv"


def test_malformed_lines_of_a_held_out_set_are_refused_by_the_first(tmp_path):
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    write(tmp_path, "train.tsv", f"{header}0\t1\t2\ta?\tb?\t1\n")
    write(tmp_path, "dev.tsv", f"{header}0\t1\t2\ta?\tb?\t1\n0\t1\n\n0\t1\t2\ta?\tb?\t1\t7\n")
    with pytest.raises(InputError, match=r"has 2 lines with another number of columns .*; the first is line 3"):
        load_task(QQP, tmp_path)


def test_the_hubs_numbers_are_places_among_its_names_whatever_the_names(monkeypatch):
    """Stars 1 to 3 numbered from 0: the hub knows which is which, and a 1 is the second of them."""
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["1", "2", "3"])}
    )

    def load_dataset(name, config, *, split):
        labels = [0, 1, 2, -1] if split == "train" else [2, 0]
        return datasets.Dataset.from_dict({"text": list("abcd")[: len(labels)], "label": labels}, features=features)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    data = load_task(find_task("mine", text_columns=("text",)), "hub:owner/stars")
    assert by_name(data) == ["1", "2", "3"]
    assert by_name(data, "validation") == ["3", "1"]
    assert data.repairs == ["mine train: 1 examples without a label are left out"]


def test_whatever_a_data_set_of_the_hub_raises_is_one_message(monkeypatch):
    def load_dataset(name, config, *, split):
        raise RuntimeError("Dataset scripts are no longer supported\nand more lines")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(InputError, match="cannot load train of 'owner/x' from the hub: Dataset scripts are no longer"):
        load_task(find_task("mine", text_columns=("text",)), "hub:owner/x")
