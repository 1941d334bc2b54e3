import sys
import unicodedata
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from maskwise.lab.text.clean import _MAYBE_MARKS, MAX_MARKS, clean, count_joiners, count_words, text_parts


@given(st.text(st.characters(exclude_categories=[]), max_size=50))
def test_clean_text_is_nfc_without_controls_and_stays_as_it_is(text):
    cleaned = clean(text)
    assert unicodedata.is_normalized("NFC", cleaned)
    assert all(unicodedata.category(c) not in ("Cc", "Cs") or c in "\t\n" for c in cleaned)
    assert clean(cleaned) == cleaned
    cleaned.encode()  # would raise on half a surrogate pair


@given(st.text(st.characters(categories=["L", "N", "P", "Z"]), max_size=50))
def test_nothing_but_composition_happens_to_ordinary_text(text):
    assert clean(text) == unicodedata.normalize("NFC", text).strip()


def test_controls_that_separate_words_become_a_space_and_others_nothing():
    assert clean("page\x0cbreak, nul\x00byte\r\nline\rline") == "page break, nulbyte\nline\nline"


def test_a_chinese_sentence_has_as_many_words_as_characters():
    assert count_words("我们在河边散步") == 7
    assert count_words("the café 散步 is open") == 6


def longest_run(text):
    """The most combining marks in a row that a text decomposes to."""
    marks = "".join(
        "m" if unicodedata.combining(character) else " " for character in unicodedata.normalize("NFD", text)
    )
    return max(map(len, marks.split()), default=0)


MARKS = st.sampled_from("\u0301\u0323\u0344\u0f73\u0345\u302e\u1d165\U0001d165")
STARTERS = st.sampled_from("aoé—ᾂΰक한中\u034f \n")


@given(st.lists(st.one_of(MARKS.map(lambda mark: mark * 20), MARKS, STARTERS), max_size=12).map("".join))
def test_no_text_keeps_more_than_30_marks_in_a_row_and_none_is_lost(text):
    """Unicode's Stream-Safe Text Format; marks that decompose to two, and letters that bring some, count in full."""
    cleaned = clean(text)
    assert longest_run(cleaned) <= MAX_MARKS
    assert clean(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    if longest_run(text) <= MAX_MARKS:
        assert cleaned == unicodedata.normalize("NFC", text).strip()
    marks = [sorted(c for c in unicodedata.normalize("NFD", x) if unicodedata.combining(c)) for x in (text, cleaned)]
    assert marks[0] == marks[1]


def test_every_combining_mark_of_unicode_is_looked_at():
    """The pattern that finds rows of marks in a text is by what they are not; a mark it missed would not be counted."""
    decomposed = {chr(i): unicodedata.normalize("NFD", chr(i)) for i in range(sys.maxunicode + 1)}
    marks = [character for character, parts in decomposed.items() if unicodedata.combining(parts[0])]
    assert len(marks) > 800
    assert all(_MAYBE_MARKS.fullmatch(mark * 14) for mark in marks)
    assert max(len(decomposed[mark]) for mark in marks) == 2
    others = [character for character in decomposed.keys() - set(marks) if decomposed[character] != character]
    assert max(map(longest_run, others)) == 3


def test_joiners_are_counted_where_there_were_too_many_marks():
    assert count_joiners(clean("o" + 61 * "\u0301")) == 2  # after 30, and after 30 more
    assert count_joiners(clean("\u00f3" + 29 * "\u0301")) == 0  # one mark of 30 is in the letter
    assert count_joiners(clean("\u00f3" + 30 * "\u0301")) == 1


def test_a_row_of_800000_marks_takes_no_half_hour():
    assert count_joiners(clean("o" + 800_000 * "\u0301")) == 26_666


@given(st.text("ab \n\t中", max_size=40), st.integers(1, 10))
def test_parts_of_a_text_are_the_text_and_their_words_its_words(text, length):
    parts = list(text_parts(text, length))
    assert "".join(parts) == text
    assert [word for part in parts for word in part.split()] == text.split()
    assert all(part[0].isspace() and not before[-1].isspace() for before, part in pairwise(parts))
