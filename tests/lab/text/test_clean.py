import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from maskwise.lab.text.clean import clean, count_words


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
