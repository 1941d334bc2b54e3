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
        ({"test": HEADER + "q1\td1\t1\nq1 d1 1\n"}, "line 3 is not 'query, document, grade'"),
        ({"test": HEADER + "q1\td1\t1\nq1\td2\tyes\n"}, "line 3 is not 'query, document, grade'"),
        ({"test": HEADER}, "has no judgements"),
        ({"test": HEADER + "q1\td1\t0\n"}, "no judgement is above 0"),
        ({"documents": [{"_id": "d1", "body": "x"}]}, "line 1 has no 'text'; found: _id, body"),
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
    with pytest.raises(InputError, match=r"corpus.jsonl, line 1 is not UTF-8: its byte 22 is 0xff"):
        load_beir(tmp_path, ["test"])


@pytest.mark.data
def test_cranfield_is_read_whole(data_root):
    data = load_beir(data_root / "retrieval" / "cranfield", ["test"])
    assert (len(data.documents), len(data.queries)) == (1400, 225)
    assert sum(map(len, data.judgements["test"].values())) == 1837
