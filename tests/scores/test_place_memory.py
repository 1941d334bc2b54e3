"""Scores that remember places, against dictionaries filled from what they were told."""

import math

import pytest
import torch
from transformers import TrainingArguments

from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.row_notes import MASKED
from maskwise.masking.score_context import ScoreContext, TrainState
from maskwise.scores import place_memory
from maskwise.scores.place_memory import CountMemory, PositionMemory
from maskwise.training.trainer import MaskingTrainer

TEXT = "the girl walked by the river and a dog was quickly playing in her green garden on a good day"


@pytest.fixture
def rows(tiny_tokenizer):
    return [{"input_ids": tiny_tokenizer(" ".join(TEXT.split()[: 8 + i % 9]))["input_ids"]} for i in range(16)]


def trainer_of(model, masker, rows, out, **options):
    defaults = {"max_steps": 12, "per_device_train_batch_size": 4, "use_cpu": True, "save_strategy": "no"}
    args = TrainingArguments(str(out), report_to=[], disable_tqdm=True, **defaults | options)
    return MaskingTrainer(model, args, masker=masker, train_dataset=rows)


def test_every_place_is_masked_equally_often(tiny_model, tiny_tokenizer, rows, tmp_path):
    """Six epochs at a half: each place three times, and once more or less where a row has an odd number."""
    score = CountMemory()
    trainer_of(tiny_model, Masker(score, tiny_tokenizer, rate=0.5), rows, tmp_path, max_steps=24).train()
    for number, row in enumerate(rows):
        counts_L = score.counts_NL[number, : len(row["input_ids"])]
        assert counts_L[0] == counts_L[-1] == 0  # [CLS] and [SEP]
        assert set(counts_L[1:-1].tolist()) <= {2, 3, 4} and counts_L[1:-1].sum() > 0
        assert counts_L[1:-1].max() - counts_L[1:-1].min() <= 1
        assert score.counts_NL[number, len(row["input_ids"]) :].sum() == 0


def test_the_memory_is_the_last_loss_of_each_place_and_fades(tiny_model, tiny_tokenizer, rows, tmp_path):
    told: dict[tuple[int, int], tuple[float, int]] = {}

    class Spying(PositionMemory):
        def learn(self, batch, labelled):
            super().learn(batch, labelled)
            columns = (labelled.example_id_R, labelled.position_R, labelled.nll_R, labelled.fate_R)
            for example, position, nll, fate in zip(*(column.tolist() for column in columns), strict=True):
                if fate == MASKED:
                    told[example, position] = nll, batch["state"].epoch

    score = Spying(tiny_tokenizer, refresh=5)
    masker = Masker(score, tiny_tokenizer, rate=0.3, corruption=(0.8, 0.1, 0.1))
    trainer = trainer_of(tiny_model, masker, rows, tmp_path, learning_rate=1e-2)
    trainer.train()
    assert len({epoch for _, epoch in told.values()}) == 3
    batch = masker.prepare(trainer.data_collator([dict(row) | {"example_id": i} for i, row in enumerate(rows)]))
    scores_BT = score(batch | {"state": TrainState(epoch=4)})
    for (example, position), (nll, epoch) in told.items():
        mean = score.means_V[batch["input_ids"][example, position]].item()
        expected = mean + 0.5 ** (4 - epoch) * (nll - mean)
        assert scores_BT[example, position].item() == pytest.approx(expected, abs=5e-3)
    never = next(
        (i, j) for i, row in enumerate(rows) for j in range(1, len(row["input_ids"]) - 1) if (i, j) not in told
    )
    assert scores_BT[never].item() == pytest.approx(score.means_V[batch["input_ids"][never]].item(), abs=1e-5)
    assert score.means_V.unique().numel() > 3


@pytest.mark.parametrize("kind", [CountMemory, PositionMemory])
def test_a_resumed_run_remembers_what_the_unbroken_one_does(kind, tiny_model, tiny_tokenizer, rows, tmp_path):
    start = {name: value.clone() for name, value in tiny_model.state_dict().items()}

    def run(out, **options):
        tiny_model.load_state_dict(start)
        score = kind() if kind is CountMemory else kind(tiny_tokenizer, refresh=5)
        options = {"save_strategy": "steps", "save_steps": 6} | options
        return score, trainer_of(tiny_model, Masker(score, tiny_tokenizer), rows, out, **options)

    whole, trainer = run(tmp_path / "whole")
    trainer.train()
    resumed, trainer = run(tmp_path / "resumed")
    trainer.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-6"))
    assert whole.state_dict().keys() == resumed.state_dict().keys()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0, equal_nan=True)


def test_a_table_that_would_not_fit_is_refused_before_the_first_step(tiny_tokenizer, monkeypatch):
    monkeypatch.setattr(place_memory, "MOST_BYTES", 2**20)
    rows = [{"input_ids": [2] * 1024}] * 1024
    with pytest.raises(InputError, match=r"remember 1,024 rows of 1,024 tokens, which takes 0\.0 GiB"):
        CountMemory().on_epoch_start(ScoreContext.alone(rows=rows))


def test_a_stream_is_refused(tiny_tokenizer):
    with pytest.raises(InputError, match="needs a data set with a length"):
        PositionMemory(tiny_tokenizer).on_epoch_start(ScoreContext.alone())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "loss"}, "remembers nll or entropy"),
        ({"decay": 1.5}, "decay is from 0 to 1"),
        ({"refresh": 0}, "refresh"),
    ],
)
def test_settings_out_of_range_are_refused(options, message, tiny_tokenizer):
    with pytest.raises(InputError, match=message):
        PositionMemory(tiny_tokenizer, **options)


def test_labels_that_are_ignored_are_not_remembered(tiny_tokenizer):
    """Rows that fill up a tensor point at the first place of the first row."""
    from maskwise.masking.row_notes import RowNotes, labelled_rows
    from maskwise.masking.rows import Rows

    score = CountMemory()
    score.on_epoch_start(ScoreContext.alone(rows=[{"input_ids": [2, 7, 3]}]))
    batch = {"input_ids": torch.tensor([[2, 7, 3]]), "example_id": torch.tensor([0]), "state": TrainState()}
    rows = Rows.of(torch.tensor([[IGNORE, 7, IGNORE]]) != IGNORE, at_most=3)
    score.learn(batch, labelled_rows(batch, torch.tensor([[2, 4, 3]]), rows, RowNotes(torch.zeros(3)), 4))
    score.on_step_end(ScoreContext.alone(state=TrainState(step=1)))
    assert score.counts_NL.tolist() == [[0, 1, 0]]
    assert math.isfinite(score(batch).sum())
