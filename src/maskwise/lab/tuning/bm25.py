"""BM25, the row that a trained retriever has to beat."""

from __future__ import annotations

from collections.abc import Mapping

from maskwise.errors import InputError
from maskwise.lab.tasks.retrieval import Document


def bm25_run(documents: Mapping[str, Document], queries: Mapping[str, str], depth: int) -> dict[str, list[str]]:
    """Returns the first `depth` documents of each query by BM25 over title and text; those that share a word with it.

    Lucene's variant with k1 = 1.5 and b = 0.75, English stop words and words of one letter left out, no stemming
    (bm25s, Lù 2024). A document that shares no word with the query has a score of 0, and is not found, as in Lucene.

    Args:
        documents: The documents by id.
        queries: The queries by id.
        depth: How many documents of a query are returned at most.

    Raises:
        InputError: If no document has a word that is indexed.
    """
    import bm25s

    def tokenize(texts: list[str]) -> list[list[str]]:
        return bm25s.tokenize(texts, stopwords="en", return_ids=False, show_progress=False)  # type: ignore[return-value]

    tokens, keys = tokenize([document.whole for document in documents.values()]), list(documents)
    if not any(tokens):
        raise InputError(
            f"BM25 finds no word in the {len(keys):,} documents: it reads words of two letters or more, and no English "
            "stop words.\nGive documents with text."
        )
    index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    index.index(tokens, show_progress=False)
    rows = index.retrieve(tokenize(list(queries.values())), k=min(depth, len(keys)), show_progress=False)
    return {
        query: [keys[i] for i, score in zip(places, scores, strict=True) if score > 0]
        for query, places, scores in zip(queries, *rows, strict=True)
    }
