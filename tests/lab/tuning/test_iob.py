"""The reference is seqeval: `mode="strict", scheme=IOB2`."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.lab.tuning.iob import entities, entity_scores, invalid, is_iob2, repair

TAGS = st.sampled_from(["O", "O", "B-A", "I-A", "B-B", "I-B"])
ROWS = st.integers(1, 9).flatmap(lambda n: st.tuples(*[st.lists(TAGS, min_size=n, max_size=n)] * 2))
SENTENCES = st.lists(ROWS, min_size=1, max_size=6)


def seqeval_scores(labels, predictions):
    from seqeval.metrics import f1_score, precision_score, recall_score
    from seqeval.scheme import IOB2

    measures = {"entity_f1": f1_score, "entity_precision": precision_score, "entity_recall": recall_score}
    strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: float(measure(labels, predictions, **strict)) for name, measure in measures.items()}


@given(SENTENCES)
def test_scores_are_those_of_seqeval_on_any_tags_valid_or_not(pairs):
    labels, predictions = (list(part) for part in zip(*pairs, strict=True))
    assert entity_scores(labels, predictions) == pytest.approx(seqeval_scores(labels, predictions), abs=1e-9)


def test_the_comparison_with_seqeval_is_not_of_zeros():
    labels = [["B-A", "I-A", "O", "B-B"], ["B-A", "O", "B-A", "I-B"]]
    predictions = [["B-A", "I-A", "O", "B-A"], ["B-A", "O", "O", "O"]]
    scores = entity_scores(labels, predictions)
    assert scores == pytest.approx(seqeval_scores(labels, predictions), abs=1e-9)
    assert 0 < scores["entity_recall"] < scores["entity_precision"] < 1


@given(st.lists(TAGS))
def test_a_repaired_sentence_is_valid_and_stays_as_it_is(tags):
    repaired = repair(tags)
    assert not invalid(repaired)
    assert repair(repaired) == repaired
    assert [tag[2:] for tag in repaired] == [tag[2:] for tag in tags]
    assert sum(tag.startswith("B-") for tag in repaired) == len(entities(repaired))


def test_an_entity_ends_where_the_next_begins():
    assert [(e.start, e.stop) for e in entities(["B-A", "B-A", "I-A"])] == [(0, 1), (1, 3)]


def test_tags_of_other_schemes_are_told_apart():
    assert all(map(is_iob2, ("O", "B-Disease", "I-X")))
    assert not any(map(is_iob2, ("NOUN", "S-X", "B-", "3", "")))
