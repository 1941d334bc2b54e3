"""The `[trainer]` table: what the Trainer would take and fail at later is refused before a folder is made."""

import pytest

from maskwise.errors import InputError
from maskwise.lab.pretraining.trainer_settings import Begun, check_trainer_table, nothing_left_behind


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"learning_rate": "fast"}, "trainer.learning_rate is a number"),
        ({"learning_rate": float("nan")}, "trainer.learning_rate is a finite number; found nan"),
        ({"learning_rate": float("inf")}, "trainer.learning_rate is a finite number; found inf"),
        ({"learning_rate": True}, "trainer.learning_rate is a number"),
        ({"learning_rate": -1.0}, "trainer.learning_rate is -1.0; give at least 0"),
        ({"max_steps": 0}, "trainer.max_steps is 0; give at least 1"),
        ({"max_steps": 2.5}, "trainer.max_steps"),
        ({"num_train_epochs": 0}, "give more than 0"),
        ({"save_total_limit": 0}, "give at least 1"),
        ({"bf16": "yes"}, "trainer.bf16"),
        ({"learning_rat": 1e-3}, "Did you mean 'learning_rate'"),
        ({"checkpoint_word": [1]}, "Did you mean 'checkpoint_words'"),
        ({"seed": 3}, "is set by maskwise. Use --out and --seed"),
        ({"do_train": True}, "maskwise pretrain always trains"),
        ({"resume_from_checkpoint": "x"}, "use --resume"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(table, message):
    with pytest.raises(InputError, match=message):
        check_trainer_table(table, {"seed": 0})


def test_settings_that_work_are_taken():
    check_trainer_table({"max_steps": -1, "learning_rate": 1, "bf16": False, "report_to": [], "logging_steps": 0.1}, {})


COMMANDS = {
    "a scheduler of no name": ("trainer.lr_scheduler_type=no-such", "no-such"),
    "an optimizer of no name": ("trainer.optim=no-such", "no-such"),
    "a reporter of no name": ("trainer.report_to=['no-such']", "no-such"),
    "deepspeed without the package": ("trainer.deepspeed='no-such.json'", ""),
    "an option that is refused": ("trainer.ignore_data_skip=true", "does not take ignore_data_skip"),
    "a batch larger than the data, of full batches alone": (
        "trainer.per_device_train_batch_size=100000", "No batch of 100,000 rows is full",
    ),
    "a best model by no figure": ("trainer.metric_for_best_model=accuracy", "no evaluation has"),
}  # fmt: skip


@pytest.mark.parametrize(("setting", "message"), COMMANDS.values(), ids=COMMANDS)
def test_a_command_with_such_settings_leaves_no_folder(setting, message, refused, tiny_data, tmp_path):
    """Left there, the folder would stand in the way of the corrected command."""
    out = tmp_path / "runs" / "one"
    command = ["pretrain", "--data", tiny_data, "--model", "tiny", "--steps", "2", "--out", out]
    text = refused([*command, "--set", "trainer.dataloader_drop_last=true", "--set", setting])
    assert message in text
    assert not out.exists() and not out.parent.exists()


def test_a_seed_beyond_numpys_is_refused(refused, tiny_data, tmp_path):
    command = ["pretrain", "--data", tiny_data, "--model", "tiny", "--out", tmp_path / "run"]
    assert "4294967296" in refused([*command, "--seed", 2**32])
    assert not (tmp_path / "run").exists()


def test_what_was_in_a_folder_before_is_left_there(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError), nothing_left_behind(out, Begun()):
        raise InputError("wrong")
    assert (out / "notes.txt").read_text() == "mine"


def test_a_run_that_took_a_step_keeps_what_it_wrote(tmp_path):
    begun, out = Begun(), tmp_path / "run"

    def fail():
        with nothing_left_behind(out, begun):
            out.mkdir()
            begun.has_stepped = True
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert out.is_dir()
