import pytest

from maskwise.lab.tasks.retrieval import Document, load_beir
from maskwise.lab.tuning.bm25 import bm25_run
from maskwise.lab.tuning.ranking import DEPTH, mean_scores

pytest.importorskip("bm25s")
DOCUMENTS = {"a": Document("birds", "wings and feathers"), "b": Document("", "fish swim"), "c": Document("", "")}


def test_the_document_that_shares_words_comes_first():
    run = bm25_run(DOCUMENTS, {"1": "which fish", "2": "the feathers of birds"}, depth=2)
    assert (run["1"][0], run["2"][0]) == ("b", "a")
    assert all(len(found) == 2 for found in run.values())


def test_the_title_is_indexed_and_a_depth_beyond_the_documents_is_all_of_them():
    assert bm25_run(DOCUMENTS, {"1": "birds"}, depth=100)["1"][0] == "a"
    assert len(bm25_run(DOCUMENTS, {"1": "birds"}, depth=100)["1"]) == 3


@pytest.mark.data
def test_cranfields_row_to_beat(data_root):
    data = load_beir(data_root / "retrieval" / "cranfield", ["test"])
    scores = mean_scores(bm25_run(data.documents, data.queries, DEPTH), data.judgements["test"])
    assert scores == pytest.approx({"ndcg@10": 0.4888, "mrr@10": 0.7787, "recall@100": 0.7304}, abs=1e-3)
