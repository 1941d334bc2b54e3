"""BM25, the row that a trained retriever has to beat."""

from __future__ import annotations

from collections.abc import Mapping

from maskwise.lab.tasks.retrieval import Document


def bm25_run(documents: Mapping[str, Document], queries: Mapping[str, str], depth: int) -> dict[str, list[str]]:
    """Returns the first `depth` documents of each query by BM25 over title and text.

    Lucene's variant with k1 = 1.5 and b = 0.75, English stop words left out, no stemming (bm25s, Lù 2024).
    """
    import bm25s

    def tokenize(texts: list[str]) -> list[list[str]]:
        return bm25s.tokenize(texts, stopwords="en", return_ids=False, show_progress=False)  # type: ignore[return-value]

    index, keys = bm25s.BM25(k1=1.5, b=0.75, method="lucene"), list(documents)
    index.index(tokenize([document.whole for document in documents.values()]), show_progress=False)
    found, _ = index.retrieve(tokenize(list(queries.values())), k=min(depth, len(keys)), show_progress=False)
    return {query: [keys[i] for i in row] for query, row in zip(queries, found, strict=True)}
