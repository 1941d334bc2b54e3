import bz2
import gzip
import json
import lzma
import re

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.lab.text.sources import documents, find_sources

COMPRESS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
TEXTS = ["one paragraph\nand another", "a second document"]


def parquet_bytes(columns):
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


ENCODED = {
    ".txt": "\n\n\n".join(TEXTS).encode(),
    ".jsonl": "\n".join(json.dumps({"id": 1, "text": text}) for text in TEXTS).encode(),
    ".parquet": parquet_bytes({"id": [1, 2], "text": TEXTS}),
}


def texts_of(*sources):
    return [document.text.strip() for document in documents([str(source) for source in sources])]


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("form", ENCODED)
def test_every_format_gives_the_same_documents_under_every_compression(tmp_path, form, compression):
    path = tmp_path / f"corpus{form}{compression}"
    path.write_bytes(COMPRESS[compression](ENCODED[form]))
    assert texts_of(path) == TEXTS


@pytest.mark.parametrize("compression", COMPRESS)
def test_the_hash_is_that_of_the_stored_file(tmp_path, compression):
    import hashlib

    path = tmp_path / f"corpus.txt{compression}"
    path.write_bytes(COMPRESS[compression](ENCODED[".txt"] * 1000))
    (source,) = find_sources([str(path)])
    assert len(list(source.documents())) == source.num_documents > 1000
    assert source.size == path.stat().st_size
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@given(st.lists(st.lists(st.text("ab é\t中", min_size=1).filter(str.strip), min_size=1), min_size=1), st.data())
def test_blank_lines_and_only_blank_lines_end_documents(tmp_path_factory, paragraphs, data):
    gaps = [data.draw(st.sampled_from(["\n", "\n\n", " \t\n", "\r\n"])) for _ in paragraphs]
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_bytes(
        "".join("\n".join(lines) + "\n" + gap for lines, gap in zip(paragraphs, gaps, strict=True)).encode()
    )
    assert texts_of(path) == ["\n".join(lines).strip() for lines in paragraphs]


def test_folders_and_globs_are_read_in_sorted_order_and_sources_in_the_order_given(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.txt", "a.txt", "sub/c.txt.gz"):
        data = f"text of {name}".encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    (tmp_path / "README.md").write_text("not a source")
    assert texts_of(tmp_path) == ["text of a.txt", "text of b.txt", "text of sub/c.txt.gz"]
    assert texts_of(tmp_path / "*.txt") == ["text of a.txt", "text of b.txt"]
    assert texts_of(tmp_path / "b.txt", tmp_path / "a.txt") == ["text of b.txt", "text of a.txt"]


def test_a_hub_data_set_is_streamed_from_its_train_split(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_bytes(ENCODED[".jsonl"])
    assert texts_of(f"hub:{tmp_path / 'set'}") == TEXTS


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"\xef\xbb\xbf" + ENCODED[".txt"])
    assert texts_of(path) == TEXTS


ZST = COMPRESS[".zst"](ENCODED[".txt"] * 1000)
BAD_FILES = {
    "latin1.txt": (b"first\n\nsecond \xe9t\xe9\n", r"latin1.txt is not UTF-8: byte 14 is 0xe9"),
    "marked.txt": (b"\xef\xbb\xbfab\xff", r"byte 5 is 0xff"),
    "latin1.jsonl": (b'{"text": "ok"}\n{"text": "\xe9"}\n', r"latin1.jsonl is not UTF-8: byte 25 is 0xe9"),
    "cut.txt.xz": (lzma.compress(ENCODED[".txt"] * 9)[:-20], r"cut.txt.xz is cut off"),
    "cut.txt.gz": (gzip.compress(ENCODED[".txt"] * 9)[:-9], r"cut.txt.gz is cut off"),
    "cut.txt.bz2": (bz2.compress(ENCODED[".txt"] * 9)[:-9], r"cut.txt.bz2 is cut off"),
    "cut.txt.zst": (ZST[:-9], r"cut.txt.zst is cut off"),
    "wrong.txt.xz": (b"this is no xz file at all", r"wrong.txt.xz does not decompress as .xz"),
    "wrong.parquet": (b"this is no parquet file", r"wrong.parquet is not a readable parquet file"),
    "body.jsonl": (b'{"body": "x", "id": 3}\n', r"body.jsonl, line 1 has no column 'text'; found: 'body', 'id'"),
    "body.parquet": (parquet_bytes({"body": ["x"]}), r"body.parquet has no column 'text'; found: 'body'"),
    "number.jsonl": (b'{"text": 3}\n', r"line 1: the column 'text' holds 3, not a string"),
    "broken.jsonl": (b'{"text": "x"}\n{"text": \n', r"broken.jsonl, line 2 is not JSON"),
    "list.jsonl": (b"[1]\n", r"line 1 holds a list"),
    "table.csv": (b"a,b\n", r"table.csv has the unknown extension '.csv'"),
    "noextension": (b"a", r"unknown extension '\(none\)'"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_read_is_named_with_what_was_found(tmp_path, name):
    data, message = BAD_FILES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        texts_of(tmp_path / name)
    assert str(caught.value).count("\n") < 3


def test_a_missing_source_names_the_nearest_file(tmp_path):
    (tmp_path / "corpus.txt").write_text("x")
    with pytest.raises(InputError, match=r"no such source.*corpsu.txt.*Did you mean '.*corpus.txt'"):
        texts_of(tmp_path / "corpsu.txt")
    with pytest.raises(InputError, match=r"Did you mean 'python-docs'"):
        texts_of("python_docs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no .txt"):
        texts_of(tmp_path / "empty")


def test_a_file_without_blank_lines_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("maskwise.lab.text.sources.MAX_DOCUMENT_BYTES", 100)
    (tmp_path / "lines.txt").write_text("a line of text\n" * 20)
    with pytest.raises(InputError, match="no blank line in the"):
        texts_of(tmp_path / "lines.txt")


@pytest.mark.parametrize("form", [".txt", ".jsonl", ".parquet"])
def test_documents_are_cleaned_by_whoever_reads_them(tmp_path, form):
    """Half a surrogate pair, as cut tweets have it, would end every command in the tokenizer."""
    raw, cleaned = "so good\x00 Cafe\u0301\r\n", "so good Caf\u00e9"
    path = tmp_path / f"corpus{form}"
    content = {
        ".txt": raw.encode(),
        ".jsonl": b'{"text": "so good\\u0000 Cafe\\u0301 \\ud83d\\r\\n"}',
        ".parquet": parquet_bytes({"text": [raw]}),
    }
    path.write_bytes(content[form])
    assert [document.text for document in documents([str(path)])] == [cleaned]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_ends_lines_and_documents(tmp_path, end):
    (tmp_path / "corpus.txt").write_bytes(end.join(["one", "two", "", " ", "three", "", ""]).encode())
    assert texts_of(tmp_path / "corpus.txt") == ["one\ntwo", "three"]


@given(st.lists(st.sampled_from(["\n", " \n", "a", "b c", "\t", "\n\n", "é"]), max_size=40).map("".join))
def test_documents_do_not_depend_on_how_much_is_read_at_a_time(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text(text, encoding="utf-8", newline="")
    expected = [part.strip() for part in re.split(r"\n[ \t]*\n", f"\n{text}") if part.strip()]
    for size in (1, 3, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("maskwise.lab.text.lines.READ_BYTES", size)
            assert texts_of(path) == expected


def test_a_text_of_line_ends_alone_has_no_document(tmp_path):
    (tmp_path / "ends.txt").write_bytes(b"\n" * (1 << 24))
    (tmp_path / "ends.jsonl").write_bytes(b"\n" * (1 << 24))
    assert texts_of(tmp_path) == []


def test_a_text_in_parquet_that_is_longer_than_a_document_may_be_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("maskwise.lab.text.sources.MAX_DOCUMENT_BYTES", 100)
    (tmp_path / "long.parquet").write_bytes(parquet_bytes({"text": ["short", "a long text " * 20]}))
    with pytest.raises(InputError, match=r"long\.parquet, row 2: the text has 240 characters; at most 100 are read"):
        texts_of(tmp_path)


def test_whatever_a_data_set_of_the_hub_raises_is_one_message(monkeypatch):
    import datasets

    def load_dataset(*names, **options):
        yield {"text": "a document"}
        raise RuntimeError("the connection is closed\nand more lines")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(InputError, match=r"cannot read the data set 'owner/x' .*: the connection is closed$"):
        texts_of("hub:owner/x")


@pytest.mark.parametrize("value", ["null", "NaN", "[1]", '{"a": 1}', "true", "1.5"])
def test_a_text_that_is_none_is_refused_by_its_line(value, tmp_path):
    (tmp_path / "a.jsonl").write_text(f'{{"text": "fine"}}\n{{"text": {value}}}\n')
    with pytest.raises(InputError, match=r"a\.jsonl, line 2: the column 'text' holds .*, not a string"):
        texts_of(tmp_path)
