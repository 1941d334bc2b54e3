"""The numbers behind the verdicts, each against another way to get it.

Shapes: E epochs, R rows, T columns, N tokens of all rows.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

from maskwise.evaluation.auditing import overlap
from maskwise.evaluation.auditing.cells import cell_lines
from maskwise.evaluation.auditing.epochs import Epoch, batches_of, collate_batches, read_epoch
from maskwise.evaluation.auditing.expected import Expected
from maskwise.evaluation.auditing.intervals import enough, lower_limit, share_by_row, t_quantile, upper_limit
from maskwise.evaluation.auditing.leak import _Lookup
from maskwise.evaluation.auditing.measures import Measure, judge_measures
from maskwise.evaluation.auditing.overlap import Masks
from maskwise.evaluation.auditing.rows import RowFacts, TokenKinds, shorten_row
from maskwise.evaluation.auditing.tally import Tally, expected_rates
from maskwise.evaluation.auditing.words import frequency_bins, words_of
from planted_faults import Plain

IGNORE = -100


@pytest.fixture
def facts(wordpiece, rows_of):
    return RowFacts.of(rows_of(wordpiece, 24), TokenKinds.of(wordpiece))


def random_epoch(facts, rate, generator, whole_rows=None):
    """An epoch in which each text token has a label with the rate, or whole rows have."""
    labelled_N = facts.is_text_N & (generator.random(len(facts.ids_N)) < rate)
    if whole_rows is not None:
        labelled_N = facts.is_text_N & whole_rows[facts.row_N]
    input_N = np.where(labelled_N, facts.kinds.mask_token_id, facts.ids_N)
    label_N = np.where(labelled_N, facts.ids_N, IGNORE)
    return Epoch(input_N, label_N, facts.position_N.copy(), np.ones(len(facts.ids_N), dtype=bool))


@pytest.mark.parametrize("degrees", [1, 2, 10, 15, 31, 63, 511])
@pytest.mark.parametrize("probability", [0.9, 0.975, 0.99995])
def test_t_quantiles_are_scipys(degrees, probability):
    assert t_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=0.01)


@pytest.mark.parametrize(("found", "total"), [(0, 64), (1, 64), (13, 200), (63, 64), (64, 64)])
def test_limits_of_a_share_are_clopper_and_pearsons(found, total):
    interval = stats.binomtest(found, total).proportion_ci(0.998, method="exact")
    assert upper_limit(found, total) == pytest.approx(interval.high, abs=1e-9)
    assert lower_limit(found, total) == pytest.approx(interval.low, abs=1e-9)


def test_what_is_enough_would_miss_a_case_once_in_a_thousand_times():
    for rate in (0.05, 1 / 1000, 5 / 30522):
        assert 0.0007 < (1 - rate) ** enough(rate) <= 0.001


def test_intervals_by_row_cover_shares_of_clustered_tokens():
    """Rows whose tokens have their labels in clumps: a standard error by token is far too small, and misses."""
    generator = np.random.default_rng(0)
    by_row = by_token = 0
    for _ in range(2000):
        lengths_R = generator.integers(20, 120, 64)
        found_R = generator.binomial(lengths_R // 8, 0.15) * 8.0
        total = lengths_R.sum()
        interval = share_by_row(found_R, lengths_R, confidence=0.99)
        truth = 0.15 * (lengths_R // 8 * 8).sum() / total
        error = np.sqrt(interval.estimate * (1 - interval.estimate) / total)
        by_row += interval.low <= truth <= interval.high
        by_token += abs(interval.estimate - truth) <= 2.576 * error
    assert by_row / 2000 >= 0.98
    assert by_token / 2000 < 0.75


def test_rows_that_all_agree_do_not_give_an_interval_of_no_width():
    interval = share_by_row(np.zeros(64), np.full(64, 100))
    assert interval.estimate == 0
    assert interval.high == pytest.approx(stats.binomtest(0, 6400).proportion_ci(0.9998, method="exact").high, rel=0.01)
    assert not np.isfinite(share_by_row(np.array([3]), np.array([10])).high)


def test_verdicts_follow_from_intervals_and_bands():
    band = (0.145, 0.155)
    inside, outside = Measure("a", 0.15, 0.147, 0.153, band), Measure("b", 0.2, 0.19, 0.21, band)
    across, shown = Measure("c", 0.15, 0.10, 0.20, band), Measure("d", 0.9, 0.8, 1.0)
    assert judge_measures([inside, shown]) == "fine"
    assert judge_measures([inside, across]) == "not decided"
    assert judge_measures([inside, across, outside]) == "fault"
    assert judge_measures([Measure("edge", 0.0, 0.0, 0.1, (0.0, 0.5))]) == "fine"


def test_overlaps_over_epochs_are_those_of_all_pairs(facts):
    generator = np.random.default_rng(0)
    epochs = [random_epoch(facts, 0.3, generator) for _ in range(5)]
    masks = Masks.of(epochs, facts)
    found = overlap.over_epochs(masks, facts)
    for row in range(facts.num_rows):
        tokens = facts.tokens_of(row)
        pairs = list(itertools.combinations([mask_N[tokens] for mask_N in masks.masked_EN], 2))
        shared = sum((first & second).sum() for first, second in pairs)
        union = sum((first | second).sum() for first, second in pairs)
        assert found.overlap_R[row] == pytest.approx(shared / union)
    assert found.mean == pytest.approx(0.3 / 1.7, abs=0.02)
    assert found.mean_chance == pytest.approx(0.3 / 1.7, abs=0.02)


def test_overlaps_of_two_runs_and_of_two_rows_are_counted(facts):
    generator = np.random.default_rng(1)
    first, second = (Masks.of([random_epoch(facts, 0.3, generator) for _ in range(3)], facts) for _ in range(2))
    found = overlap.between(first, second, facts)
    assert (overlap.between(first, first, facts).overlap_R == 1).all()
    row = facts.tokens_of(3)
    shared, union = (
        first.masked_EN[:, row] & second.masked_EN[:, row],
        first.masked_EN[:, row] | second.masked_EN[:, row],
    )
    assert found.overlap_R[3] == pytest.approx(shared.sum() / union.sum())
    masked_ERT, text_RT = first.dense(facts)
    counts = overlap.of_pairs(masked_ERT[:, [0]], text_RT[[0]], masked_ERT[:, [1]], text_RT[[1]])
    both = text_RT[0] & text_RT[1]
    assert counts[0].sum() == (masked_ERT[:, 0] & masked_ERT[:, 1]).sum()
    assert counts[1].sum() == ((masked_ERT[:, 0] | masked_ERT[:, 1]) & both).sum()
    pooled = overlap.pooled_pairs(*counts)
    assert pooled.overlap_R[0] == pytest.approx(counts[0].sum() / counts[1].sum())


@pytest.mark.parametrize("rate", [0.15, 0.7])
def test_masks_that_repeat_are_alike_at_any_rate_and_others_are_not(facts, rate):
    generator = np.random.default_rng(2)
    drawn = Masks.of([random_epoch(facts, rate, generator) for _ in range(12)], facts)
    same = Masks.of([random_epoch(facts, rate, generator)] * 12, facts)
    assert overlap.over_epochs(same, facts).is_alike_R.sum() >= 20
    assert not overlap.over_epochs(drawn, facts).is_alike_R.any()


def test_short_rows_with_one_masked_token_are_not_called_alike(wordpiece):
    """Of six tokens one is masked: two epochs agree in a sixth of the rows, by chance alone."""
    rows = [{"input_ids": [2, *range(20 + i, 26 + i), 3]} for i in range(100)]
    facts = RowFacts.of(rows, TokenKinds.of(wordpiece))
    generator = np.random.default_rng(3)
    epochs = []
    for _ in range(12):
        labelled_N = np.zeros(len(facts.ids_N), dtype=bool)
        labelled_N[facts.starts_R + generator.integers(1, 7, 100)] = True
        label_N = np.where(labelled_N, facts.ids_N, IGNORE)
        epochs.append(Epoch(facts.ids_N, label_N, facts.position_N, np.ones(len(labelled_N), dtype=bool)))
    assert not overlap.over_epochs(Masks.of(epochs, facts), facts).is_alike_R.any()


def test_a_budget_of_whole_tokens_is_accepted_and_another_is_not(wordpiece):
    """Rows of 10 tokens: 15% is one or two of them, a rate of 20% if it is rounded half up."""
    rows = [{"input_ids": [2, *range(20 + i, 30 + i), 3]} for i in range(50)]
    facts = RowFacts.of(rows, TokenKinds.of(wordpiece))
    tally = Tally(facts, words_of(rows, facts, wordpiece))
    tally.add_epoch(random_epoch(facts, 0.15, np.random.default_rng(0)))
    low, high = expected_rates(tally, 0.15, np.ones(len(facts.ids_N), dtype=bool))
    assert low == pytest.approx(0.15)
    assert high == pytest.approx(0.20)


def test_rates_by_word_length_and_position_are_counted_as_by_hand(wordpiece, rows_of):
    rows = rows_of(wordpiece, 24, words=True)
    facts = RowFacts.of(rows, TokenKinds.of(wordpiece))
    tally, generator = Tally(facts, words_of(rows, facts, wordpiece)), np.random.default_rng(4)
    for _ in range(20):
        tally.add_epoch(random_epoch(facts, 0.15, generator))
    lines = cell_lines(tally, Expected(rate=0.15), 0.15, np.zeros(len(facts.ids_N)))
    by_length, by_position = {}, {}
    for row, start in zip(rows, facts.starts_R, strict=True):
        pieces = np.unique(row["word_ids"], return_counts=True)
        lengths = dict(zip(*pieces, strict=True))
        for i, word in enumerate(row["word_ids"]):
            if word >= 0:
                by_length.setdefault(min(lengths[word], 4), []).append(tally.labelled_N[start + i])
                by_position.setdefault(i < 16, []).append(tally.labelled_N[start + i])
    for measure, length in zip(lines[1].measures, (1, 2, 3, 4), strict=True):
        assert measure.estimate == pytest.approx(np.mean(by_length[length]) / 20)
    assert lines[0].measures[0].name == "0 to 15"
    assert lines[0].measures[0].estimate == pytest.approx(np.mean(by_position[True]) / 20)


def test_copies_of_a_text_count_as_one_row_in_standard_errors(wordpiece, rows_of):
    """Noise that depends on the text gives copies the same mask: 40 rows of 8 texts say no more than 8 rows."""
    once = rows_of(wordpiece, 8)
    intervals = []
    for rows in (once, once * 5):
        facts = RowFacts.of(rows, TokenKinds.of(wordpiece))
        labelled_N = np.concatenate(
            [np.random.default_rng(i % 8).random(n) < 0.15 for i, n in enumerate(facts.lengths_R)]
        )
        intervals.append(share_by_row(facts.by_text(labelled_N), facts.by_text(np.ones(len(labelled_N)))))
    assert intervals[0] == pytest.approx(intervals[1])
    assert facts.text_R.tolist() == list(range(8)) * 5


@pytest.mark.parametrize("family", ["wordpiece", "byte-bpe", "unigram"])
def test_words_by_the_tokenizers_marks_are_those_of_its_pre_tokenizer(family, three_tokenizers, rows_of):
    tokenizer = three_tokenizers[family]
    rows = rows_of(tokenizer, 24, words=True)
    facts = RowFacts.of(rows, TokenKinds.of(tokenizer))
    known = words_of(rows, facts, tokenizer)
    bare = [{"input_ids": row["input_ids"]} for row in rows]
    by_marks = words_of(bare, facts, tokenizer)
    starts = [np.diff(words.word_N, prepend=-2) != 0 for words in (known, by_marks)]
    text_N = facts.is_text_N
    agreement = (starts[0] == starts[1])[text_N].mean()
    assert agreement == 1 if family == "wordpiece" else agreement > 0.85
    assert known.are_known and by_marks.are_known
    assert (by_marks.word_N[~text_N] == -1).all()


def test_frequency_bins_hold_a_fifth_of_the_tokens_each(facts):
    bins_N = frequency_bins(facts)
    shares = [(bins_N == number).sum() / facts.is_text_N.sum() for number in range(5)]
    assert sum(shares) == pytest.approx(1)
    assert max(shares) < 0.35
    counts = np.bincount(facts.ids_N[facts.is_text_N], minlength=facts.kinds.size)[facts.ids_N]
    assert counts[bins_N == 0].max() <= counts[bins_N == 4].min()


def test_the_lookup_gives_the_commonest_token_of_a_key():
    keys, tokens = np.array([5, 5, 5, 9, 7]), np.array([1, 2, 2, 3, 4])
    table = _Lookup.learn(keys, tokens, np.array([True, True, True, True, False]))
    assert table.look_up(np.array([5, 9, 7, 8])).tolist() == [2, 3, -1, -1]
    empty = _Lookup.learn(keys, tokens, np.zeros(5, dtype=bool))
    assert empty.look_up(keys).tolist() == [-1] * 5


def test_a_shortened_row_keeps_its_last_token_in_every_column():
    row = {"input_ids": [1, 5, 6, 7, 2], "offsets": [(0, 0), (0, 1), (1, 2), (2, 3), (0, 0)], "example_id": 4}
    assert shorten_row(row, 3) == {"input_ids": [1, 5, 2], "offsets": [(0, 0), (0, 1), (0, 0)], "example_id": 4}
    assert shorten_row({"input_ids": np.arange(5)}, 3)["input_ids"].tolist() == [0, 1, 4]


def test_an_epoch_is_read_back_token_by_token(wordpiece, rows_of):
    rows = rows_of(wordpiece, 20)
    facts, collator = RowFacts.of(rows, TokenKinds.of(wordpiece)), Plain(wordpiece)
    batches = list(collate_batches(collator, rows, batches_of(20, 7), facts))
    epoch = read_epoch(batches, facts)
    for batch in batches:
        for i, row in enumerate(batch.rows):
            tokens, length = facts.tokens_of(row), len(rows[row]["input_ids"])
            assert epoch.input_N[tokens].tolist() == batch.collated.input_ids_BT[i, :length].tolist()
            assert epoch.label_N[tokens].tolist() == batch.collated.labels_BT[i, :length].tolist()
    assert epoch.labelled_N.sum() > 50
    assert epoch.seen_N.all()
