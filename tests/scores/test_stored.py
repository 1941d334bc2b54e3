"""Stored scores pick what the live teacher picks, and scores of something else are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from maskwise import Entropy, Masker, MaskingCollator, Stored, Surprisal
from maskwise.errors import InputError
from maskwise.lab.config import resolve
from maskwise.lab.pretraining.annotate import annotate
from maskwise.lab.pretraining.build import load_checkpoint
from maskwise.lab.pretraining.pretrain import pretrain
from maskwise.lab.pretraining.stored_scores import open_stored
from maskwise.lab.records.run_folder import read_metrics
from maskwise.lab.tokens.blocks import open_data
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.padding import pad_batch
from maskwise.masking.score_context import TrainState
from maskwise.models.presets import build_model
from maskwise.testing import check_score, make_batch
from maskwise.training.indexed_rows import IndexedRows


@pytest.fixture(scope="module")
def scored(document_data: Path, teacher: Path, tmp_path_factory) -> Path:
    """A data folder with blocks of many lengths, its entropies stored."""
    folder = Path(shutil.copytree(document_data, tmp_path_factory.mktemp("scored") / "blocks"))
    annotate(folder, str(teacher), show=False)
    return folder


@pytest.fixture
def copied(scored: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(scored, tmp_path / "blocks"))


def scores_of(data: Path) -> Path:
    return next((data / "scores").iterdir())


def batches(data, size: int = 16):
    rows = IndexedRows(data.train)
    for start in range(0, len(rows), size):
        numbers = list(range(start, min(start + size, len(rows))))
        yield pad_batch(rows.__getitems__(numbers[::-1]), data.tokenizer.pad_token_id)


@pytest.mark.parametrize("pick", ["high", "low", "mid", "sample"])
def test_stored_scores_pick_the_live_teachers_tokens(scored, teacher, pick):
    """The batches differ from those annotate made, so the last bits do, and with them only ties."""
    data = open_data(scored)
    live = Masker(Entropy(load_checkpoint(str(teacher), data.tokenizer)), data.tokenizer, pick=pick)
    stored = Masker(Stored(scores_of(scored)), data.tokenizer, pick=pick)
    alike, picked, apart = 0, 0, 0.0
    for batch in batches(data):
        prepared = live.prepare(batch)
        live_BT, stored_BT = live.scores(prepared), stored.scores(prepared)
        live_picks, stored_picks = (live.choose(prepared, scores_BT)[0] for scores_BT in (live_BT, stored_BT))
        apart = max(apart, (live_BT - stored_BT).abs().max().item())
        alike, picked = alike + int((live_picks & stored_picks).sum()), picked + int(live_picks.sum())
    assert picked > 1000
    assert alike >= 0.999 * picked
    assert apart < 1e-4


def test_a_run_from_stored_scores_has_the_losses_of_one_from_the_live_teacher(tiny_data, teacher, tmp_path):
    """Same masks, same losses, to the last bit; and the teacher is not even loaded."""
    folder = Path(shutil.copytree(tiny_data, tmp_path / "blocks"))
    annotate(folder, str(teacher), batch_size=8, show=False)
    trainer = {
        "max_steps": 6, "per_device_train_batch_size": 8, "logging_steps": 1, "bf16": False,
        "save_strategy": "no", "eval_strategy": "no", "report_to": [],
    }  # fmt: skip
    losses = []
    for stored in (False, True):
        masking = {"score": "entropy", "source": "teacher", "pick": "high", "stored": stored}
        settings = resolve(
            {"data": {"path": str(folder), "held_out_blocks": 4}, "model": {"preset": "tiny"}, "teacher": str(teacher)},
            {"masking": masking, "trainer": trainer},
        )
        pretrain(settings, tmp_path / str(stored), show=False)
        losses.append([r["loss"] for r in read_metrics(tmp_path / str(stored) / "metrics.jsonl") if "loss" in r])
    assert len(losses[0]) == 6
    assert losses[0] == losses[1]


def test_it_keeps_the_contract_of_every_score(scored):
    data = open_data(scored)
    rows = [data.train[i]["input_ids"] for i in (3, 5, 70)]
    batch = make_batch(data.tokenizer, rows, example_ids=[3, 5, 70], side="left", num_extra=2)
    check_score(Stored(scores_of(scored)), data.tokenizer, batches=[batch])
    assert Stored(scores_of(scored))(batch)[batch["attention_mask"] == 0].eq(0).all()


def test_it_works_in_the_workers_of_a_collator(scored):
    data = open_data(scored)
    collator = MaskingCollator(Masker(Stored(scores_of(scored)), data.tokenizer, pick="high"))
    collator.set_epoch(0)
    rows = IndexedRows(data.train)
    here, there = (
        next(iter(DataLoader(rows, batch_size=8, collate_fn=collator, num_workers=workers))) for workers in (0, 1)
    )
    assert torch.equal(here["labels"], there["labels"])
    assert (here["labels"] != IGNORE).any()


def test_it_stands_in_for_a_teacher_who_hands_over_to_the_model(scored):
    data = open_data(scored)
    model, stored = build_model("tiny", len(data.tokenizer), 0, 0), Stored(scores_of(scored))
    score = Entropy(stored, epochs=1)
    score.bind(model)
    masker, batch = Masker(score, data.tokenizer), next(batches(data))
    first, second = masker.prepare(batch, TrainState(0)), masker.prepare(batch, TrainState(1))
    assert torch.equal(masker.scores(first), stored(first))
    own = Entropy()
    own.bind(model)
    assert torch.equal(masker.scores(second), own(second))
    assert not torch.allclose(masker.scores(second), stored(second), atol=0.01)


def test_entropy_is_not_read_as_surprisal_nor_as_scores_in_folds(scored):
    with pytest.raises(InputError, match="reads stored surprisal"):
        Surprisal(Stored(scores_of(scored)))
    with pytest.raises(InputError, match="leave out folds"):
        Entropy(Stored(scores_of(scored)), folds=7)


def test_scores_of_another_data_folder_are_refused(copied, teacher, tiny_data, tmp_path):
    """Rows of another folder have other tokens: masks would be noise that looks like entropy."""
    other = Path(shutil.copytree(tiny_data, tmp_path / "other"))
    shutil.copytree(copied / "scores", other / "scores")
    with pytest.raises(InputError, match="another data folder"):
        open_stored(open_data(other), str(teacher), "entropy")


def test_scores_of_another_tokenizer_are_refused(copied, teacher):
    manifest = json.loads((scores_of(copied) / "manifest.json").read_text()) | {"tokenizer_sha256": "0" * 64}
    (scores_of(copied) / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="another tokenizer"):
        open_stored(open_data(copied), str(teacher), "entropy")


def test_stored_scores_stand_alone(scored, tmp_path):
    """The folder is enough: the data it was made of may be elsewhere."""
    alone = Path(shutil.copytree(scores_of(scored), tmp_path / "alone"))
    batch = next(batches(open_data(scored)))
    masker = Masker(Stored(alone), open_data(scored).tokenizer)
    assert torch.equal(masker(batch)["labels"], Masker(Stored(scores_of(scored)), masker.tokenizer)(batch)["labels"])


def test_unfinished_and_shortened_scores_are_refused(copied):
    file = scores_of(copied) / "values.f32"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(InputError, match="cut short"):
        Stored(scores_of(copied))
    (scores_of(copied) / "manifest.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        Stored(scores_of(copied))
    with pytest.raises(InputError, match="do not exist"):
        Stored(copied / "scores" / "none")


def test_a_batch_without_row_numbers_is_refused(scored):
    """Ids made of the content are no row numbers."""
    data = open_data(scored)
    batch = {key: value for key, value in next(batches(data)).items() if key != "example_id"}
    with pytest.raises(InputError, match="`example_id`, the row's number"):
        Masker(Stored(scores_of(scored)), data.tokenizer)(batch)


def test_a_run_that_finds_nothing_stored_names_the_command(refused, tiny_data, teacher, pretrain_command, tmp_path):
    command = [*pretrain_command, "--out", str(tmp_path / "run"), "--set", "masking.stored=true"]
    text = refused([*command, "--recipe", "surprisal", "--teacher", str(teacher)])
    assert f"maskwise annotate --data {tiny_data} --teacher {teacher} --score surprisal" in text
    assert "stored = True is for entropy and surprisal" in refused([*command, "--recipe", "random"])
    assert not (tmp_path / "run").exists()
