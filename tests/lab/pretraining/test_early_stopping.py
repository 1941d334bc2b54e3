"""Runs that their evaluations stop: the rule on made-up curves, then real runs built so that they must stop by it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForMaskedLM, AutoTokenizer

from maskwise.files.checkpoint_folders import complete_checkpoints, step_of
from maskwise.lab.config import PretrainSettings, resolve, to_toml
from maskwise.lab.pretraining.build import load_model
from maskwise.lab.pretraining.early_stopping import Evaluation, StoppingRule, evaluations
from maskwise.lab.pretraining.pretrain import PretrainResult, RunLog, pretrain
from maskwise.lab.records.run_folder import read_metrics
from maskwise.lab.tokens.blocks import open_data
from maskwise.lab.tokens.prepare import PrepareSettings, prepare

WORDS = ["garden", "river", "street", "morning", "friend", "zebra", "quick", "jungle", "foxes", "wizard", "kayak"]
LOSS = st.integers(0, 6).map(float)


def general_text(num_documents: int) -> str:
    chance = random.Random(0)
    return "\n\n".join(" ".join(chance.choices(WORDS, k=60)) for _ in range(num_documents))


@pytest.fixture(scope="module")
def general_data(tiny_data, tmp_path_factory) -> Path:
    """Text whose words the domain (the language reference) does not have, with the domain's tokenizer."""
    folder = tmp_path_factory.mktemp("general")
    (folder / "text.txt").write_text(general_text(100))
    out = folder / "blocks"
    tokenizer = str(tiny_data / "tokenizer")
    prepare(PrepareSettings(sources=(str(folder / "text.txt"),), out=out, tokenizer=tokenizer, block=32, workers=1))
    return out


TRAINER = {
    "max_steps": 12, "per_device_train_batch_size": 8, "bf16": False, "eval_steps": 2, "save_steps": 2,
    "logging_steps": 6, "report_to": [],
}  # fmt: skip
SPECIALISING = {"max_steps": 40, "save_steps": 3, "save_total_limit": 1, "learning_rate": 3e-3, "warmup_steps": 0}


@pytest.fixture
def in_process(tiny_data, tmp_path):
    """Runs the job in this process from tables of settings over those of a small run, quietly."""

    def run(*tables, out="run", resume=False):
        base = {
            "data": {"path": str(tiny_data), "held_out_blocks": 16},
            "model": {"preset": "tiny"},
            "trainer": TRAINER,
        }
        return pretrain(resolve(base, *tables), tmp_path / out, resume=resume, show=False)

    return run


@pytest.fixture(scope="module")
def specialising(tiny_data, general_data) -> PretrainSettings:
    """A run on the domain from random weights: the general evaluation gets worse from some step on, and stops it."""
    return resolve(
        {
            "data": {"path": str(tiny_data), "general": str(general_data), "held_out_blocks": 16},
            "model": {"preset": "tiny"},
            "stopping": {"tolerance": 0.06, "patience": 9},
            "trainer": TRAINER | SPECIALISING,
        }
    )


@pytest.fixture(scope="module")
def specialised(specialising, tmp_path_factory) -> PretrainResult:
    """The run of `specialising`, not broken off."""
    return pretrain(specialising, tmp_path_factory.mktemp("specialised") / "run", show=False)


def stopping(run: Path) -> dict:
    return json.loads((run / "done.json").read_text())["stopping"]


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def curves(run: Path) -> list[Evaluation]:
    return evaluations(read_metrics(run / "metrics.jsonl"))


@given(st.lists(st.tuples(LOSS, LOSS), min_size=1, max_size=12), st.integers(1, 4), LOSS)
def test_the_rule_is_what_its_words_say(losses, patience, tolerance):
    """Against each sentence of the rule read literally, on every beginning of a run until it stops."""
    run = [Evaluation(10 * i, *both) for i, both in enumerate(losses)]
    rule = StoppingRule(patience, tolerance)
    for number in range(1, len(run) + 1):
        seen = run[:number]
        verdict = rule.judge(seen)
        within = [e for e in seen if e.general - seen[0].general <= tolerance]
        lowest = min(e.loss for e in within)
        assert verdict.best == next(e for e in within if e.loss == lowest)
        if seen[-1] not in within:
            assert verdict.reason == "over-specialisation"
        else:
            recent = seen[-patience:] if number > patience else []
            stale = bool(recent) and min(e.loss for e in recent) >= min(e.loss for e in seen[:-patience])
            assert verdict.reason == ("no improvement" if stale else None)
        if verdict.reason:
            return


@given(st.lists(st.tuples(LOSS, LOSS), min_size=2, max_size=12), LOSS)
def test_an_untrained_model_is_kept_only_where_no_other_may_be(losses, tolerance):
    run = [Evaluation(10 * i, *both) for i, both in enumerate(losses)]
    best = StoppingRule(tolerance=tolerance, trained_only=True).judge(run).best
    later = [e for e in run[1:] if e.general - run[0].general <= tolerance]
    assert best == min(later, key=lambda e: (e.loss, e.step), default=run[0])


def test_rules_that_are_off_do_not_stop():
    run = [Evaluation(0, 5.0, 4.0)] + [Evaluation(step, 6.0, 9.0) for step in range(1, 20)]
    assert StoppingRule().judge(run).reason is None
    assert StoppingRule(patience=19).judge([e._replace(general=None) for e in run]).reason == "no improvement"
    assert StoppingRule(tolerance=0.0).judge([e._replace(general=None) for e in run]).reason is None


def test_an_exam_that_is_not_a_number_is_never_the_best():
    nan = float("nan")
    rule = StoppingRule(patience=5, tolerance=0.1)
    assert rule.judge([Evaluation(0, 5.0, 4.0), Evaluation(1, nan, 4.0)]).best.step == 0
    assert rule.judge([Evaluation(0, 5.0, 4.0), Evaluation(1, 4.0, nan)]).reason == "over-specialisation"


def test_a_run_whose_general_exam_gets_worse_stops_by_it_and_keeps_the_best_model_before(specialised):
    """The model of the last step may well be better at the domain; it is not the one to keep."""
    run = specialised.folder
    end, seen = stopping(run), curves(run)
    assert end["reason"] == "over-specialisation"
    assert seen[-1].step == end["last"]["step"] < 40
    assert seen[-1].general - seen[0].general > 0.06
    assert all(e.general - seen[0].general <= 0.06 for e in seen[:-1])
    assert 0 < end["best"]["step"] < end["last"]["step"]
    done = json.loads((run / "done.json").read_text())
    assert done["held_out"]["random"]["loss"] == pytest.approx(end["best"]["loss"], abs=1e-9)
    assert done["held_out"]["on the general evaluation"]["loss"] == pytest.approx(end["best"]["general"], abs=1e-9)
    kept = AutoModelForMaskedLM.from_pretrained(run / f"checkpoint-{end['best']['step']}").state_dict()
    assert all(
        torch.equal(kept[key], value) for key, value in AutoModelForMaskedLM.from_pretrained(run).state_dict().items()
    )
    assert "over-specialisation: the general evaluation was" in specialised.stopping
    assert f"Kept: the model of step {end['best']['step']}." in (run / "README.md").read_text()
    assert "<svg" in (run / "curves.svg").read_text()


def test_the_best_checkpoint_outlives_the_limit_on_checkpoints(specialised):
    run = specialised.folder
    steps = [step_of(path) for path in complete_checkpoints(run)]
    assert stopping(run)["best"]["step"] in steps
    assert len(steps) <= 2


def test_a_run_broken_off_and_resumed_stops_at_the_same_step_with_the_same_bytes(
    specialised, specialising, monkeypatch, tmp_path
):
    """A resumed run that forgot the evaluations of its first part would go on for longer, or keep another model."""
    unbroken, out = specialised.folder, tmp_path / "run"
    best, last = stopping(unbroken)["best"]["step"], stopping(unbroken)["last"]["step"]
    log = RunLog.on_log
    for step in (best - 1, best + 1):

        def break_off(self, args, state, control, step=step, **kwargs):
            log(self, args, state, control, **kwargs)
            if state.global_step > step:
                raise KeyboardInterrupt

        monkeypatch.setattr(RunLog, "on_log", break_off)
        with pytest.raises(KeyboardInterrupt):
            pretrain(specialising, out, resume=True, show=False)
    monkeypatch.setattr(RunLog, "on_log", log)
    assert step_of(complete_checkpoints(out)[-1]) < last
    pretrain(specialising, out, resume=True, show=False)
    assert stopping(out) == stopping(unbroken)
    assert curves(out) == curves(unbroken)
    assert weights(out) == weights(unbroken)
    assert (out / "curves.svg").read_bytes() == (unbroken / "curves.svg").read_bytes()


def test_two_processes_stop_together_and_say_so_once(specialised, specialising, run_maskwise, two_processes, tmp_path):
    """A rank that decided by its own share of the evaluation would stop alone, and the other would wait for ever."""
    (tmp_path / "config.toml").write_text(to_toml(specialising))
    half = ["--set", "trainer.per_device_train_batch_size=4"]
    command = ["pretrain", "--config", str(tmp_path / "config.toml"), *half, "--out", str(tmp_path / "two")]
    result = run_maskwise(command, launcher=two_processes())
    one, two = stopping(specialised.folder), stopping(tmp_path / "two")
    for point in ("best", "last"):
        assert two[point]["step"] == one[point]["step"]
        assert two[point]["general"] == pytest.approx(one[point]["general"], abs=1e-3)
    assert two["reason"] == one["reason"] == "over-specialisation"
    assert result.stdout.count("over-specialisation: the general evaluation was") == 1
    assert result.stderr.count("over-specialisation: the general evaluation was") == 1


def test_a_run_that_learns_nothing_runs_out_of_patience_and_keeps_the_model_it_began_with(in_process, tiny_data):
    """No general evaluation is needed for that; the kept model of step 0 has no checkpoint to come from."""
    settings = {"stopping": {"patience": 2}, "trainer": {"learning_rate": 0.0, "save_strategy": "no"}}
    result = in_process(settings)
    end = stopping(result.folder)
    assert (end["reason"], end["best"]["step"], end["last"]["step"]) == ("no improvement", 0, 4)
    assert "no improvement: the evaluation had not become better for 2 evaluations" in result.stopping
    start = load_model(resolve({"data": {"path": str(tiny_data)}, "model": {"preset": "tiny"}}), open_data(tiny_data))
    kept = AutoModelForMaskedLM.from_pretrained(result.folder).state_dict()
    assert all(torch.equal(kept[key], value) for key, value in start.state_dict().items())


def test_a_run_that_stopped_and_was_killed_before_its_model_was_saved_trains_no_further(in_process):
    settings = {"stopping": {"patience": 2}, "trainer": {"learning_rate": 0.0}}
    run = in_process(settings).folder
    before, records = stopping(run), read_metrics(run / "metrics.jsonl")
    for name in ("done.json", "model.safetensors", "README.md"):
        (run / name).unlink()
    in_process(settings, resume=True)
    assert stopping(run) == before
    assert [r for r in read_metrics(run / "metrics.jsonl") if "eval_loss" in r] == [
        r for r in records if "eval_loss" in r
    ]


def test_a_run_killed_after_its_last_checkpoint_takes_no_step_more(in_process):
    """The Trainer, resumed at its last step, takes another: with a constant learning rate, another model."""
    settings = {"trainer": {"lr_scheduler_type": "constant", "max_steps": 4}}
    run = in_process(settings).folder
    before = weights(run)
    (run / "done.json").unlink()
    (run / "model.safetensors").unlink()
    in_process(settings, resume=True)
    assert json.loads((run / "done.json").read_text())["steps"] == 4
    assert weights(run) == before


def test_the_last_step_is_evaluated_whatever_the_period(in_process):
    run = in_process({"stopping": {"patience": 5}, "trainer": {"max_steps": 5}}).folder
    assert [e.step for e in curves(run)] == [0, 2, 4, 5]
    assert stopping(run)["reason"] == "last step"


@pytest.fixture(scope="module")
def extended_data(tiny_data, tmp_path_factory) -> Path:
    """The general text under the domain tokenizer extended by its words."""
    folder = tmp_path_factory.mktemp("extended")
    (folder / "text.txt").write_text(general_text(100))
    settings = PrepareSettings(
        sources=(str(folder / "text.txt"),), out=folder / "blocks", extend_tokenizer=str(tiny_data / "tokenizer"),
        new_words=8, block=32, workers=1,
    )  # fmt: skip
    prepare(settings, show=False)
    return folder / "blocks"


def test_a_checkpoint_goes_on_with_an_extended_tokenizer_and_its_new_words_start_as_their_pieces(
    in_process, extended_data, tiny_data, teacher
):
    base = AutoModelForMaskedLM.from_pretrained(teacher).get_input_embeddings().weight
    tokenizer, old = open_data(extended_data).tokenizer, AutoTokenizer.from_pretrained(teacher)
    settings = {"data": {"path": str(extended_data)}, "model": {"checkpoint": str(teacher)}}
    model = load_model(resolve(settings), open_data(extended_data))
    assert len(tokenizer) == len(old) + 8 == model.config.vocab_size
    for number in range(len(old), len(tokenizer)):
        word = tokenizer.convert_ids_to_tokens(number)
        pieces = old(word, add_special_tokens=False)["input_ids"]
        assert word in WORDS and len(pieces) > 1
        assert torch.equal(model.get_input_embeddings().weight[number], base[pieces].mean(dim=0))
    run = in_process(settings | {"model": {"preset": None, "checkpoint": str(teacher)}}, {"trainer": {"max_steps": 2}})
    again = AutoTokenizer.from_pretrained(run.folder)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.tokenize("the zebra") == tokenizer.tokenize("the zebra")
    assert AutoModelForMaskedLM.from_pretrained(run.folder).config.vocab_size == len(tokenizer)


def test_two_exams_under_different_tokenizers_are_refused(refused, extended_data, general_data, tmp_path):
    folders = ["--data", str(extended_data), "--general-data", str(general_data)]
    text = refused(["pretrain", "--model", "tiny", *folders, "--out", str(tmp_path / "run")])
    assert "different tokenizers (600 and 608 tokens)" in text
    assert f"--tokenizer {extended_data / 'tokenizer'}" in text
    assert not (tmp_path / "run").exists()


BAD_INPUT = {
    "no such folder": (["--general-data", "nowhere"], "nowhere does not exist"),
    "patience of 0": (["--set", "stopping.patience=0"], "stopping.patience"),
    "negative tolerance": (["--set", "stopping.tolerance=-1"], "stopping.tolerance"),
    "tolerance without an evaluation": (["--set", "stopping.tolerance=0.1"], "give --general-data DIR"),
    "unknown": (["--set", "stopping.patients=3"], "Did you mean 'patience'?"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_answered_in_words(case, refused, pretrain_command, tmp_path):
    arguments, words = BAD_INPUT[case]
    assert words in refused([*pretrain_command, "--out", str(tmp_path / "run"), *arguments])
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_the_extended_vocabulary_is_refused_on_data_of_the_base(
    refused, in_process, extended_data, tiny_data, teacher, tmp_path
):
    settings = {"data": {"path": str(extended_data)}, "model": {"preset": None, "checkpoint": str(teacher)}}
    run = in_process(settings, {"trainer": {"max_steps": 1}}).folder
    arguments = ["pretrain", "--data", str(tiny_data), "--from", str(run), "--out", str(tmp_path / "back")]
    assert "have different vocabularies (608 and 600 tokens)" in refused(arguments)
