import pytest

from maskwise.errors import InputError
from maskwise.lab.tasks.retrieval import Document, load_beir
from maskwise.lab.tuning.bm25 import bm25_run
from maskwise.lab.tuning.ranking import DEPTH, mean_scores

pytest.importorskip("bm25s")
DOCUMENTS = {
    "a": Document("birds", "wings and feathers"),
    "b": Document("", "fish swim"),
    "c": Document("", ""),
}


def test_the_document_that_shares_words_comes_first():
    run = bm25_run(DOCUMENTS, {"1": "which fish", "2": "the feathers of birds"}, depth=2)
    assert run == {"1": ["b"], "2": ["a"]}


def test_the_title_is_indexed_and_a_depth_beyond_the_documents_finds_those_that_match():
    assert bm25_run(DOCUMENTS, {"1": "birds"}, depth=100) == {"1": ["a"]}
    assert bm25_run(DOCUMENTS, {"1": "fish and feathers"}, depth=1)["1"] in (["a"], ["b"])


@pytest.mark.parametrize("query", ["zebra", "the of and", "", "x"])
def test_a_query_that_shares_no_word_with_a_document_finds_nothing(query):
    """Documents with a score of 0 would be found in the order of the file, and some of them be relevant."""
    assert bm25_run(DOCUMENTS, {"1": query, "2": "fish"}, depth=3) == {"1": [], "2": ["b"]}


def test_as_many_documents_are_found_as_share_a_word():
    texts = {f"d{i}": Document("", f"alpha{i} beta{i % 50} gamma{i % 7}") for i in range(300)}
    found = bm25_run(texts, {"q": "alpha5 beta5"}, depth=100)["q"]
    assert set(found) == {key for key, document in texts.items() if {"alpha5", "beta5"} & set(document.text.split())}


@pytest.mark.parametrize("text", ["", "a b c", "the of"])
def test_a_corpus_without_a_word_that_is_indexed_is_refused(text):
    with pytest.raises(InputError, match="BM25 finds no word in the 2 documents"):
        bm25_run({"a": Document("", text), "b": Document("", "")}, {"q": "fish"}, depth=10)


@pytest.mark.data
def test_cranfields_row_to_beat(data_root):
    data = load_beir(data_root / "retrieval" / "cranfield", ["test"])
    scores = mean_scores(bm25_run(data.documents, data.queries, DEPTH), data.judgements["test"])
    assert scores == pytest.approx({"ndcg@10": 0.4888, "mrr@10": 0.7787, "recall@100": 0.7304}, abs=1e-3)
