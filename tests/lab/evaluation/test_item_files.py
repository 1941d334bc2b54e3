"""Every layout of pairs, as small files; and what is refused, with its file and line."""

import gzip
import json
import lzma

import pytest

from maskwise.errors import InputError
from maskwise.lab.evaluation.item_files import read_item_sets

GOOD, BAD = "the cats are old .", "the cats is old ."


def write_jsonl(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pair(good=GOOD, bad=BAD, **more):
    return {"sentence_good": good, "sentence_bad": bad} | more


def only_set(*arguments, **options):
    (made,) = read_item_sets(*arguments, **options).sets
    return made


def test_blimp_is_read_by_its_uid(tmp_path):
    write_jsonl(tmp_path / "blimp" / "b.jsonl", pair(UID="agreement", field="syntax"), pair(UID="agreement"))
    write_jsonl(tmp_path / "blimp" / "a.jsonl", pair("one .", "two .", UID="island"))
    made = only_set([tmp_path / "blimp"])
    assert (made.name, made.layout, len(made)) == ("blimp", "pairs", 3)
    assert list(made.paradigms) == ["island", "agreement"]
    assert made.paradigms["agreement"][1].texts == (GOOD, BAD)
    assert made.paradigms["agreement"][1].scored_from == (0, 0)


def test_babylm_supplements_have_no_uid_and_go_by_their_files(tmp_path):
    write_jsonl(tmp_path / "supplement_fast" / "hypernym.jsonl", pair("A: Who?\nB: We.", "A: Who?\nB: Tea."))
    made = only_set([tmp_path / "supplement_fast"])
    assert list(made.paradigms) == ["hypernym"]
    assert made.paradigms["hypernym"][0].texts[0] == "A: Who?\nB: We."


def test_zorro_has_the_bad_sentence_first(tmp_path):
    folder = tmp_path / "zorro" / "sentences" / "babyberta"
    folder.mkdir(parents=True)
    (folder / "case-pronoun.txt").write_text(f"{BAD}\n{GOOD}\nhim ran .\nhe ran .\n", encoding="utf-8")
    (tmp_path / "zorro" / "LICENSE").write_text("MIT", encoding="utf-8")
    (tmp_path / "zorro" / "README.txt").write_text("one line\n", encoding="utf-8")
    made = only_set([tmp_path / "zorro"])
    assert (made.name, list(made.paradigms)) == ("zorro", ["case-pronoun"])
    assert [item.texts for item in made.paradigms["case-pronoun"]] == [(GOOD, BAD), ("he ran .", "him ran .")]


def test_entity_tracking_scores_the_option_after_its_prefix(tmp_path):
    row = {"input_prefix": "Box 0 contains ", "options": ["the cat.", "nothing.", "a tree."], "numops": 2}
    write_jsonl(tmp_path / "entity_tracking_fast" / "regular.jsonl", row)
    made = only_set([tmp_path / "entity_tracking_fast"])
    (item,) = made.paradigms["regular_2_ops"]
    assert item.texts == ("Box 0 contains the cat.", "Box 0 contains nothing.", "Box 0 contains a tree.")
    assert item.scored_from == (15, 15, 15)
    assert item.completions == ("the cat.", "nothing.", "a tree.")


def test_ewok_scores_the_target_and_comps_the_property(tmp_path):
    ewok = {"Context1": "The ball is near.", "Target1": "It is close.", "Target2": "It is far.", "Domain": "spatial"}
    comps = {"prefix_acceptable": "A dax", "prefix_unacceptable": "A wug", "property_phrase": "can fly."}
    write_jsonl(tmp_path / "ewok_fast" / "x.jsonl", ewok)
    write_jsonl(tmp_path / "comps" / "comps_wugs_dist-before.jsonl", comps)
    first, second = read_item_sets([tmp_path / "ewok_fast", tmp_path / "comps"]).sets
    (item,) = first.paradigms["spatial"]
    assert item.texts == ("The ball is near. It is close.", "The ball is near. It is far.")
    assert (item.scored_from, item.completions) == ((17, 17), (" It is close.", " It is far."))
    (item,) = second.paradigms["wugs_dist_before"]
    assert (item.texts, item.scored_from) == (("A dax can fly.", "A wug can fly."), (6, 6))


def test_two_columns_of_ones_own_are_named(tmp_path):
    path = write_jsonl(tmp_path / "mine.jsonl", {"right": GOOD, "wrong": BAD, "n": 1})
    made = only_set([path], columns=("right", "wrong"))
    assert (made.name, made.paradigms["mine"][0].texts) == ("mine", (GOOD, BAD))


@pytest.mark.parametrize(("opener", "ending"), [(gzip.open, ".gz"), (lzma.open, ".xz")])
def test_compressed_files_are_read(tmp_path, opener, ending):
    with opener(tmp_path / f"a.jsonl{ending}", "wt") as file:
        file.write(json.dumps(pair()) + "\n")
    assert only_set([tmp_path]).paradigms["a"][0].texts == (GOOD, BAD)


def test_a_folder_of_several_sets_gives_each_its_path_and_names_what_it_passes_over(tmp_path):
    write_jsonl(tmp_path / "fast" / "blimp_fast" / "a.jsonl", pair())
    write_jsonl(tmp_path / "fast" / "supplement_fast" / "b.jsonl", pair())
    write_jsonl(tmp_path / "fast" / "wug_past_tense" / "c.jsonl", {"sentences": "a\tb", "ratio": 0.5})
    found = read_item_sets([tmp_path / "fast"])
    assert [made.name for made in found.sets] == ["blimp_fast", "supplement_fast"]
    assert len(found.notes) == 1
    assert "wug_past_tense" in found.notes[0]
    assert "--word-formation" in found.notes[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([pair(), pair(bad="")], r"a.jsonl, line 2: 'sentence_bad' is not a sentence: ''"),
        ([pair(), pair(good=None)], "line 2: 'sentence_good' is not a sentence: None"),
        ([pair(), {"sentence_good": GOOD}], "line 2 has no column 'sentence_bad'; found: sentence_good"),
        ([{"good": GOOD, "bad": BAD}], r"no sentence_good and sentence_bad; found: good, bad"),
        ([{"input_prefix": "Box ", "options": ["one"], "numops": 0}], "'options' is not a list of two texts or more"),
        ([{"input_prefix": "Box ", "options": ["one", 2], "numops": 0}], "'options' is not a list"),
        ([{"input_prefix": "Box ", "options": ["one", "two"]}], "'numops' is not a whole number: None"),
        ([], "is empty"),
    ],
)
def test_a_line_that_holds_no_item_is_named(tmp_path, rows, message):
    write_jsonl(tmp_path / "a.jsonl", *rows)
    with pytest.raises(InputError, match=message):
        read_item_sets([tmp_path])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{BAD}\n{GOOD}\n{BAD}\n", "has 3 lines; pairs need an even number"),
        (f"{BAD}\n\n{GOOD}\n", "line 2 is blank"),
    ],
)
def test_zorro_lines_that_make_no_pairs_are_refused(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_item_sets([tmp_path])


def test_broken_json_bytes_and_missing_folders_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"sentence_good": "a", "sentence_bad": "b"}\n{"sentence\n')
    with pytest.raises(InputError, match="line 2 is not JSON"):
        read_item_sets([tmp_path])
    (tmp_path / "a.jsonl").write_bytes(b'{"sentence_good": "caf\xe9"}\n')
    with pytest.raises(InputError, match="is not UTF-8: byte 22"):
        read_item_sets([tmp_path])
    with pytest.raises(InputError, match="There is no file or folder"):
        read_item_sets([tmp_path / "nowhere"])
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(InputError, match="holds no pairs"):
        read_item_sets([tmp_path])


def test_two_sets_of_one_name_are_refused(tmp_path):
    for parent in ("one", "two"):
        write_jsonl(tmp_path / parent / "blimp" / "a.jsonl", pair())
    with pytest.raises(InputError, match="called 'blimp'"):
        read_item_sets([tmp_path / "one" / "blimp", tmp_path / "two" / "blimp"])
    assert [made.name for made in read_item_sets([tmp_path]).sets] == ["one/blimp", "two/blimp"]
