"""The probe's figures against what they say they are."""

from __future__ import annotations

import pytest
import torch

from maskwise.lab.pretraining.mask_probe import MaskProbe
from maskwise.lab.records.run_folder import read_metrics
from maskwise.masking.budgets import token_budget
from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform
from maskwise.masking.score_context import TrainState

CPU = torch.device("cpu")


@pytest.fixture
def rows(tiny_tokenizer):
    texts = [
        "the girl walked by the river",
        "a dog and a cat",
        "she was walking in the green garden with her friend",
    ] * 15
    return [{"input_ids": tiny_tokenizer(text)["input_ids"]} for text in texts]


def probe_of(rows, tokenizer, score=uniform, **options) -> MaskProbe:
    quintile_V = torch.arange(len(tokenizer)) % 5
    return MaskProbe(Masker(score, tokenizer, **options), rows, quintile_V)


def test_the_rate_is_the_budgets_and_the_quintiles_add_to_one(rows, tiny_tokenizer):
    figures = probe_of(rows, tiny_tokenizer).look(TrainState(), CPU)
    eligible = [len(row["input_ids"]) - 2 for row in rows]
    expected = sum(token_budget(torch.tensor(eligible), 0.15).tolist()) / sum(eligible)
    assert figures["masked_rate"] == pytest.approx(expected)
    assert sum(figures[f"masked_q{q}"] for q in range(1, 6)) == pytest.approx(1)
    assert "overlap" not in figures


def test_a_score_of_the_token_is_averaged_and_its_highest_types_are_masked_most(rows, tiny_tokenizer):
    garden = tiny_tokenizer.convert_tokens_to_ids("garden")
    probe = probe_of(rows, tiny_tokenizer, lambda batch: (batch["input_ids"] == garden).float() * 3, pick="high")
    figures = probe.look(TrainState(), CPU)
    assert figures["masked_score"] > figures["eligible_score"] > 0
    assert figures["most_masked"].split()[0] == "garden"


def test_the_same_picks_overlap_wholly_and_new_random_ones_by_about_the_rate(rows, tiny_tokenizer):
    """A probe that compared a look with itself would report 1 for every strategy."""
    probe = probe_of(rows, tiny_tokenizer, rate=0.3)
    probe.look(TrainState(0), CPU)
    assert probe.look(TrainState(0), CPU)["overlap"] == 1
    assert 0.15 < probe.look(TrainState(1), CPU)["overlap"] < 0.5


def test_a_run_writes_the_figures_beside_its_losses(run_maskwise, pretrain_command, tmp_path):
    """The cold start is where what is masked matters most: its source and entropies have to be on record."""
    out = tmp_path / "run"
    run_maskwise([*pretrain_command, "--out", str(out), "--recipe", "entropy-self-cold"])
    looks = [record for record in read_metrics(out / "metrics.jsonl") if "masked_rate" in record]
    assert [look["step"] for look in looks] == [4, 8, 12]
    assert all(look["score_source"] == "self" for look in looks)
    assert all(look["masked_score"] > look["eligible_score"] > 0 for look in looks)
    assert "overlap" in looks[-1]
    assert len(looks[-1]["most_masked"].split()) == 10
