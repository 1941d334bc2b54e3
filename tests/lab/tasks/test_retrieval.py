import gzip
import json

import pytest

from maskwise.errors import InputError
from maskwise.lab.tasks.retrieval import load_beir

DOCUMENTS = [{"_id": "d1", "title": "Wings", "text": "of birds"}, {"_id": "d2", "text": "fish"}]
QUERIES = [{"_id": "q1", "text": "what flies"}, {"_id": 2, "text": "what swims"}]
HEADER = "query-id\tcorpus-id\tscore\n"


def write(folder, *, documents=DOCUMENTS, queries=QUERIES, **judgements):
    (folder / "qrels").mkdir(exist_ok=True)
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for split, text in ({"test": HEADER + "q1\td1\t1\n2\td2\t2\n2\td1\t0\n"} | judgements).items():
        (folder / "qrels" / f"{split}.tsv").write_text(text, encoding="utf-8")
    return folder


def test_a_collection_has_documents_queries_and_grades(tmp_path):
    data = load_beir(write(tmp_path), ["test"])
    assert [document.whole for document in data.documents.values()] == ["Wings of birds", "fish"]
    assert data.queries == {"q1": "what flies", "2": "what swims"}
    assert data.judgements == {"test": {"q1": {"d1": 1}, "2": {"d2": 2, "d1": 0}}}
    assert not data.repairs


def test_training_judgements_are_read_where_there_are_some_and_a_header_may_lack(tmp_path):
    data = load_beir(write(tmp_path, train="q1\td2\t1\n"), ["test"])
    assert data.judgements["train"] == {"q1": {"d2": 1}}


def test_files_may_be_compressed(tmp_path):
    write(tmp_path)
    plain = tmp_path / "corpus.jsonl"
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert len(load_beir(tmp_path, ["test"]).documents) == 2


def test_what_is_left_out_or_empty_is_said(tmp_path):
    write(tmp_path, documents=[*DOCUMENTS, {"_id": "d3", "title": "", "text": ""}], test="q1\td1\t1\n2\td2\t0\n")
    data = load_beir(tmp_path, ["test"])
    assert list(data.judgements["test"]) == ["q1"]
    assert "1 documents without a word are kept" in data.repairs[0]
    assert "1 queries without a relevant document are left out" in data.repairs[1]


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named_with_those_found(name, tmp_path):
    write(tmp_path, dev=HEADER)
    (tmp_path / name).unlink()
    found = "dev.tsv" if "qrels" in name else "qrels"
    with pytest.raises(InputError, match=f"has no {name}; found: .*{found}"):
        load_beir(tmp_path, ["test"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test": HEADER + "q1\td1\t1\nq9\td1\t1\nq1\td9\t1\n"}, r"the query 'q9' \(line 3\), and 1 more"),
        ({"test": HEADER + "q1\td9\t1\n"}, r"the document 'd9' \(line 2\), and 0 more"),
        ({"test": HEADER + "q1\td1\t1\nq1 d1 1\n"}, "line 3 is not query-id, corpus-id, score between tabs"),
        ({"test": HEADER + "q1\td1\t1\nq1\td2\tyes\n"}, "line 3 is not query-id, corpus-id, score between tabs"),
        ({"test": HEADER}, "has no judgements"),
        ({"test": HEADER + "q1\td1\t0\n"}, "no judgement is above 0"),
        ({"documents": [{"_id": "d1", "body": "x"}]}, "line 1 has no column 'text'; found: '_id', 'body'"),
        ({"documents": [*DOCUMENTS, DOCUMENTS[0]]}, "line 3: the id 'd1' is there twice"),
        ({"queries": []}, "queries.jsonl is empty"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(change, said, tmp_path):
    with pytest.raises(InputError, match=said):
        load_beir(write(tmp_path, **change), ["test"])


def test_what_is_no_json_or_not_utf8_is_named(tmp_path):
    write(tmp_path)
    (tmp_path / "queries.jsonl").write_text('{"_id": 1')
    with pytest.raises(InputError, match=r"queries.jsonl, line 1 is not JSON"):
        load_beir(tmp_path, ["test"])
    (tmp_path / "corpus.jsonl").write_bytes(b'{"_id": "1", "text": "\xff"}\n')
    with pytest.raises(InputError, match=r"corpus.jsonl is not UTF-8: byte 22 is 0xff"):
        load_beir(tmp_path, ["test"])


@pytest.mark.data
def test_cranfield_is_read_whole(data_root):
    data = load_beir(data_root / "retrieval" / "cranfield", ["test"])
    assert (len(data.documents), len(data.queries)) == (1400, 225)
    assert sum(map(len, data.judgements["test"].values())) == 1837


def test_a_query_that_is_a_document_is_known_by_id_and_text(tmp_path):
    """ArguAna's texts are queries under the same id; Cranfield's ids are numbers, and agree by accident."""
    documents = [
        {"_id": "same", "title": "a topic", "text": "wings  of birds"},
        {"_id": "whole", "title": "a topic", "text": "of birds"},
        {"_id": "3", "text": "another text"},
        {"_id": "4", "text": "what swims"},
    ]
    queries = [
        {"_id": "same", "text": "wings of birds\n"}, {"_id": "whole", "text": "a topic of birds"},
        {"_id": 3, "text": "wings"}, {"_id": "5", "text": "what swims"},
    ]  # fmt: skip
    data = load_beir(write(tmp_path, documents=documents, queries=queries, test="same\twhole\t1\n"), ["test"])
    assert data.own_documents == {"same", "whole"}
    assert data.without_itself("same", ["same", "3", "whole", "4"], depth=2) == ["3", "whole"]
    assert data.without_itself("3", ["3", "same", "whole"], depth=2) == ["3", "same"]
    assert [text for text in data.repairs if "2 queries are documents too" in text]


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("query-id\tcorpus-id\tscore", "q1\td1\t1"),
        ("query_id\tdoc_id\trelevance", "q1\td1\t1"),
        ("corpus-id\tquery-id\tscore", "d1\tq1\t1"),
        ("score\tquery-id\tcorpus-id", "1\tq1\td1"),
        ("QID\tPID\tLabel", "q1\td1\t1"),
    ],
)
def test_columns_of_judgements_are_found_by_their_names(header, line, tmp_path):
    data = load_beir(write(tmp_path, test=f"\ufeff{header}\r\n{line}\r\n"), ["test"])
    assert data.judgements["test"] == {"q1": {"d1": 1}}


@pytest.mark.parametrize(
    "header",
    ["q1\td1\tyes", "query\tdocument", "topic\titer\tdoc\trel", "a\tb\tc", "q1 d1 1", "qid\tqid\tscore"],
)
def test_a_first_line_that_is_neither_header_nor_judgement_is_refused(header, tmp_path):
    with pytest.raises(InputError, match="which is neither a judgement nor a header"):
        load_beir(write(tmp_path, test=f"{header}\nq1\td1\t1\n"), ["test"])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("q1\td1\t1\nq1\td1\t0\n", "line 3 judges 'q1' and 'd1' again, in another way"),
        ("q1\td1\t1\nq1\td1\t1.0\n", "line 3 is not query-id, corpus-id, score"),
        ("q1\td1\t1\nq1\td1\t\n", "line 3 is not query-id, corpus-id, score"),
    ],
)
def test_judgements_that_contradict_themselves_or_are_no_number_are_refused(lines, said, tmp_path):
    with pytest.raises(InputError, match=said):
        load_beir(write(tmp_path, test=HEADER + lines), ["test"])


def test_a_judgement_given_twice_counts_once(tmp_path):
    data = load_beir(write(tmp_path, test=HEADER + "q1\td1\t1\nq1\td1\t1\n"), ["test"])
    assert data.class_counts == {"test": {"1": 1}}


@pytest.mark.parametrize("value", [None, "", " d1", "d1\n", True, 1.0, ["d1"], "d\ud83d", "a\x00b"])
def test_an_id_that_is_none_is_refused_by_its_line(value, tmp_path):
    with pytest.raises(InputError, match=r"corpus\.jsonl, line 3: the id is"):
        load_beir(write(tmp_path, documents=[*DOCUMENTS, {"_id": value, "text": "x"}]), ["test"])


def test_an_id_that_is_a_number_and_a_text_is_there_twice(tmp_path):
    queries = [*QUERIES, {"_id": "2", "text": "again"}]
    with pytest.raises(InputError, match=r"queries\.jsonl, line 3: the id '2' is there twice"):
        load_beir(write(tmp_path, queries=queries), ["test"])


def test_texts_are_cleaned_and_what_is_no_text_is_refused(tmp_path):
    documents = [{"_id": "d1", "title": None, "text": "so good \ud83d"}, {"_id": "d2", "title": 7, "text": 0}]
    queries = [*QUERIES, {"_id": "q3", "text": None}]
    data = load_beir(write(tmp_path, documents=documents, queries=queries), ["test"])
    assert data.documents == {"d1": ("", "so good"), "d2": ("7", "0")}
    assert "1 queries without a word are kept" in data.repairs[0]
    with pytest.raises(InputError, match=r"corpus\.jsonl, line 1: \['a'\] is not a text but a list"):
        load_beir(write(tmp_path, documents=[{"_id": "d1", "text": ["a"]}]), ["test"])


def test_a_compressed_twin_is_passed_over_with_a_word(tmp_path):
    write(tmp_path)
    (tmp_path / "queries.jsonl.gz").write_bytes(gzip.compress(b"rubbish"))
    data = load_beir(tmp_path, ["test"])
    assert data.repairs == [f"{tmp_path.name}: read from queries.jsonl; passed over: queries.jsonl.gz"]


def test_deep_json_is_refused_by_its_line(tmp_path):
    write(tmp_path)
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "text": ' + "[" * 100_000, encoding="utf-8")
    with pytest.raises(InputError, match=r"corpus\.jsonl, line 1 is JSON nested too deeply"):
        load_beir(tmp_path, ["test"])


@pytest.mark.data
def test_no_query_of_cranfield_is_a_document_though_all_ids_agree(data_root):
    data = load_beir(data_root / "retrieval" / "cranfield", ["test"])
    assert set(data.queries) <= set(data.documents)
    assert not data.own_documents
