"""What a label is: a class's name, a place if it can be nothing else, or an error; never another class's."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.lab.tasks.labels import (
    ClassNames,
    class_numbers,
    classes_among,
    count_classes,
    describe_counts,
    label_texts,
    read_class_names,
)


def where(i):
    return f"example {i + 1}"


def read(labels, names):
    """The name of the class that each label is read as."""
    numbers = class_numbers(ClassNames(tuple(names)), set(labels), "mine")
    return [names[numbers[label]] for label in labels]


LABELS = st.one_of(
    st.integers(-20, 20).map(str), st.sampled_from(["01", "02", "unknown", "N/A", "good", "True", "1.5"])
)


@given(st.lists(LABELS, min_size=1, unique=True), st.data())
def test_labels_that_are_all_names_are_the_classes_of_those_names(names, data):
    labels = data.draw(st.lists(st.sampled_from(names)))
    assert read(labels, names) == labels


@given(st.lists(st.sampled_from(["bad", "good", "mixed", "01", "x2"]), min_size=1, unique=True), st.data())
def test_whole_numbers_are_places_where_no_name_is_a_number(names, data):
    places = data.draw(st.lists(st.integers(0, len(names) - 1)))
    assert read([str(place) for place in places], names) == [names[place] for place in places]


@given(st.lists(LABELS, min_size=1, unique=True), st.lists(LABELS))
def test_no_label_is_ever_read_as_the_class_of_another_name(names, labels):
    """Whatever the mixture: its own name, or a place that is no name, or outside, or refused."""
    try:
        numbers = class_numbers(ClassNames(tuple(names)), set(labels), "mine")
    except InputError:
        return
    for label in labels:
        if label in names:
            assert names[numbers[label]] == label
        elif label in numbers:
            assert numbers[label] == int(label)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["0", "1", "2"], ["1", "2", "3"]),
        (["0", "1"], ["1", "2", "unknown"]),
        (["0", "2019"], ["2019", "2020"]),
        (["0", "2"], ["2", "1", "x"]),
    ],
)
def test_numbers_that_could_be_names_and_places_are_refused_with_the_way_out(labels, names):
    with pytest.raises(InputError) as error:
        read(labels, names)
    assert "it is not clear which classes the numbers mean" in str(error.value)
    assert '{"0": "...", ' in str(error.value)


def test_a_name_that_is_its_own_place_leaves_nothing_unclear():
    assert read(["0", "1", "2"], ["0", "1", "unknown"]) == ["0", "1", "unknown"]


def test_classes_are_in_the_order_of_their_numbers_and_then_of_their_text():
    assert classes_among(["10000", "1", "2", "1"]) == ("1", "2", "10000")
    assert classes_among(["1", "-1", "0"]) == ("-1", "0", "1")
    assert classes_among(["02", "01", "10"]) == ("01", "02", "10")
    assert classes_among(["1.0", "0.5", "0.0"]) == ("0.0", "0.5", "1.0")
    assert classes_among(["unknown", "2", "N/A", "10"]) == ("2", "10", "N/A", "unknown")
    assert classes_among(["9" * 5000, "1"]) == ("1", "9" * 5000)


def test_labels_are_texts_whatever_their_type():
    assert label_texts([1, "1", " 1\n"], where) == ["1", "1", "1"]
    assert label_texts(["a\ud83d", "e\u0301"], where) == ["a", "\u00e9"]
    assert label_texts([True, False, "True"], where) == ["True", "False", "True"]
    assert label_texts([None, float("nan"), "", " \n", "None", "nan"], where) == [None] * 4 + ["None", "nan"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, 1.0], "example 2: the label 1.0 is the same number as the label 1, written in another way"),
        ([0.0, "a", 0], "example 3: the label 0 is the same number as the label 0.0"),
        (["1", "1.0"], "example 2: the label '1.0' is the same number as the label 1,"),
        ([True, 1], "example 2: the label 1 is the same number as the label True"),
        ([False, "0"], "example 2: the label '0' is the same number as the label False"),
        ([["a", "b"]], r"example 1: the label is \['a', 'b'\], a list"),
        ([{"a": 1}], "example 1: the label is {'a': 1}, a dict"),
        ([b"a"], "example 1: the label is b'a', a bytes"),
    ],
)
def test_what_is_no_label_and_one_number_in_two_spellings_are_refused(values, said):
    with pytest.raises(InputError, match=said):
        label_texts(values, where)


def test_codes_with_leading_zeros_are_their_own_labels():
    assert label_texts(["1", "01", "001"], where) == ["1", "01", "001"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], r"holds \[\]"),
        ("good", "holds 'good'"),
        (["a", "a"], "the name 'a' twice"),
        (["a", ""], "an empty name"),
        (["a", None], "an empty name"),
        ({"0": "a", "1": "a"}, "the name 'a' twice"),
        ([["a"]], "a list"),
        ({}, r"holds \[\]"),
    ],
)
def test_a_list_of_names_that_is_none_is_refused_with_an_example(value, said, tmp_path):
    path = tmp_path / "label_names.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_class_names(path)
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(InputError, match="nested too deeply"):
        read_class_names(path)


def test_names_may_be_given_for_each_label_of_the_data(tmp_path):
    path = tmp_path / "label_names.json"
    path.write_text('{"0": "1", "1": "2", "-1": "none"}', encoding="utf-8")
    classes = read_class_names(path)
    assert classes.names == ("1", "2", "none")
    assert class_numbers(classes, {"0", "1", "-1"}, "mine") == {"0": 0, "1": 1, "-1": 2}


def test_counts_are_described_once_and_minus_one_gets_a_word_of_warning():
    counts = {"train": count_classes(("-1", "0", "1"), [0, 1, 1]), "validation": {"-1": 5, "0": 5, "1": 5}}
    lines = describe_counts("snli", counts)
    assert lines[0].endswith("3 classes, and how often each is in the training set: -1 (1), 0 (2), 1 (0)")
    assert "-1 is trained as a class" in lines[1]
    assert len(describe_counts("mine", {"train": {"bad": 1, "good": 1}})) == 1
    assert describe_counts("stsb", {}) == []
    many = describe_counts("intents", {"train": {f"intent {i}": 1 for i in range(150)}})[0]
    assert many.endswith("intent 29 (1), and 120 more, in result.json")
