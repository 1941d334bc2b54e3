"""Text that is not UTF-8: the message names the encoding, and its command gives the text."""

import re
import subprocess

import pytest

from maskwise.errors import InputError
from maskwise.lab.text.encodings import check_start, decode
from maskwise.lab.text.sources import documents

WESTERN = "It\u2019s a caf\u00e9 \u2013 \u201cfine\u201d \u2026 at 5\u20ac."
PAGES = ["First page of the book.", "Zweite Seite, \u00fcber alles."]


def refusal(path):
    with pytest.raises(InputError) as error:
        list(documents([str(path)]))
    return str(error.value)


def converted(path, message):
    encoding = re.search(r"iconv -f (\S+) -t utf-8", message)[1]
    return subprocess.run(["iconv", "-f", encoding, "-t", "utf-8", str(path)], capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"), ("utf-32-le", b"\xff\xfe\0\0"),
        ("utf-32-be", b"\0\0\xfe\xff"), ("utf-16-le", b""), ("utf-16-be", b""), ("utf-32-le", b""), ("utf-32-be", b""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["pages.txt", "pages.jsonl"])
def test_utf_16_and_32_are_refused_and_their_conversion_gives_the_pages(encoding, mark, name, tmp_path):
    """Without a mark ASCII in UTF-16 is valid UTF-8, with a zero byte behind each letter and no blank line."""
    text = "\n\n".join(PAGES) if name.endswith("txt") else "".join(f'{{"text": "{page}"}}\n' for page in PAGES)
    path = tmp_path / name
    path.write_bytes(mark + text.encode(encoding))
    message = refusal(path)
    assert f"{path} is not UTF-8 but UTF-" in message
    new = tmp_path / f"new-{name}"
    new.write_bytes(converted(path, message))
    assert [document.text for document in documents([str(new)])] == PAGES


@pytest.mark.parametrize("name", ["old.txt", "old.jsonl"])
def test_windows_1252_is_refused_and_its_conversion_keeps_quotation_marks(name, tmp_path):
    path = tmp_path / name
    text = f'{{"text": "{WESTERN}"}}\n' if name.endswith("jsonl") else WESTERN
    path.write_bytes(text.encode("cp1252"))
    message = refusal(path)
    assert "is not UTF-8: byte" in message and "is 0x92" in message
    new = tmp_path / f"new-{name}"
    new.write_bytes(converted(path, message))
    assert [document.text for document in documents([str(new)])] == [WESTERN]


def test_what_is_not_windows_1252_either_is_not_called_so():
    with pytest.raises(InputError, match="iconv -f ENCODING"):
        decode("ПРИВЕТ".encode("koi8-r") + b"\x81", "x.txt", 0)
    with pytest.raises(InputError, match="iconv -f ENCODING"):
        decode(b"\x01\x02\xff", "x.txt", 0)


def test_binary_data_is_no_text():
    with pytest.raises(InputError, match="x is not text: 4,096 of its first 4,096 bytes are zero"):
        check_start(bytes(9000), "x")


@pytest.mark.parametrize("start", [b"", b"a", b"a\0b" + b"c" * 20, "日本語の\0".encode(), b"\xef\xbb\xbfabc"])
def test_utf_8_passes_with_a_few_zero_bytes_too(start):
    check_start(start, "x")
