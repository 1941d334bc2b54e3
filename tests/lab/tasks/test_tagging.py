import json
from dataclasses import replace

import pytest

from maskwise.errors import InputError
from maskwise.lab.tasks.table import NER, POS
from maskwise.lab.tasks.tagging import load_tagged
from maskwise.lab.tuning.iob import repair

ROWS = [{"tokens": ["a", "dog", "runs"], "upos": ["DET", "NOUN", "VERB"]}, {"tokens": ["cats"], "upos": ["NOUN"]}]
GENES = [{"tokens": ["the", "BRCA1", "gene"], "tags": ["O", "B-Gene", "I-Gene"]}]


def write(folder, splits):
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_the_test_set_is_read_where_there_is_one(tmp_path):
    write(tmp_path, {"train": ROWS, "validation": ROWS[:1]})
    data = load_tagged(POS, tmp_path)
    assert list(data.held_out) == ["validation"]
    assert data.classes == ("DET", "NOUN", "VERB")
    assert data.train.words == [["a", "dog", "runs"], ["cats"]]
    write(tmp_path, {"test": ROWS[1:]})
    assert load_tagged(POS, tmp_path).held_out["test"].tags == [["NOUN"]]


def test_numbers_get_their_names_from_the_file_beside_the_data(tmp_path):
    rows = [{"tokens": ["a", "dog"], "ner_tags": [0, 1]}]
    write(tmp_path, {"train": rows, "validation": rows})
    (tmp_path / "label_names.json").write_text('["O", "B-Animal"]')
    data = load_tagged(replace(NER, label_column="ner_tags"), tmp_path, repair)
    assert data.train.tags == [["O", "B-Animal"]]
    assert data.classes == ("O", "B-Animal")


def test_parquet_is_read_like_jsonl(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split in ("train", "validation"):
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / f"{split}-00000-of-00001.parquet")
    assert load_tagged(POS, tmp_path).train.tags == [row["upos"] for row in ROWS]


def test_tags_that_go_on_with_nothing_are_repaired_and_counted(tmp_path):
    wrong = [{"tokens": ["BRCA1", "and", "p53"], "tags": ["I-Gene", "O", "I-Gene"]}]
    data = load_tagged(NER, write(tmp_path, {"train": GENES + wrong, "validation": GENES}), repair)
    assert data.train.tags[1] == ["B-Gene", "O", "B-Gene"]
    assert data.repairs == ["ner train: 2 tags that begin an entity with I- are read as B-"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"tokens": ["a", "dog"], "upos": ["DET"]},
            "line 3\\) has 2 words and 1 tags",
        ),
        (
            {"tokens": "a dog", "upos": ["DET"]},
            r"pos validation, sentence 3 \(.*\): 'tokens' is not a list",
        ),
        (
            {"tokens": ["a"], "upos": "DET"},
            "'upos' is not a list",
        ),
        ({"tokens": ["a"]}, "no column 'upos'; found: 'tokens'"),
    ],
)
def test_a_sentence_that_is_none_is_named(row, said, tmp_path):
    write(tmp_path, {"train": ROWS, "validation": [*ROWS, row]})
    with pytest.raises(InputError, match=said):
        load_tagged(POS, tmp_path)


def test_a_tag_outside_the_named_ones_and_a_set_without_words_are_refused(tmp_path):
    write(tmp_path, {"train": ROWS, "validation": ROWS})
    (tmp_path / "label_names.json").write_text('["NOUN", "VERB"]')
    with pytest.raises(
        InputError,
        match=r"sentence 1 \(.*\): 'DET' is none of the task's tags \(NOUN, VERB\)",
    ):
        load_tagged(POS, tmp_path)
    write(tmp_path, {"validation": [{"tokens": [], "upos": []}]})
    (tmp_path / "label_names.json").unlink()
    with pytest.raises(InputError, match="pos validation has no sentence with a word in it"):
        load_tagged(POS, tmp_path)


@pytest.mark.data
def test_real_sets_are_read_whole(data_root):
    pos = load_tagged(POS, data_root / "tagging")
    assert [len(part) for part in (pos.train, *pos.held_out.values())] == [12544, 2001, 2077]
    assert len(pos.classes) == 17
    ner = load_tagged(NER, data_root / "tagging", repair)
    assert [len(part) for part in (ner.train, *ner.held_out.values())] == [5424, 923, 940]
    assert ner.classes == ("B-Disease", "I-Disease", "O")
    assert not pos.repairs and not ner.repairs


def load(folder, row, task=POS, names=None):
    if names:
        (folder / "label_names.json").write_text(json.dumps(names), encoding="utf-8")
    return load_tagged(task, write(folder, {"train": [*ROWS, row], "validation": ROWS}))


@pytest.mark.parametrize("tag", [None, "", " ", float("nan")])
def test_a_missing_tag_is_no_class_of_its_own(tag, tmp_path):
    with pytest.raises(
        InputError, match=r"pos train, sentence 3 \(train.jsonl, line 3\): the tag of word 2 is missing"
    ):
        load(tmp_path, {"tokens": ["a", "b"], "upos": ["DET", tag]})


@pytest.mark.parametrize("word", [None, float("nan")])
def test_a_missing_word_is_not_the_word_none(word, tmp_path):
    with pytest.raises(InputError, match=r"sentence 3 \(.*\): word 2 is missing"):
        load(tmp_path, {"tokens": ["a", word], "upos": ["DET", "NOUN"]})


def test_a_word_without_a_character_keeps_its_tag_and_is_counted(tmp_path):
    data = load(tmp_path, {"tokens": ["", "\ud83d", "b\ud83d", 7], "upos": ["DET", "X", "NOUN", "NUM"]})
    assert data.train.words[2] == ["", "", "b", "7"]
    assert data.train.tags[2] == ["DET", "X", "NOUN", "NUM"]
    assert data.repairs == ["pos train: 2 words without a character are kept, and read as unknown"]


@pytest.mark.parametrize("word", [["a"], {"a": 1}, True])
def test_a_word_that_is_no_text_is_refused(word, tmp_path):
    with pytest.raises(InputError, match=r"sentence 3 \(.*\): .* is not a text but a"):
        load(tmp_path, {"tokens": ["a", word], "upos": ["DET", "NOUN"]})


def test_a_tag_in_a_list_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"sentence 3 \(.*\): the label is \['NOUN'\], a list"):
        load(tmp_path, {"tokens": ["a"], "upos": [["NOUN"]]})


def test_tags_that_are_digits_are_names_and_their_numbers_are_theirs(tmp_path):
    """Tags 1, 2 and X, listed or not: a 1 is never the second of them."""
    rows = [{"tokens": ["a", "b", "c"], "upos": ["1", "2", "X"]}]
    for names in (None, ["1", "2", "X"], ["X", "2", "1"]):
        if names:
            (tmp_path / "label_names.json").write_text(json.dumps(names), encoding="utf-8")
        data = load_tagged(POS, write(tmp_path, {"train": rows, "validation": rows}))
        assert data.train.tags == [["1", "2", "X"]]
        assert data.class_counts["train"] == {"1": 1, "2": 1, "X": 1}


def test_numbers_that_could_be_names_and_places_of_tags_are_refused(tmp_path):
    rows = [{"tokens": ["a", "b"], "upos": [0, 1]}]
    (tmp_path / "label_names.json").write_text('["1", "2"]', encoding="utf-8")
    with pytest.raises(InputError, match="it is not clear which classes the numbers mean"):
        load_tagged(POS, write(tmp_path, {"train": rows, "validation": rows}))


def test_tags_are_counted_by_split(tmp_path):
    data = load_tagged(POS, write(tmp_path, {"train": ROWS, "validation": ROWS[1:]}))
    assert data.class_counts == {
        "train": {"DET": 1, "NOUN": 2, "VERB": 1}, "validation": {"DET": 0, "NOUN": 1, "VERB": 0},
    }  # fmt: skip
