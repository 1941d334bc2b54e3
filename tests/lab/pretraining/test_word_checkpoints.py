"""Models kept by the words that a run has read: the first step that reaches a number, once, resumed or not."""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file

from maskwise.errors import InputError
from maskwise.lab.evaluation.babylm import revisions_of
from maskwise.lab.evaluation.babylm_sets import revision_names
from maskwise.lab.pretraining.word_checkpoints import BABYLM, checkpoint_words, revision_of
from maskwise.lab.tokens.blocks import open_data
from maskwise.models.loading import load_checkpoint, load_tokenizer

STEPS, BATCH = 12, 8


@pytest.fixture(scope="module")
def words_per_step(tiny_data):
    """By the data's own count: the words of an epoch, spread over its steps."""
    data = open_data(tiny_data)
    return data.manifest["counts"]["train_words"] / math.ceil(len(data.train) / BATCH)


@pytest.fixture(scope="module")
def numbers(words_per_step):
    """Reached at the steps 3, 3, 7 and 12: two in the middle of a step, one at a step's end."""
    return [int(2.2 * words_per_step), int(2.8 * words_per_step), int(6.5 * words_per_step), int(12 * words_per_step)]


@pytest.fixture(scope="module")
def run(pretrain_command, run_here, numbers, tmp_path_factory):
    out = tmp_path_factory.mktemp("words") / "run"
    settings = ["--set", f"trainer.checkpoint_words={numbers}", "--set", "trainer.save_steps=1"]
    settings += ["--set", "trainer.save_total_limit=20"]
    run_here([*pretrain_command, "--out", str(out), *settings])
    return out


def weights(folder):
    return load_file(folder / "model.safetensors")


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_each_number_has_the_weights_of_the_first_step_that_reaches_it(run, numbers):
    for words, step in zip(numbers, (3, 3, 7, 12), strict=True):
        assert_same(weights(run / revision_of(words)), weights(run / f"checkpoint-{step}"))
    assert_same(weights(run / revision_of(numbers[-1])), weights(run))


def test_a_kept_model_loads_with_its_tokenizer(run, numbers, tiny_data):
    folder = str(run / revision_of(numbers[0]))
    tokenizer = load_tokenizer(folder)
    assert tokenizer.get_vocab() == open_data(tiny_data).tokenizer.get_vocab()
    assert load_checkpoint(folder, tokenizer)


def test_a_resumed_run_keeps_what_is_there_and_writes_what_is_not(run, numbers, run_here, tmp_path):
    again = shutil.copytree(run, tmp_path / "run")
    (again / "done.json").unlink()
    for step in range(6, STEPS + 1):
        shutil.rmtree(again / f"checkpoint-{step}")
    for words in numbers[2:]:
        shutil.rmtree(again / revision_of(words))
    (again / revision_of(numbers[0]) / "model.safetensors").write_bytes(b"left alone")
    run_here(["pretrain", "--out", str(again), "--resume"])
    assert (again / revision_of(numbers[0]) / "model.safetensors").read_bytes() == b"left alone"
    for words in numbers[2:]:
        assert_same(weights(again / revision_of(words)), weights(run / revision_of(words)))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1M", "is a list of numbers of words"),
        ([], "is a list of numbers of words"),
        ([0], "is a list of numbers of words"),
        ([True], "is a list of numbers of words"),
        (["1000"], "is a list of numbers of words"),
        ([10**9], r"has 1,000,000,000, and the run reads"),
    ],
)
def test_settings_that_cannot_be_are_refused(tiny_data, value, message):
    with pytest.raises(InputError, match=message):
        checkpoint_words(value, open_data(tiny_data), 2.0)


def test_it_is_refused_before_anything_is_written(pretrain_command, refused, tmp_path):
    out = tmp_path / "run"
    assert "the run reads" in refused([*pretrain_command, "--out", out, "--set", "trainer.checkpoint_words=[10000000]"])
    assert not out.exists()
    assert "Did you mean 'checkpoint_words'" in refused(
        [*pretrain_command, "--out", out, "--set", "trainer.checkpoint_word=[1]"]
    )


def test_data_without_a_count_of_words_are_refused(tiny_data, tmp_path):
    folder = shutil.copytree(tiny_data, tmp_path / "data")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    del manifest["counts"]["train_words"]
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(InputError, match=r"does not say how many words it has\. Prepare it again"):
        checkpoint_words([100], open_data(folder), 1.0)


def test_babylm_takes_what_the_run_reaches(tiny_data):
    data = open_data(tiny_data)
    epochs = 12_500_000 / data.manifest["counts"]["train_words"]
    assert checkpoint_words("babylm", data, epochs) == BABYLM[:10]
    assert checkpoint_words("babylm", data, 1.0) == ()
    assert checkpoint_words(None, data, 1.0) == ()


def test_the_folders_are_the_revisions_of_an_entry(tmp_path):
    assert tuple(map(revision_of, BABYLM)) == revision_names()
    for name in ("chck_10M", "chck_1M", "chck_2500"):
        (tmp_path / name).mkdir()
    assert list(revisions_of(tmp_path)) == ["chck_1M", "chck_10M", "main"]
