"""What a plan promises: the figures are those of the power functions, and what cannot be found is said."""

import pytest

from maskwise.lab.config import merge
from maskwise.lab.stats.power import largest_sd_for_equivalence, power, sd_upper_limit, smallest_effect
from maskwise.lab.study.power_statement import REPLICATION, power_statement
from maskwise.lab.study.study_file import check_study

TREE = {
    "seeds": "0-9", "tasks": ["pos", "ner"], "pretrain": {"data": {"path": "d"}},
    "backbones": [{"name": "tiny", "preset": "tiny"}],
    "arms": [{"name": name} for name in ("random", "bert", "span")],
    "statistics": {"family": [["bert", "random"], ["span", "random"]], "margin": 0.01},
}  # fmt: skip


def said(statistics=None, **changes):
    return power_statement(check_study(merge(TREE, {"statistics": statistics or {}, **changes})))


def test_the_family_is_of_tasks_and_the_held_out_loss_is_not_one():
    assert said()[0].startswith("Family of 4 (2 comparisons x 1 backbones x 2 tasks), by pos accuracy_pooled, ner")
    with_loss = said(tasks=["pos", "ner", "held_out"])
    assert with_loss == said()
    alone = said(tasks=["held_out"])
    assert len(alone) == 2 and "Without a task there is no verdict" in alone[0]


def test_power_is_of_the_hardest_step():
    assert f"{smallest_effect(10):.2f} standard deviations" in said()[1]
    assert f"and {smallest_effect(10, 0.05 / 4):.2f} at the hardest step" in said()[1]
    equivalence = said()[3]
    assert f"at most {largest_sd_for_equivalence(10):.2f} margins" in equivalence
    assert f"and {largest_sd_for_equivalence(10, 0.05 / 4):.2f} at the hardest" in equivalence


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ("0-4", "cannot reach .05 at 5 seeds: its floor is 0.0625. The verdict rests on the paired t test."),
        ("0-5", "can reach .05 at 6 seeds: its floor is 0.03125. Adjusted over the family the floor is 0.125, so an"),
        ("0-9", "the floor is 0.007812, so an exact test can confirm a verdict."),
    ],
)
def test_the_exact_tests_floor_is_told_alone_and_over_the_family(seeds, words):
    assert words in said(seeds=seeds)[2]


def test_a_pilots_sd_is_planned_with_by_its_upper_limit():
    lines = said({"expected_sd": {"pos": 0.0017, "n": 3}})
    limit = sd_upper_limit(0.0017, 3)
    assert "a pilot of 3 seeds had a standard deviation of 0.0017 (0.17 points)" in lines[4]
    assert f"its 80% upper limit, {limit:.3g} ({100 * limit:.3g} points)" in lines[4]
    needed = limit * smallest_effect(10, 0.05 / 4)
    assert f"80% power needs a difference of {needed:.3g}" in lines[4]
    assert lines[5].startswith("pos: a difference as large as the margin, 0.01 (1 points), is found with 100% power")
    assert lines[6] == REPLICATION and len(lines) == 7


def test_a_study_that_cannot_find_its_margin_is_told_so():
    rules = {"expected_sd": {"pos": 0.0017, "ner": 0.02, "n": 3}, "margin": "5%", "gain_of": "random"}
    lines = said(rules | {"expected_gain": {"pos": 0.6}})
    found = power(0.03 / sd_upper_limit(0.0017, 3), 10, 0.05 / 4)
    assert found > 0.99 and not any(line.startswith("pos: this study cannot") for line in lines)
    assert (
        "ner: how large 5% of the gain is depends on the gain; statistics.expected_gain says what to expect." in lines
    )
    lines = said(rules | {"expected_gain": {"pos": 0.06, "ner": 0.3}})
    assert "pos: this study cannot find an effect as large as its margin." in lines
    found = power(0.003 / sd_upper_limit(0.0017, 3), 10, 0.05 / 4)
    assert any(f"is found with {found:.0%} power" in line for line in lines)


def test_the_unit_of_replication_is_always_said():
    assert said()[-1] == REPLICATION
    assert "pretraining seed" in REPLICATION and "Tokenizer, text and splits are fixed" in REPLICATION


def test_thousands_of_seeds_are_planned_without_an_overflow():
    lines = power_statement(check_study(TREE | {"seeds": "0-4999"}))
    assert any("5000 seeds" in line for line in lines)
