"""`maskwise prepare` with every kind of bad input, as a user meets it."""

from __future__ import annotations

import lzma
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

WRITTEN = {
    "none.txt": None,
    "empty.txt": b"\n\n",
    "latin.txt": "A caf\u00e9 by the river.\n".encode("latin-1"),
    "cut.txt.xz": lzma.compress(b"the girl saw the sea\n" * 1000)[:60],
    "plain.txt.xz": b"the girl saw the sea\n",
    "body.jsonl": b'{"body": "the girl saw the sea"}\n',
    "broken.jsonl": b'{"text": "the girl saw the sea"}\n{"text": \n',
    "number.jsonl": b'{"text": 5}\n',
    "cut.parquet": b"PAR1 and no more",
    "letter.doc": b"the girl saw the sea\n",
}
SAID = {
    "none.txt": "no such source",
    "empty.txt": "no training block: of 0 documents",
    "latin.txt": "latin.txt is not UTF-8: byte 5 is 0xe9",
    "cut.txt.xz": "cut.txt.xz is cut off",
    "plain.txt.xz": "plain.txt.xz does not decompress",
    "body.jsonl": "body.jsonl, line 1 has no column 'text'; found: 'body'",
    "broken.jsonl": "broken.jsonl, line 2 is not JSON",
    "number.jsonl": "the column 'text' holds 5",
    "cut.parquet": "not a readable parquet file",
    "letter.doc": "unknown extension '.doc'",
}


@pytest.fixture
def prepare_refused(refused, tmp_path, vocabulary_file):
    """Runs prepare into tmp_path/"data"; returns what it said, after a look that nothing was left."""

    def run(source: Path, *more: str, tokenizer: Path | None = vocabulary_file) -> str:
        given = ["--tokenizer", str(tokenizer)] if tokenizer else []
        before = sorted(os.listdir(tmp_path))
        said = refused(["prepare", str(source), "--out", str(tmp_path / "data"), *given, "--workers", "1", *more])
        assert sorted(os.listdir(tmp_path)) == before
        assert len(said[said.index("Error: ") :].splitlines()) <= 3
        return said

    return run


@pytest.mark.parametrize("name", SAID)
def test_a_source_that_cannot_be_read_is_named_with_what_is_wrong(name, prepare_refused, tmp_path):
    if (content := WRITTEN[name]) is not None:
        (tmp_path / name).write_bytes(content)
    assert SAID[name] in prepare_refused(tmp_path / name)


def test_a_parquet_file_without_text_and_a_folder_without_files_are_named(prepare_refused, tmp_path):
    pq.write_table(pa.table({"body": ["the girl"], "id": [1]}), tmp_path / "body.parquet")
    assert "has no column 'text'; found: 'body', 'id'" in prepare_refused(tmp_path / "body.parquet")
    (tmp_path / "folder").mkdir()
    assert "holds no .txt" in prepare_refused(tmp_path / "folder")


def test_a_label_column_that_cannot_be_read_is_named(prepare_refused, make_corpus, tmp_path):
    labelled = ["--mode", "document", "--label-column", "stars"]
    assert "is plain text, which has no column 'stars'" in prepare_refused(make_corpus(60), *labelled)
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"text": "the girl saw the sea", "label": 1}', encoding="utf-8")
    assert "has no column 'stars'; found: 'text', 'label'.\nThe text is read from the column 'text'" in prepare_refused(
        path, *labelled
    )
    for value in ("null", "NaN", '""', '" "'):
        path.write_text(f'{{"text": "the girl saw the sea", "stars": {value}}}', encoding="utf-8")
        assert "line 1 has no label: the column 'stars' is empty" in prepare_refused(path, *labelled)
    path.write_text('{"text": "the girl saw the sea", "stars": [1]}', encoding="utf-8")
    assert "line 1: the label is [1], a list" in prepare_refused(path, *labelled)


SETTINGS = {
    "too few words": (["--min-words", "100"], "60 have fewer than 100 words"),
    "nothing held out": (["--valid-share", "1e-9"], "no held-out block"),
    "no such held-out text": (["--valid", "none.txt"], "no such source: 'none.txt'"),
    "block": (["--block", "4"], "--block is 4"),
    "mode": (["--mode", "documents"], "choose from concat, document"),
    "share": (["--valid-share", "1"], "--valid-share is 1.0"),
    "two tokenizers": (["--train-tokenizer", "300"], "give one of"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_cannot_work_is_named(name, prepare_refused, make_corpus):
    arguments, words = SETTINGS[name]
    assert words in prepare_refused(make_corpus(60), *arguments)


def test_a_tokenizer_that_cannot_work_is_named(prepare_refused, make_corpus, tmp_path, tiny_tokenizer):
    corpus = make_corpus(60)
    assert "give one of" in prepare_refused(corpus, tokenizer=None)
    assert "There is no checkpoint" in prepare_refused(corpus, tokenizer=tmp_path / "nowhere")
    tiny_tokenizer._tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "bare").mkdir()
    (tmp_path / "tokenizer.json").rename(tmp_path / "bare" / "tokenizer.json")
    (tmp_path / "bare" / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "cls_token": "[CLS]", "sep_token": "[SEP]"}'
    )
    assert "no mask token" in prepare_refused(corpus, tokenizer=tmp_path / "bare")


def test_a_full_disk_is_said_and_leaves_what_was_there(prepare_refused, make_corpus, full_disk):
    corpus = make_corpus(600)
    before = corpus.read_bytes()
    with full_disk(10_000):
        assert "the disk is full" in prepare_refused(corpus)
    assert corpus.read_bytes() == before
