"""Runs that keep the model which is best on the run's own masks."""

import json

import pytest

from maskwise.errors import InputError
from maskwise.lab.config import resolve
from maskwise.lab.pretraining.early_stopping import evaluations
from maskwise.lab.pretraining.pretrain import RunLog, pretrain
from maskwise.lab.records.run_folder import read_metrics
from maskwise.recipes import load_recipe

OWN = {"stopping": {"by": "strategy_masks"}}
TRAINER = {
    "max_steps": 6, "per_device_train_batch_size": 8, "bf16": False, "eval_steps": 2, "save_steps": 2,
    "logging_steps": 6, "report_to": [], "learning_rate": 5e-3, "warmup_steps": 0,
}  # fmt: skip


@pytest.fixture
def settings(tiny_data):
    base = {"data": {"path": str(tiny_data), "held_out_blocks": 16}, "model": {"preset": "tiny"}, "trainer": TRAINER}
    return resolve(load_recipe("entropy-self-cold"), base, {"recipe": "entropy-self-cold"}, OWN)


def test_the_model_kept_is_the_best_on_the_runs_own_masks_which_are_not_the_exams(settings, tmp_path):
    result = pretrain(settings, tmp_path / "run", show=False)
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    own, held_out = evaluations(records, "strategy_masks"), evaluations(records)
    assert [one.step for one in own] == [one.step for one in held_out] == [0, 2, 4, 6]
    assert all(abs(one.loss - other.loss) > 1e-3 for one, other in zip(own, held_out, strict=True))
    stopping = json.loads((tmp_path / "run" / "done.json").read_text())["stopping"]
    assert stopping["by"] == "strategy_masks"
    assert stopping["best"]["loss"] == min(one.loss for one in own)
    assert "Own masks " in result.stopping


def test_a_resumed_run_judges_by_the_same_losses(settings, tmp_path, monkeypatch):
    unbroken = pretrain(settings, tmp_path / "unbroken", show=False).folder
    log = RunLog.on_log

    def break_off(self, args, state, control, **kwargs):
        log(self, args, state, control, **kwargs)
        if state.global_step == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunLog, "on_log", break_off)
    with pytest.raises(KeyboardInterrupt):
        pretrain(settings, tmp_path / "run", show=False)
    monkeypatch.setattr(RunLog, "on_log", log)
    pretrain(settings, tmp_path / "run", resume=True, show=False)
    ends = [json.loads((run / "done.json").read_text())["stopping"] for run in (unbroken, tmp_path / "run")]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("kept", [{"stored": True, "source": "teacher"}, {"refresh_epochs": 1, "source": "self"}])
def test_scores_that_are_kept_for_training_text_cannot_be_asked_of_held_out_text(kept):
    base = {"data": {"path": "d"}, "model": {"preset": "tiny"}, "teacher": "t", "masking": {"score": "entropy", **kept}}
    with pytest.raises(InputError, match=r"stopping\.by = 'strategy_masks' scores held-out text"):
        resolve(base, OWN)
