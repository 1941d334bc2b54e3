import filecmp
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fixtures.corpora import spelled
from maskwise.errors import InputError
from maskwise.lab.text.sources import documents
from maskwise.lab.tokens.describe import describe
from maskwise.lab.tokens.prepare import PrepareSettings, prepare


def body_tokens(rows, tokenizer):
    """The tokens of all rows end to end, without special tokens."""
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    return [token for ids in rows["input_ids"] for token in ids if token not in special]


def expected_tokens(texts, tokenizer):
    return [token for text in texts for token in tokenizer(text, add_special_tokens=False)["input_ids"]]


def same_folders(a, b):
    names = sorted(str(path.relative_to(a)) for path in a.rglob("*") if path.is_file())
    assert len(names) > 5
    assert names == sorted(str(path.relative_to(b)) for path in b.rglob("*") if path.is_file())
    names.remove("manifest.json")  # names the folder and the workers
    return filecmp.cmpfiles(a, b, names, shallow=False)[1:] == ([], [])


@pytest.mark.parametrize("mode", ["concat", "document"])
def test_every_token_of_every_document_is_in_the_blocks_once_and_in_order(make_data, make_corpus, mode):
    corpus = make_corpus(200)
    data = make_data(corpus, mode=mode, valid_share=0)
    texts = [document.text for document in documents([str(corpus)])]
    assert body_tokens(data.train, data.tokenizer) == expected_tokens(texts, data.tokenizer)
    counts = data.manifest["counts"]
    assert counts["tokens"] == {"train": len(body_tokens(data.train, data.tokenizer)), "valid": 0}
    assert counts["words"] == counts["train_words"] == sum(len(text.split()) for text in texts)
    assert counts["blocks"] == {"train": len(data.train), "valid": 0}
    assert max(map(len, data.train["input_ids"])) == 16
    ids = [token for row in data.train["input_ids"] for token in row]
    assert data.token_counts.tolist() == np.bincount(ids, minlength=len(data.tokenizer)).tolist()


def test_a_short_document_is_one_row_as_the_tokenizer_makes_it(make_data, make_corpus):
    corpus = make_corpus(30)
    data = make_data(corpus, mode="document", block=64, valid_share=0)
    encoded = [data.tokenizer(document.text) for document in documents([str(corpus)])]
    assert data.train["input_ids"][:] == [each["input_ids"] for each in encoded]
    words = [[-1 if word is None else word for word in each.word_ids()] for each in encoded]
    assert data.train["word_ids"][:] == words


def test_the_held_out_documents_do_not_depend_on_order_or_company(make_data, tmp_path, make_corpus):
    texts = make_corpus(300).read_text().split("\n\n")
    held_out = []
    for name, order in (("a", texts), ("b", texts[::-1]), ("c", texts[:150])):
        path = tmp_path / f"{name}.txt"
        path.write_text("\n\n".join(order))
        data = make_data(path, out=tmp_path / name, mode="document", block=64, valid_share=0.2)
        held_out.append(set(map(tuple, data.valid["input_ids"])))
        assert not held_out[-1] & set(map(tuple, data.train["input_ids"]))
    assert 30 < len(held_out[0]) < 90
    assert held_out[0] == held_out[1]
    assert held_out[2] < held_out[0]
    data = make_data(tmp_path / "a.txt", out=tmp_path / "d", mode="document", block=64, valid_share=0.2, seed=1)
    assert set(map(tuple, data.valid["input_ids"])) != held_out[0]


def test_held_out_sources_replace_the_share_and_training_text_that_is_in_them_is_dropped(make_data, make_corpus):
    held_out, train = make_corpus(20, "held.txt"), make_corpus(60, "train.txt")  # the first 20 are the same
    data = make_data(train, valid=(str(held_out),), mode="document", block=64)
    assert (len(data.valid), len(data.train)) == (20, 40)
    assert data.manifest["counts"]["documents"]["duplicates"] == 20
    assert [source["split"] for source in data.manifest["sources"]] == ["train", "valid"]


def test_short_documents_and_duplicates_are_dropped_and_counted(make_data, tmp_path, make_corpus):
    corpus = make_corpus(50)
    extra = tmp_path / "extra.txt"
    extra.write_text("too short a text\n\n" + corpus.read_text() + "\n\nCafe\u0301 and the city of the river\n")
    composed = tmp_path / "composed.jsonl"
    composed.write_text(json.dumps({"text": "Café and the city of\0 the river"}))
    data = make_data(corpus, extra, composed, valid_share=0.3)
    found = data.manifest["counts"]["documents"]
    assert found["read"] == 50 + 52 + 1
    assert (found["too_short"], found["duplicates"], found["kept"]) == (1, 51, 51)
    assert found["train"] + found["valid"] == 51
    kept = make_data(corpus, extra, out=tmp_path / "all", keep_duplicates=True, min_words=1, valid_share=0.3)
    assert kept.manifest["counts"]["documents"]["kept"] == 102


def test_the_folder_is_the_same_whatever_the_number_of_workers(make_data, make_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("maskwise.lab.text.corpus.BATCH_CHARACTERS", 2000)
    corpus = make_corpus(200)
    one = make_data(corpus, out=tmp_path / "one")
    two = make_data(corpus, out=tmp_path / "two", workers=2)
    assert same_folders(one.path, two.path)
    monkeypatch.setattr("maskwise.lab.text.corpus.BATCH_CHARACTERS", 10**6)
    assert make_data(corpus, out=tmp_path / "whole").train["input_ids"][:] == one.train["input_ids"][:]


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe"])
def test_a_tokenizer_trained_on_the_way_is_the_folders(make_data, make_corpus, tmp_path, kind):
    corpus = make_corpus(200)
    data = make_data(corpus, train_tokenizer=320, tokenizer_kind=kind, valid_share=0.1)
    assert len(data.tokenizer) <= 320
    assert "girl" in data.tokenizer.decode(data.train[0]["input_ids"])
    assert sorted(os.listdir(data.path)) == [
        "manifest.json",
        "token_counts.npy",
        "tokenizer",
        "train.arrow",
        "valid.arrow",
    ]
    assert same_folders(
        data.path, make_data(corpus, out=tmp_path / "b", train_tokenizer=320, tokenizer_kind=kind, valid_share=0.1).path
    )


def test_the_manifest_tells_what_the_data_were_made_of(make_data, make_corpus, vocabulary_file):
    from maskwise.lab.tokens.tokenizer import open_tokenizer, tokenizer_hash

    corpus = make_corpus(60)
    data = make_data(corpus, valid_share=0.2)
    (source,) = data.manifest["sources"]
    assert source["sha256"] == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert (source["bytes"], source["documents"]) == (corpus.stat().st_size, 60)
    assert data.manifest["tokenizer_sha256"] == tokenizer_hash(open_tokenizer(str(vocabulary_file)))
    assert data.manifest["tokenizer_sha256"] == tokenizer_hash(data.tokenizer)
    assert data.manifest["settings"]["block"] == data.manifest["block"] == 16


def test_what_was_passed_over_is_in_the_manifest_and_said(make_data, make_corpus, tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    make_corpus(60, "texts/a.txt")
    for name in ("._a.txt", "b.csv", ".cache"):
        (texts / name).write_text("rubbish")
    (texts / "again.txt").symlink_to(texts / "a.txt")
    data = make_data(texts, valid_share=0.2)
    assert data.manifest["passed_over"]["train"] == {"hidden": 2, "other_kinds": 1, "repeated": 1}
    assert data.manifest["counts"]["documents"]["read"] == 60
    said = "passed over: 2 hidden files or folders, 1 files of other kinds (.csv), 1 links to what is read already"
    assert said in describe(data)


def test_a_text_of_one_text_a_line_is_one_document_and_that_is_said(make_data, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"the girl saw river {i} of the city\n" for i in range(300)))
    note = f"{path} has no blank line, so its 300 lines are one document. If each line is a text of its own"
    with pytest.raises(InputError, match="no held-out block: none of 1 documents") as error:
        make_data(path)
    assert note in str(error.value)
    data = make_data(path, valid_share=0)
    assert data.manifest["counts"]["documents"]["read"] == 1
    assert note in describe(data)


def test_several_files_without_a_blank_line_are_one_note_and_one_line_is_none(make_data, make_corpus, tmp_path):
    (tmp_path / "texts").mkdir()
    for i in range(3):
        (tmp_path / "texts" / f"{i}.txt").write_text(f"the girl saw the river {i}\nand the city of the sea\n")
    (tmp_path / "texts" / "3.txt").write_text("one line is one document, as it should be\n")
    data = make_data(tmp_path / "texts", valid_share=0)
    assert "so its 2 lines are one document, and so it is with 2 more text files" in describe(data)
    assert "blank line" not in describe(make_data(make_corpus(60), out=tmp_path / "other", valid_share=0.2))


def test_a_trained_tokenizer_says_that_it_makes_text_lower_case_and_keeps_capitals_if_asked(make_data, tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\n\n".join(f"The girl saw Paris and Caf\u00e9 number {i}" for i in range(200)), encoding="utf-8")
    small = make_data(path, train_tokenizer=200, valid_share=0.2)
    assert small.tokenizer.tokenize("Paris Caf\u00e9") == small.tokenizer.tokenize("paris cafe")
    assert "makes text lower-case and strips accents; --cased keeps both" in describe(small)
    cased = make_data(path, train_tokenizer=200, valid_share=0.2, cased=True, out=tmp_path / "cased")
    assert cased.tokenizer.tokenize("Paris Caf\u00e9") == ["Paris", "Caf\u00e9"]
    assert cased.tokenizer.tokenize("paris") != ["paris"]
    assert "lower-case" not in describe(cased)
    again = type(cased.tokenizer).from_pretrained(cased.path / "tokenizer")
    assert again.tokenize("Paris") == ["Paris"]
    byte_level = {"tokenizer_kind": "byte-bpe", "cased": True, "out": tmp_path / "bytes"}
    assert "lower-case" not in describe(make_data(path, train_tokenizer=400, valid_share=0.2, **byte_level))


def test_rows_of_combining_marks_are_broken_up_and_counted(make_data, make_corpus, tmp_path):
    path = tmp_path / "marks.jsonl"
    text = "the girl saw the river o" + 100 * "\u0301"
    path.write_text(json.dumps({"text": text}) + "\n" + json.dumps({"text": "the girl saw the sea caf\u00e9"}))
    data = make_data(path, valid_share=0)
    assert data.manifest["counts"]["joiners"] == 3
    assert "3 rows of more than 30 combining marks were broken up" in describe(data)
    assert make_data(make_corpus(60), out=tmp_path / "b", valid_share=0.2).manifest["counts"]["joiners"] == 0


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe"])
def test_one_long_document_gives_the_blocks_of_its_whole_text(make_data, tmp_path, monkeypatch, kind):
    """It goes through in parts, cut between words, in training the tokenizer too."""
    path = tmp_path / "long.txt"
    path.write_text(" ".join(f"the girl  saw {spelled(i)}\nand the sea," for i in range(3000)))
    settings = {"train_tokenizer": 400, "tokenizer_kind": kind, "valid_share": 0}
    whole = make_data(path, out=tmp_path / "whole", **settings)
    for module in ("text.clean", "tokens.subwords"):
        monkeypatch.setattr(f"maskwise.lab.{module}.PART_CHARACTERS", 500)
    parts = make_data(path, out=tmp_path / "parts", **settings)
    assert parts.train["input_ids"][:] == whole.train["input_ids"][:]
    assert parts.train["word_ids"][:] == whole.train["word_ids"][:]
    assert parts.manifest["counts"] == whole.manifest["counts"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.slow
def test_a_document_of_millions_of_words_fits_into_a_gigabyte(tmp_path):
    path = tmp_path / "long.jsonl"
    words = [f"w{i}" for i in range(5000)]
    path.write_text(json.dumps({"text": " ".join(words[i * 7919 % 5000] for i in range(3_000_000))}))
    script = (
        "from pathlib import Path\nfrom maskwise.lab.tokens.prepare import PrepareSettings, prepare\n"
        f"prepare(PrepareSettings(sources=({str(path)!r},), out=Path({str(tmp_path / 'out')!r}), train_tokenizer=2000, "
        "valid_share=0, workers=1), show=False)\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1 << 20  # kibibytes; all words in a list at once, and their encoding, took twice that


def test_words_of_more_than_16_pieces_are_counted(make_data, tmp_path, make_corpus):
    path = tmp_path / "long.txt"
    path.write_text("zzzzzzzzzzzzzzzz is a word of sixteen pieces, zzzzzzzzzzzzzzzzz of seventeen\n")
    data = make_data(path, valid_share=0)
    assert data.manifest["counts"]["long_words"] == 1


def test_the_package_of_a_docstring_is_kept_as_its_label(make_data, monkeypatch):
    prose = [(f"The cat saw the river {spelled(n)} of the city.", spelled(n)) for n in range(40)]
    monkeypatch.setattr("maskwise.lab.text.sources.python_documents", lambda: iter(prose))
    data = make_data("python-docs", mode="document", block=64, valid_share=0.2)
    assert data.train.column_names == ["input_ids", "word_ids"]
    rows = data.rows("train")
    assert len(rows) > 20
    for ids, label in zip(rows["input_ids"], rows["label"], strict=True):
        assert f" river {label} of " in data.tokenizer.decode(ids)
    assert len(data.manifest["sources"][0]["sha256"]) == 64


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_column_that_is_named_is_kept_as_the_label_of_every_block(make_data, tmp_path, form):
    texts = [f"The cat saw the river {spelled(n)} of the city." for n in range(40)]
    path = tmp_path / f"corpus.{form}"
    if form == "jsonl":
        lines = [json.dumps({"stars": n % 3, "text": text}) for n, text in enumerate(texts)]
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        pq.write_table(pa.table({"stars": [n % 3 for n in range(40)], "text": texts}), path)
    data = make_data(path, mode="document", block=64, valid_share=0.2, label_column="stars")
    rows = [*data.rows("train"), *data.rows("valid")]
    label_of = {data.tokenizer.decode(row["input_ids"], skip_special_tokens=True): row["label"] for row in rows}
    tokenized = (data.tokenizer.decode(data.tokenizer(text)["input_ids"], skip_special_tokens=True) for text in texts)
    assert label_of == {text: str(n % 3) for n, text in enumerate(tokenized)}


def test_blocks_have_no_label_unless_one_is_asked_for(make_data, tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"text": "The cat saw the river of the city.", "label": 1}', encoding="utf-8")
    assert make_data(path, mode="document", valid_share=0).rows("train").column_names == ["input_ids", "word_ids"]


BAD = {
    "labels of blocks": ({"label_column": "stars"}, "--mode document"),
    "block": ({"block": 4}, "--block is 4; it must lie between 8 and 32767"),
    "share": ({"valid_share": 1.0}, "--valid-share is 1.0"),
    "mode": ({"mode": "documents"}, "--mode is 'documents'; choose from concat, document"),
    "workers": ({"workers": 0}, "--workers is 0"),
    "both": ({"train_tokenizer": 300}, "give one of --tokenizer NAME"),
    "extension and tokenizer": ({"extend_tokenizer": "bert", "new_words": 5}, "give one of --tokenizer NAME"),
    "extension without a number": ({"tokenizer": None, "extend_tokenizer": "bert"}, "go together"),
    "number without an extension": ({"new_words": 5}, "go together"),
    "a negative seed": ({"seed": -1}, "--seed is -1; it must lie between 0 and 4,294,967,295"),
    "a huge seed": ({"seed": 10**20}, "--seed is 100000000000000000000"),
    "cased without training": ({"cased": True}, "--cased is about the tokenizer that --train-tokenizer SIZE trains"),
    "kind without training": ({"tokenizer_kind": "byte-bpe"}, "--tokenizer-kind is about the tokenizer"),
    "no word": ({"tokenizer": None, "extend_tokenizer": "bert", "new_words": 0}, "--new-words is 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_setting_names_its_flag(tmp_path, name):
    given, message = BAD[name]
    with pytest.raises(InputError, match=message):
        PrepareSettings(sources=("x.txt",), out=tmp_path, **({"tokenizer": "bert"} | given))
    with pytest.raises(InputError, match="no source was given"):
        PrepareSettings(sources=(), out=tmp_path, tokenizer="bert")


def test_bad_input_leaves_nothing_behind(make_data, make_corpus, tmp_path, vocabulary_file):
    corpus = make_corpus(60)
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "bad.txt").write_bytes(corpus.read_bytes() + b"\xff")
    before = sorted(os.listdir(tmp_path))
    for source, settings, message in (
        ("empty.txt", {}, "no training block: of 0 documents"),
        ("empty.txt", {"train_tokenizer": 300}, "nothing to train a tokenizer on"),
        ("corpus.txt", {"min_words": 100}, "of 60 documents 60 have fewer than 100 words"),
        ("corpus.txt", {"valid_share": 1e-9}, r"no held-out block.*\n.*raise --valid-share"),
        ("bad.txt", {}, "bad.txt is not UTF-8: byte"),
        ("none.txt", {}, "no such source"),
        ("corpus.txt", {"train_tokenizer": 6}, "has no room"),
    ):
        with pytest.raises(InputError, match=message):
            make_data(tmp_path / source, **settings)
        assert sorted(os.listdir(tmp_path)) == before


def test_a_second_run_into_the_same_folder_is_refused_and_the_first_stays(make_data, make_corpus):
    data = make_data(make_corpus(60))
    with pytest.raises(InputError, match=r"is a data folder already.\nGive another --out"):
        make_data(make_corpus(60))
    assert len(data.train)


KILLED = """
import sys
from pathlib import Path
from maskwise.lab.tokens.prepare import PrepareSettings, prepare
import maskwise.lab.text.corpus
maskwise.lab.text.corpus.BATCH_CHARACTERS = 3000
if __name__ == "__main__":
    sources, out, tokenizer = sys.argv[1:]
    prepare(PrepareSettings(sources=(sources,), out=Path(out), tokenizer=tokenizer, workers=1), show=False)
"""


def test_a_killed_run_leaves_no_data_folder_and_the_next_one_cleans_up(
    make_data, make_corpus, tmp_path, vocabulary_file
):
    corpus = make_corpus(60_000)
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    out = tmp_path / "out" / "data"
    process = subprocess.Popen([sys.executable, str(script), str(corpus), str(out), str(vocabulary_file)])
    deadline = time.monotonic() + 60
    while not list(out.parent.glob(".data.unfinished-*/train.arrow")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(out.parent.glob(".data.unfinished-*"))) == 1
    assert not out.exists()
    make_data(make_corpus(60, "small.txt"), out=out)
    assert sorted(os.listdir(out.parent)) == ["data", "data.record.json"]


@pytest.mark.data
def test_wikipedia_blocks_hold_the_tokens_that_the_tokenizer_makes_of_it(data_root, tmp_path):
    corpus = data_root / "wiki_simple" / "valid.txt.xz"
    vocabulary = data_root / "vocab" / "bert-base-uncased-vocab.txt"
    data = prepare(
        PrepareSettings(
            sources=(str(corpus),), out=tmp_path / "data", tokenizer=str(vocabulary), min_words=1, valid_share=0
        ),
        show=False,
    )
    texts = [document.text for document in documents([str(corpus)])]
    assert len(texts) == 522
    assert body_tokens(data.train, data.tokenizer) == expected_tokens(texts, data.tokenizer)
