"""How good rankings of documents are: nDCG, MRR and recall, the mean over queries.

A run has for each query its documents, the best first; judgements have for each query the grades of its documents,
where above 0 is relevant and unjudged is 0. The gain of a document is its grade, discounted by log2(rank + 1), as
trec_eval and BEIR have it (Järvelin and Kekäläinen 2002).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

Run = Mapping[str, Sequence[str]]
Grades = Mapping[str, int]


def ndcg(ranked: Sequence[str], grades: Grades, depth: int) -> float:
    """Returns the discounted gain of the first `depth` documents as a share of the best ranking's.

    >>> ndcg(["a", "b"], {"b": 1}, depth=10) == 1 / math.log2(3)
    True
    """
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    return _gain([max(grades.get(key, 0), 0) for key in ranked[:depth]]) / _gain(ideal[:depth])


def _gain(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))


def reciprocal_rank(ranked: Sequence[str], grades: Grades, depth: int) -> float:
    """Returns 1 / the rank of the first relevant document, 0 where none is among the first `depth`."""
    return next((1 / rank for rank, key in enumerate(ranked[:depth], start=1) if grades.get(key, 0) > 0), 0.0)


def recall(ranked: Sequence[str], grades: Grades, depth: int) -> float:
    """Returns which share of the relevant documents is among the first `depth`."""
    relevant = {key for key, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranked[:depth])) / len(relevant)


RANKING_METRICS: dict[str, tuple[Callable[[Sequence[str], Grades, int], float], int]] = {
    "ndcg@10": (ndcg, 10),
    "mrr@10": (reciprocal_rank, 10),
    "recall@100": (recall, 100),
}
DEPTH = max(depth for _, depth in RANKING_METRICS.values())


def query_scores(run: Run, judgements: Mapping[str, Grades]) -> dict[str, dict[str, float]]:
    """Returns each metric of each judged query; a query that the run has not found nothing."""
    return {
        query: {name: measure(run.get(query, ()), grades, depth) for name, (measure, depth) in RANKING_METRICS.items()}
        for query, grades in judgements.items()
    }


def mean_scores(run: Run, judgements: Mapping[str, Grades]) -> dict[str, float]:
    """Returns the mean of each metric over the judged queries, each of which has a relevant document.

    >>> mean_scores({"q": ["a", "b"]}, {"q": {"b": 1, "c": 1}})["recall@100"]
    0.5
    """
    scores = query_scores(run, judgements).values()
    return {name: sum(row[name] for row in scores) / len(scores) for name in RANKING_METRICS}
