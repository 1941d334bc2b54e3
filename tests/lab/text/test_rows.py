"""Rows of every kind of table file: the same values from each, and the place of whatever cannot be read."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.lab.text import rows as module
from maskwise.lab.text.compressed import open_source
from maskwise.lab.text.rows import FileRow, csv_rows, json_rows, parquet_rows, require_columns

COLUMNS = ["text", "label"]


def read_csv(data, columns=COLUMNS):
    return list(csv_rows(io.BytesIO(data), Path("train.csv"), columns))


def read_parquet(path, columns=COLUMNS):
    with open_source(path) as (stream, _):
        return list(parquet_rows(stream, path, columns))


@given(st.lists(st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\0\r"))] * 2), max_size=6))
def test_a_csv_that_was_written_by_python_or_pandas_is_read_as_it_was(values):
    written = io.StringIO(newline="")
    csv.writer(written).writerows([COLUMNS, *values])
    assert [tuple(row.values.values()) for row in read_csv(written.getvalue().encode())] == values
    frame = pandas.DataFrame(values, columns=COLUMNS).to_csv(index=False)
    assert [tuple(row.values.values()) for row in read_csv(frame.encode())] == values


GOOD = b'text,label\nbad film,0\n"good, as ever",1\n"two\nlines",1\nthe "best" film,1\n"say ""x""",0\n'


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_quoted_commas_and_line_breaks_and_quotation_marks_inside_a_field_are_kept(end, mark):
    rows = read_csv(mark + GOOD.replace(b"\n", end))
    assert [row.values["text"].replace("\r\n", "\n").replace("\r", "\n") for row in rows] == [
        "bad film", "good, as ever", "two\nlines", 'the "best" film', 'say "x"',
    ]  # fmt: skip
    assert [row.place for row in rows] == [2, 3, 4, 6, 7]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b"great film, loved it,1\n", "line 3 has 3 fields, and the header 2"),
        (b"great film\n", "line 3 has 1 fields, and the header 2"),
        (b'"she said it was fine,1\nlast film,0\n', "line 3 is not CSV: unexpected end of data"),
        (b'"she said,1\n"good, as ever",1\n', "line 3 is not CSV: ',' expected after '\"'"),
        (b'"fine" film,1\n', "line 3 is not CSV: ',' expected after '\"'"),
        (b"caf\xe9,1\n", "train.csv is not UTF-8: byte 25 is 0xe9"),
    ],
)
@pytest.mark.parametrize("after", [b"", b"good film,1\n"])
def test_a_row_that_shifts_or_swallows_is_refused_with_its_line(row, said, after):
    if after and b"said it was fine" in row:
        said = "line 3 is not CSV"
    with pytest.raises(InputError) as error:
        read_csv(b"text,label\nbad film,0\n" + row + after)
    assert said in str(error.value)


def test_a_field_of_a_million_letters_is_read_and_the_modules_limit_is_left_as_it_was():
    limit = csv.field_size_limit()
    long = "x" * 1_000_000
    assert read_csv(f"text,label\n{long},1\n".encode()) == [FileRow(2, {"text": long, "label": "1"})]
    assert csv.field_size_limit() == limit


def test_a_field_without_an_end_is_refused_at_the_limit(monkeypatch):
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 1000)
    with pytest.raises(InputError, match="line 2 is not CSV: field larger than field limit"):
        read_csv(b'text,label\n"' + b"some words\n" * 1000)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "has no column 'text'; found: none"),
        (b"\n\n", "has no column 'text'; found: none"),
        (b"text;label\na;1\n", "has no column 'text'; found: 'text;label'"),
        (b"text, label\na,1\n", "has no column 'label'; found: 'text', ' label'"),
        (b"text,label,label\na,1,2\n", "has 2 columns 'label'"),
    ],
)
def test_a_header_without_the_columns_or_with_one_of_them_twice_is_refused(data, said):
    with pytest.raises(InputError, match=said):
        read_csv(data)


def test_blank_lines_of_a_csv_are_passed_over():
    assert read_csv(b"\ntext,label\n\na,1\n\n") == [FileRow(4, {"text": "a", "label": "1"})]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"[1]", "line 3 holds a list, not an object with 'text'"),
        (b"null", "line 3 holds a NoneType"),
        (b'{"text": "a"}', "line 3 has no column 'label'; found: 'text'"),
        (b'{"text": "a", ', "line 3 is not JSON"),
        (b'{"text": "a"} {"text": "b"}', "line 3 is not JSON: Extra data"),
        (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "line 3 is JSON nested too deeply"),
        (b'{"text": ' + b"9" * 5000 + b"}", "line 3 is JSON that cannot be read"),
        (b'{"text": "\xe9"}', "is not UTF-8: byte 37 is 0xe9"),
    ],
)
def test_a_line_that_is_no_row_is_refused_by_its_number(line, said):
    data = b'{"text": "a", "label": 1}\n\n' + line + b"\n"
    with pytest.raises(InputError, match=said) as error:
        list(json_rows(io.BytesIO(data), Path("train.jsonl"), COLUMNS))
    assert len(str(error.value)) < 400


VALUES = {"text": [f"row {i} has words in it" for i in range(3000)], "label": [i % 3 for i in range(3000)]}


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
def test_parquet_gives_its_rows_in_order(compression, tmp_path):
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table(VALUES), path, compression=compression, row_group_size=1000)
    rows = read_parquet(path)
    assert [row.values["text"] for row in rows] == VALUES["text"]
    assert [row.place for row in rows] == list(range(1, 3001))


def damage(data, begin, end):
    return data[:begin] + bytes(byte ^ 0x55 for byte in data[begin:end]) + data[end:]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: damage(data, 4, 60),
        lambda data: damage(data, 2000, 9000),
        lambda data: damage(data, len(data) - 60, len(data) - 20),
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"PAR1",
        lambda data: data[:-4] + b"\0\0\0\0",
    ],
    ids=["page header", "text", "footer", "half", "empty", "mark alone", "last mark"],
)
def test_a_damaged_parquet_file_is_refused_by_its_name(change, tmp_path):
    path = tmp_path / "shard-7.parquet"
    pq.write_table(pa.table(VALUES), path, use_dictionary=False)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=r"shard-7\.parquet"):
        read_parquet(path)


def test_text_in_parquet_that_is_not_utf8_is_refused_by_its_row(tmp_path):
    bad = pa.Array.from_buffers(pa.string(), 1, pa.array([b"caf\xe9 au lait"]).buffers())
    texts = pa.chunked_array([pa.array(["fine"] * 20), bad])
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"text": texts, "label": [0] * 21}), path)
    with pytest.raises(InputError, match=r"train\.parquet, row 21 is not UTF-8: byte 3 of a text is 0xe9"):
        read_parquet(path)


def test_a_shard_of_another_schema_is_refused_by_its_name(tmp_path):
    path = tmp_path / "shard-1.parquet"
    pq.write_table(pa.table({"text": ["a"], "stars": [1]}), path)
    with pytest.raises(InputError, match=r"shard-1\.parquet has no column 'label'; found: 'text', 'stars'"):
        read_parquet(path)


def make_bomb(path):
    """Every row refers to the one text of a dictionary: 1.6 kB of file, 60 GB of text."""
    big, num_rows = "word and more " * (1 << 20), 4096
    text = pa.DictionaryArray.from_arrays(pa.array([0] * num_rows, pa.int32()), pa.array([big]))
    pq.write_table(
        pa.table({"text": text}), path, compression="zstd", store_schema=False, dictionary_pagesize_limit=1 << 30
    )


def test_a_parquet_bomb_is_refused_at_the_limit_that_is_named(tmp_path):
    path = tmp_path / "bomb.parquet"
    make_bomb(path)
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match="beyond the limit of 200 times"):
        read_parquet(path, ["text"])


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_a_parquet_bomb_takes_a_few_hundred_megabytes_at_most(tmp_path):
    path = tmp_path / "bomb.parquet"
    make_bomb(path)
    script = (
        "from maskwise.errors import InputError\nfrom maskwise.lab.text.sources import documents\n"
        f"try: print(len(list(documents([{str(path)!r}]))))\nexcept InputError as error: print(error)\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "beyond the limit of 200 times" in done.stdout
    assert int(done.stdout.splitlines()[-1]) < 900 << 10


def test_require_columns_names_what_is_missing_and_what_is_there_twice():
    with pytest.raises(InputError, match=r"x has no column 'c'; found: 'a', 'b'.\nName"):
        require_columns("x", ["a", "c"], ["a", "b"])
    with pytest.raises(InputError, match="x has 2 columns 'a'"):
        require_columns("x", ["a"], ["a", "b", "a"])
    require_columns("x", ["a"], json.loads('{"a": 1, "b": 2}'))
