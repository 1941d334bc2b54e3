"""Units: what is masked together.

Shapes: B sequences, T positions.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import InputError
from maskwise.masking.units import (
    MAX_SPAN_WORDS,
    MAX_WORD_PIECES,
    Spans,
    Units,
    own_units,
    span_lengths,
    span_units,
    sum_by_unit,
    token_units,
    word_units,
)

# SpanBERT's truncated geometric lengths: 0.2 x 0.8^(j - 1), renormalised over 1..10.
SPAN_LENGTH_SHARES = [0.2241, 0.1792, 0.1434, 0.1147, 0.0918, 0.0734, 0.0587, 0.0470, 0.0376, 0.0301]


def words_of(lengths, special_every=0):
    """One row of word ids with words of these lengths, and a special token (-1) after every few words."""
    row = []
    for word, length in enumerate(lengths):
        row += [word] * length
        if special_every and word % special_every == special_every - 1:
            row.append(-1)
    return torch.tensor([row])


def runs(ids):
    """Positions by unit id, -1 left out."""
    found = {}
    for position, unit in enumerate(ids):
        if unit >= 0:
            found.setdefault(unit, []).append(position)
    return found


def test_every_eligible_token_is_a_token_unit():
    eligible_BT = torch.tensor([[False, True, True, False], [False] * 4])
    units = token_units(eligible_BT)
    assert units.atoms_BT.tolist() == [[-1, 1, 2, -1], [-1] * 4]
    assert torch.equal(units.atoms_BT, units.groups_BT)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(0, 3))
def test_a_word_unit_holds_exactly_the_pieces_of_its_word(lengths, special_every):
    word_ids_BT = words_of(lengths, special_every)
    atoms = word_units(word_ids_BT, word_ids_BT >= 0).atoms_BT[0].tolist()
    for word, length in enumerate(lengths):
        positions = (word_ids_BT[0] == word).nonzero().flatten().tolist()
        expected = positions if length > MAX_WORD_PIECES else [positions[0]] * length
        assert [atoms[p] for p in positions] == expected


def test_words_of_two_texts_with_the_same_number_stay_apart():
    """Word ids start again at 0 in a second document: word 0 of each must not become one unit."""
    word_ids_BT = torch.tensor([[-1, 0, 0, -1, 0, 1, -1]])
    assert word_units(word_ids_BT, word_ids_BT >= 0).atoms_BT.tolist() == [[-1, 1, 1, -1, 4, 5, -1]]


def test_a_word_ends_at_a_piece_that_may_not_be_masked():
    """A unit lives at its first token; were that one not eligible, the unit would have no score."""
    eligible_BT = torch.tensor([[False, True, True, False, True]])
    assert word_units(torch.zeros(1, 5, dtype=torch.int64), eligible_BT).atoms_BT.tolist() == [[-1, 1, 1, -1, 4]]


@given(st.data())
def test_spans_are_runs_of_whole_words_within_one_text(data):
    lengths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=30))
    word_ids_BT = words_of(lengths, data.draw(st.integers(0, 9)))
    words = word_units(word_ids_BT, word_ids_BT >= 0)
    draws = st.floats(0, 1, exclude_max=True, width=32)
    num_tokens = word_ids_BT.shape[1]
    noise_BT = torch.tensor([data.draw(st.lists(draws, min_size=num_tokens, max_size=num_tokens))])
    units = span_units(words, noise_BT)
    assert torch.equal(units.atoms_BT, words.atoms_BT)
    assert torch.equal(units.groups_BT < 0, words.atoms_BT < 0)
    for start, positions in runs(units.groups_BT[0].tolist()).items():
        assert positions == list(range(start, start + len(positions))), "a span is a run, named by its first token"
        span_words = {words.atoms_BT[0, p].item() for p in positions}
        assert len(span_words) <= MAX_SPAN_WORDS
        for word in span_words:
            assert set(runs(words.atoms_BT[0].tolist())[word]) <= set(positions), "a span never cuts a word"


def test_span_lengths_follow_the_published_table():
    grid = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    shares = torch.bincount(span_lengths(grid), minlength=11)[1:] / len(grid)
    assert shares.tolist() == pytest.approx(SPAN_LENGTH_SHARES, abs=6e-5)
    assert span_lengths(grid).double().mean().item() == pytest.approx(3.797, abs=1e-3)


def test_spans_cut_from_rows_have_the_published_lengths():
    """The table must hold for the spans of a text, not for the draws alone: the last span of a row is cut short."""
    num_rows, num_words = 400, 512
    word_ids_BT = torch.arange(num_words).expand(num_rows, -1)
    words = word_units(word_ids_BT, word_ids_BT >= 0)
    groups_BT = span_units(words, torch.rand(num_rows, num_words, generator=torch.Generator().manual_seed(0))).groups_BT
    sizes = [len(p) for row in groups_BT.tolist() for p in list(runs(row).values())[:40]]
    shares = torch.bincount(torch.tensor(sizes), minlength=11)[1:] / len(sizes)
    assert len(sizes) == num_rows * 40
    assert shares.tolist() == pytest.approx(SPAN_LENGTH_SHARES, abs=5 * (0.25 / len(sizes)) ** 0.5)


def test_a_word_of_more_pieces_than_the_cap_falls_back_to_its_pieces_and_the_cap_is_a_setting():
    word_ids_BT = torch.tensor([[0] * 5 + [1] * 2])
    eligible_BT = word_ids_BT >= 0
    assert word_units(word_ids_BT, eligible_BT, max_pieces=4).atoms_BT.tolist() == [[0, 1, 2, 3, 4, 5, 5]]
    assert word_units(word_ids_BT, eligible_BT, max_pieces=5).atoms_BT.tolist() == [[0] * 5 + [5] * 2]
    long_BT = torch.zeros(1, 40, dtype=torch.int64)
    assert word_units(long_BT, long_BT >= 0, max_pieces=None).atoms_BT.tolist() == [[0] * 40]


def test_a_word_begins_anew_where_the_vocabulary_marks_it():
    """For tokenizers that give one word id to a whole text."""
    word_ids_BT, begins_BT = torch.zeros(1, 4, dtype=torch.int64), torch.tensor([[True, False, True, False]])
    assert word_units(word_ids_BT, word_ids_BT >= 0, begins_BT=begins_BT).atoms_BT.tolist() == [[0, 0, 2, 2]]


@given(st.sampled_from(["word", "token"]), st.integers(1, 6), st.lists(st.integers(1, 4), min_size=1, max_size=30))
def test_spans_of_words_or_tokens_have_uniform_lengths_if_asked(atom, longest, lengths):
    word_ids_BT = words_of(lengths)
    eligible_BT = word_ids_BT >= 0
    atoms = word_units(word_ids_BT, eligible_BT) if atom == "word" else token_units(eligible_BT)
    noise_BT = torch.rand(word_ids_BT.shape, generator=torch.Generator().manual_seed(len(lengths)))
    units = span_units(atoms, noise_BT, Spans(lengths="uniform", longest=longest, atom=atom))
    assert torch.equal(units.atoms_BT, atoms.atoms_BT)
    for positions in runs(units.groups_BT[0].tolist()).values():
        assert len({atoms.atoms_BT[0, p].item() for p in positions}) <= longest
    grid = (torch.arange(10_000) + 0.5) / 10_000
    shares = torch.bincount(span_lengths(grid, Spans(lengths="uniform", longest=longest)), minlength=longest + 1)[1:]
    assert shares.tolist() == pytest.approx([10_000 / longest] * longest, abs=2)


def test_geometric_spans_take_their_probability_and_their_longest_length():
    spans = Spans(p=0.5, longest=3)
    assert spans.length_shares().tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": "poisson"}, "lengths of spans is one of geometric, uniform; found 'poisson'"),
        ({"atom": "sentence"}, "atom of spans is one of word, token; found 'sentence'"),
        ({"fate": "token"}, "fate of spans is one of span, atom; found 'token'"),
        ({"p": 1.0}, "probability between 0 and 1; found 1.0"),
        ({"longest": 0}, "at least 1; found 0"),
        ({"longest": 2.5}, "whole number of words"),
    ],
)
def test_spans_that_cannot_be_are_an_error_that_says_what_can(arguments, message):
    with pytest.raises(InputError, match=message):
        Spans(**arguments)


@given(st.lists(st.tuples(st.integers(-2, 5), st.booleans()), min_size=1, max_size=20), st.permutations(range(6)))
def test_own_groups_are_named_by_their_first_token_wherever_their_tokens_lie(tokens, names):
    """Contiguous or not, whatever the ids: renaming them changes nothing."""
    ids = [found for found, _ in tokens]
    eligible = [may for _, may in tokens]
    expected = []
    for position, found in enumerate(ids):
        same = [p for p in range(len(ids)) if eligible[p] and ids[p] == found]
        alone = position if eligible[position] else -1
        expected.append(same[0] if eligible[position] and found >= 0 else alone)
    renamed = [1000 * names[found] if found >= 0 else found for found in ids]
    for row in (ids, renamed):
        units = own_units(torch.tensor([row]), torch.tensor([eligible]))
        assert units.atoms_BT.tolist() == units.groups_BT.tolist() == [expected]


def test_own_groups_of_atoms_may_be_shortened_and_an_atom_lies_in_one_group():
    eligible_BT = torch.tensor([[True, True, True, True, False, True]])
    found = Units(torch.tensor([[0, 0, 1, 1, 1, -1]]), torch.tensor([[9, 9, 9, 9, 9, 9]]))
    units = own_units(found, eligible_BT)
    assert units.atoms_BT.tolist() == [[0, 0, 2, 2, -1, 5]]
    assert units.groups_BT.tolist() == [[0, 0, 0, 0, -1, 0]]
    torn = own_units(Units(found.atoms_BT, torch.tensor([[1, 2, 2, 2, 2, 2]])), eligible_BT)
    assert torn.groups_BT.tolist() == [[0, 0, 2, 2, -1, 2]]
    alone = own_units(Units(found.atoms_BT, torch.full((1, 6), -1)), eligible_BT)
    assert alone.groups_BT.tolist() == [[0, 0, 2, 2, -1, 5]], "an atom without a group is a group"


def test_sums_by_unit_lie_at_each_units_first_token():
    values_BT = torch.tensor([[9.0, 1.0, 2.0, 4.0, torch.nan]])
    ids_BT = torch.tensor([[-1, 1, 1, 3, -1]])
    assert sum_by_unit(values_BT, ids_BT).tolist() == [[0.0, 3.0, 0.0, 4.0, 0.0]]


def test_a_row_without_words_has_no_units():
    none_BT = torch.full((2, 3), -1)
    units = span_units(word_units(none_BT, none_BT >= 0), torch.zeros(2, 3))
    assert torch.equal(units.atoms_BT, none_BT)
    assert isinstance(units, Units) and torch.equal(units.groups_BT, none_BT)
