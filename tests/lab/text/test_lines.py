import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.lab.text import lines as module
from maskwise.lab.text.lines import chunks, lines

PATH = Path("text.jsonl")


@given(
    st.lists(st.sampled_from([b"one", b"two words", b"", b" ", b"\t", b"\xc3\xa9"])), st.sampled_from([b"\n", b"\r\n"])
)
def test_the_lines_are_those_that_are_not_blank_with_their_numbers_and_places(parts, end):
    data = end.join(parts)
    expected = [(i, line.rstrip(b"\r")) for i, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    found = list(lines(io.BytesIO(data), PATH))
    assert [(line.number, line.data) for line in found] == expected
    assert all(data[line.offset :].startswith(line.data) for line in found)


@given(st.lists(st.integers(0, 40), min_size=1))
def test_chunks_are_whole_lines_and_nothing_is_lost(lengths):
    data = b"".join(b"x" * length + b"\n" for length in lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "READ_BYTES", 16)
        found = list(chunks(io.BytesIO(data), PATH))
        numbers = [line.number for line in lines(io.BytesIO(data), PATH)]
    assert b"".join(chunk.data for chunk in found) == data
    assert all(chunk.data.endswith(b"\n") for chunk in found)
    assert numbers == [i for i, length in enumerate(lengths, start=1) if length]


def test_a_byte_order_mark_is_no_part_of_the_first_line_and_counts_as_a_place():
    (first, second) = lines(io.BytesIO(b"\xef\xbb\xbfone\ntwo"), PATH)
    assert (first.data, first.offset, second.offset) == (b"one", 3, 7)


def test_a_line_beyond_the_limit_is_refused_before_the_rest_of_it_is_read(monkeypatch):
    monkeypatch.setattr(module, "READ_BYTES", 10)
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 100)
    stream = io.BytesIO(b"x" * 10_000)
    with pytest.raises(InputError, match="has a line of more than 0 MiB, which goes on at byte 10"):
        list(lines(stream, PATH))
    assert stream.tell() < 200
