"""The references are sentence-transformers' evaluator, for binary relevance, and scikit-learn's nDCG, for grades."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from maskwise.lab.tuning.ranking import DEPTH, mean_scores, ndcg, query_scores, recall, reciprocal_rank

DOCUMENTS = [f"d{i}" for i in range(30)]
RANKED = st.permutations(DOCUMENTS)
RELEVANT = st.sets(st.sampled_from(DOCUMENTS), min_size=1, max_size=20)


def evaluator_scores(run, judgements):
    """sentence-transformers' scores of a run."""
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    evaluator = InformationRetrievalEvaluator(
        queries=dict.fromkeys(run, "?"), corpus=dict.fromkeys(DOCUMENTS, "."),
        relevant_docs={query: set(grades) for query, grades in judgements.items()},
        mrr_at_k=[10], ndcg_at_k=[10], precision_recall_at_k=[DEPTH], map_at_k=[10], accuracy_at_k=[10],
    )  # fmt: skip
    hits = [
        [{"corpus_id": key, "score": -rank} for rank, key in enumerate(run[query])] for query in evaluator.queries_ids
    ]
    scores = evaluator.compute_metrics(hits)
    return {"ndcg@10": scores["ndcg@k"][10], "mrr@10": scores["mrr@k"][10], "recall@100": scores["recall@k"][DEPTH]}


@given(st.lists(st.tuples(RANKED, RELEVANT, st.integers(1, 30)), min_size=1, max_size=4))
def test_scores_are_those_of_sentence_transformers(rows):
    run = {str(i): ranked[:found] for i, (ranked, _, found) in enumerate(rows)}
    judgements = {str(i): dict.fromkeys(relevant, 1) for i, (_, relevant, _) in enumerate(rows)}
    assert mean_scores(run, judgements) == pytest.approx(evaluator_scores(run, judgements), abs=1e-9)


@given(st.lists(st.integers(0, 4), min_size=12, max_size=12).filter(any))
def test_graded_gains_are_those_of_scikit_learn(grades):
    ranked = DOCUMENTS[:12]
    expected = ndcg_score([grades], [list(range(12, 0, -1))], k=10)
    assert ndcg(ranked, dict(zip(ranked, grades, strict=True)), 10) == pytest.approx(expected, abs=1e-9)


def test_the_comparison_is_not_of_zeros_and_ones():
    run, judgements = {"q": DOCUMENTS}, {"q": {"d2": 1, "d7": 1}}
    scores = mean_scores(run, judgements)
    assert scores["ndcg@10"] == pytest.approx((1 / math.log2(4) + 1 / math.log2(9)) / (1 + 1 / math.log2(3)))
    assert scores["mrr@10"] == pytest.approx(1 / 3)
    assert scores == pytest.approx(evaluator_scores(run, judgements), abs=1e-9)


def test_what_is_below_the_depth_counts_for_nothing():
    assert reciprocal_rank(DOCUMENTS, {"d10": 1}, 10) == 0
    assert reciprocal_rank(DOCUMENTS, {"d9": 1}, 10) == 0.1
    assert recall(DOCUMENTS, {"d9": 1, "d10": 1, "d3": 0}, 10) == 0.5


def test_a_query_that_the_run_lacks_found_nothing_and_counts():
    assert mean_scores({"a": ["d1"]}, {"a": {"d1": 1}, "b": {"d1": 1}})["mrr@10"] == 0.5
    assert set(query_scores({}, {"b": {"d1": 1}})["b"].values()) == {0.0}
