"""Retrieval on made-up documents about two things, which texts call by other words than titles and queries do."""

import json
import shutil
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

pytest.importorskip("sentence_transformers")
pytest.importorskip("bm25s")

from sentence_transformers import SentenceTransformer

from fixtures.tuned import NOUNS, QUICK, write_jsonl
from maskwise.errors import InputError
from maskwise.lab.tasks.table import RETRIEVAL
from maskwise.lab.tuning import retrieve
from maskwise.lab.tuning.finetune import finetune
from maskwise.lab.tuning.pairs import Pair, build_encoder, count_read_tokens, embed, fit_pairs, grade_pairs, search
from maskwise.lab.tuning.retrieve import Retrieval
from maskwise.lab.tuning.settings import TuneSettings

from .test_ranking import mean_scores

SYNONYMS = (
    "book",
    "by",
    "cat",
    "child",
    "door",
    "each",
    "green",
    "her",
    "language",
    "long",
    "mask",
    "model",
    "morning",
)
SETTINGS = TuneSettings(
    **QUICK | {"max_epochs": 12, "patience": 12, "batch_size": 16, "learning_rate": 5e-3, "checkpoint_seconds": 60}
)


def make_collection(folder, *, train=False, titles=True):
    """Two documents in three have a title, from which to learn what the words of texts mean; the third is asked for."""
    random, meaning = np.random.default_rng(0), dict(zip(NOUNS, SYNONYMS, strict=True))
    documents, queries, lines = [], [], []
    for i, (one, two) in enumerate(combinations(NOUNS, 2)):
        title = f"the {one} and the {two}" if titles and i % 3 else ""
        said = [meaning[one], meaning[two]] * 3 + random.choice(["in", "is", "of", "on"], 4).tolist()
        text = " ".join([title] * (i % 2) + random.permutation(said).tolist())
        documents.append({"_id": f"d{i}", "title": title, "text": text})
        if i % 3 == 0:
            queries.append({"_id": f"q{i}", "text": f"{two} with {one}"})
            lines.append(f"q{i}\td{i}\t1\n")
    write_jsonl(folder / "corpus.jsonl", documents)
    write_jsonl(folder / "queries.jsonl", queries)
    (folder / "qrels").mkdir()
    half = len(lines) // 2 if train else 0
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines[half:]))
    if train:
        (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines[:half]))
    return folder


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("collection"))


@pytest.fixture(scope="module")
def tuned(checkpoint, collection, tmp_path_factory):
    out = tmp_path_factory.mktemp("retrieved")
    return out, finetune(checkpoint, ["retrieval"], task_data=collection, out=out, settings=SETTINGS, show=False)


def read(out):
    folder = out / "retrieval" / "seed-0"
    return json.loads((folder / "result.json").read_text()), pq.read_table(folder / "predictions.parquet").to_pylist()


def test_training_on_titles_and_texts_makes_queries_find_their_documents(tuned):
    result, _ = read(tuned[0])
    assert result["pairs"] == "titles and texts"
    assert result["metrics"]["ndcg@10"] > result["untuned"]["ndcg@10"] + 0.3
    assert result["history"][-1]["loss"] < result["history"][0]["loss"]
    assert result["tokens"] > 0 < result["flops"]


def test_bm25_stands_beside_it(tuned):
    scores = tuned[1].tasks[0]
    assert scores.baselines["BM25"]["ndcg@10"] < scores.mean("ndcg@10")
    assert "(BM25)" in tuned[1].table()


def test_stored_metrics_are_those_of_the_stored_predictions(tuned):
    result, rows = read(tuned[0])
    run = {row["index"]: row["prediction"] for row in rows}
    judgements = {row["index"]: dict.fromkeys(row["label"], 1) for row in rows}
    assert result["metrics"] == pytest.approx(mean_scores(run, judgements), abs=1e-9)
    assert result["metrics"]["mrr@10"] == pytest.approx(np.mean([row["mrr@10"] for row in rows]), abs=1e-9)
    assert all(row["scores"] == sorted(row["scores"], reverse=True) for row in rows)


def test_the_metrics_are_those_of_sentence_transformers_on_the_stored_encoder(tuned, collection):
    """Nothing of ours: their model, their encoding, their evaluator."""
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    data = Retrieval().load(RETRIEVAL, collection)
    evaluator = InformationRetrievalEvaluator(
        queries=dict(data.queries), corpus={key: document.whole for key, document in data.documents.items()},
        relevant_docs={query: set(grades) for query, grades in data.judgements["test"].items()},
        ndcg_at_k=[10], mrr_at_k=[10], precision_recall_at_k=[100],
    )  # fmt: skip
    scores = evaluator(SentenceTransformer(str(tuned[0] / "retrieval" / "seed-0")))
    theirs = {name: scores[f"cosine_{name}"] for name in ("ndcg@10", "mrr@10", "recall@100")}
    assert read(tuned[0])[0]["metrics"] == pytest.approx(theirs, abs=1e-9)


def test_a_query_that_is_a_document_is_left_out_of_its_own_results(checkpoint, tmp_path):
    """As in ArguAna: each query would find itself first, and BEIR does not count it; so for BM25."""
    folder = make_collection(tmp_path / "data")
    documents = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    asked = documents[:9]
    write_jsonl(folder / "queries.jsonl", [{"_id": row["_id"], "text": row["text"]} for row in asked])
    judged = "".join(f"{row['_id']}\td{40 + i}\t1\n" for i, row in enumerate(asked))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    frozen = TuneSettings(freeze=True)
    result = finetune(checkpoint, "retrieval", task_data=folder, out=tmp_path / "out", settings=frozen, show=False)
    _, rows = read(tmp_path / "out")
    assert all(row["index"] not in row["prediction"] and len(row["scores"]) == len(row["prediction"]) for row in rows)
    assert all(len(row["prediction"]) == len(documents) - 1 for row in rows)
    data = Retrieval().load(RETRIEVAL, folder)
    found = retrieve.bm25_run(data.documents, data.queries, len(documents))
    assert all(query in keys for query, keys in found.items())
    without = {query: [key for key in keys if key != query] for query, keys in found.items()}
    assert result.tasks[0].baselines["BM25"] == mean_scores(without, data.judgements["test"])
    assert [line for line in result.tasks[0].repairs if "9 queries are documents too" in line]


def test_training_judgements_come_before_titles(checkpoint, tmp_path):
    data = Retrieval().load(RETRIEVAL, make_collection(tmp_path, train=True))
    groups, what = retrieve.training_pairs(data)
    assert what == "queries and documents"
    assert len(groups) == len(data.judgements["train"])
    assert groups[0][0].query == data.queries[next(iter(data.judgements["train"]))]


def test_a_text_goes_without_the_title_it_begins_with(collection):
    groups, _ = retrieve.training_pairs(Retrieval().load(RETRIEVAL, collection))
    assert len(groups) == 52
    assert not any(pair.document.startswith(pair.query) for group in groups for pair in group)


def test_frozen_retrieval_is_the_checkpoint_as_it_is(checkpoint, collection, tmp_path):
    finetune(
        checkpoint, ["retrieval"], task_data=collection, out=tmp_path, settings=TuneSettings(freeze=True), show=False
    )
    result, _ = read(tmp_path)
    assert result["metrics"] == result["untuned"]
    assert result["trained"] == [] and result["tokens"] == 0


def test_selection_on_what_is_reported_is_by_the_first_metric(checkpoint, collection, tmp_path):
    settings = SETTINGS.model_copy(update={"select_on": "validation", "max_epochs": 1})
    finetune(checkpoint, ["retrieval"], task_data=collection, out=tmp_path, settings=settings, show=False)
    result, _ = read(tmp_path)
    assert result["history"][0]["score"] == pytest.approx(result["metrics"]["ndcg@10"], abs=1e-9)


def test_the_embedding_is_the_mean_of_the_last_hidden_states(checkpoint):
    from transformers import AutoModel, AutoTokenizer

    encoder = build_encoder(str(checkpoint), seed=0, max_length=16)
    tokenizer, model = AutoTokenizer.from_pretrained(checkpoint), AutoModel.from_pretrained(checkpoint).eval()
    texts = ["the old dog", "zebra " * 30]
    for text, vector in zip(texts, embed(encoder, texts), strict=True):
        with torch.no_grad():
            batch = tokenizer(text, truncation=True, max_length=16, return_tensors="pt")
            mean = model(**batch).last_hidden_state[0].mean(0)
        torch.testing.assert_close(vector, mean / mean.norm(), atol=1e-5, rtol=0)
    assert count_read_tokens(encoder, texts) == (5 + 16, 1)


def test_a_query_that_finds_its_own_document_first_scores_one(checkpoint):
    encoder = build_encoder(str(checkpoint), seed=0, max_length=32)
    same = [Pair(text, text) for text in ("the dog", "a fish in the sea", "his garden")]
    crossed = [Pair(pair.query, other.document) for pair, other in zip(same, same[1:] + same[:1], strict=True)]
    assert grade_pairs(encoder, same).score == 1
    assert grade_pairs(encoder, crossed).score < 1
    assert grade_pairs(encoder, crossed).loss > grade_pairs(encoder, same).loss
    assert [hits[0][0] for hits in search(encoder, [p.document for p in same], [p.query for p in same], 2)] == [0, 1, 2]


def test_an_unfinished_run_goes_on_to_the_same_weights(checkpoint, collection, tmp_path):
    """Stopped by an error in the grade of the second epoch, after the checkpoint of the first."""
    settings = SETTINGS.model_copy(update={"checkpoint_seconds": 0.0, "max_epochs": 2, "batch_size": 32})
    pairs = [group[0] for group in retrieve.training_pairs(Retrieval().load(RETRIEVAL, collection))[0]]
    calls = []

    def breaking(encoder):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return grade_pairs(encoder, pairs[:20])

    def run(name, grade):
        encoder = build_encoder(str(checkpoint), seed=0, max_length=32)
        return fit_pairs(encoder, settings, pairs, grade, seed=0, out=tmp_path / name, show=False)

    with pytest.raises(KeyboardInterrupt):
        run("broken", breaking)
    assert list((tmp_path / "broken").glob("checkpoint-*/complete.json"))
    resumed, whole = (run(name, lambda encoder: grade_pairs(encoder, pairs[:20])) for name in ("broken", "whole"))
    strip = [[(epoch["score"], epoch["loss"]) for epoch in fitted.history] for fitted in (resumed, whole)]
    assert strip[0] == strip[1] and len(strip[0]) == 2
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_nothing_to_train_on_is_refused(tmp_path):
    data = Retrieval().load(RETRIEVAL, make_collection(tmp_path, titles=False))
    with pytest.raises(InputError, match=r"neither qrels/train.tsv nor documents with a title"):
        retrieve.training_pairs(data)


def test_bad_collections_are_refused_at_the_command_line(refused, checkpoint, collection, tmp_path):
    def said(*source):
        return refused(["finetune", str(checkpoint), "--task", "retrieval", *source, "--out", str(tmp_path / "out")])

    where = tmp_path / "mine"
    shutil.copytree(collection, where)
    assert "give --task-data DIR" in said()
    assert "There is no folder" in said("--task-data", str(tmp_path / "none"))
    (where / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td9999\t1\n")
    assert "the document 'd9999' (line 2), and 0 more" in said("--task-data", str(where))
    (where / "queries.jsonl").unlink()
    assert "has no queries.jsonl; found: corpus.jsonl, qrels" in said("--task-data", str(where))
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_said_with_how_to_get_it(refused, checkpoint, collection, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    monkeypatch.setattr(retrieve, "find_spec", lambda name: None if name in retrieve.EXTRA else object())
    arguments = ["--task", "retrieval", "--task-data", str(collection), "--out", str(tmp_path / "out")]
    said = refused(["finetune", str(checkpoint), *arguments])
    assert "Retrieval needs sentence-transformers and bm25s: pip install maskwise[retrieval]" in said


@pytest.mark.parametrize("module", ["retrieve", "bm25"])
def test_the_extra_is_imported_where_it_is_used_only(module):
    """Else every `finetune` would need it, or the mistake would be a traceback."""
    text = (
        Path(retrieve.__file__).with_name(f"{module}.py").read_text(encoding="utf-8").partition("if TYPE_CHECKING")[0]
    )
    imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert imports
    assert not [line for line in imports for name in ("pairs", *retrieve.EXTRA) if name in line]
