"""Whatever this software wrote is told from what it is not: flipped bits, zeros, another folder's file."""

import json
import shutil

import numpy as np
import pytest

from fixtures.tuned import QUICK
from made_up_study import make_study
from maskwise.errors import InputError
from maskwise.lab import finetune, pretrain
from maskwise.lab.study.integrity import verify
from maskwise.lab.tokens.blocks import open_data
from maskwise.lab.tokens.content import data_hash
from maskwise.models.loading import load_masked_lm
from maskwise.scores.store import store_scores
from maskwise.scores.stored import Stored


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def zeros(path):
    content = bytearray(path.read_bytes())
    middle, number = len(content) // 2, min(1 << 16, len(content) // 4)
    content[middle : middle + number] = bytes(number)
    assert content != path.read_bytes()
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def another(path):
    """As long as the right one, as a file of another folder may be."""
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


DAMAGES = (flip, zeros, cut, another)
TRAINER = {
    "per_device_train_batch_size": 4, "bf16": False, "report_to": [], "save_steps": 2, "eval_steps": 2, "use_cpu": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tiny_data, glue, tmp_path_factory):
    """A folder with a data folder, a run with its checkpoints, a tuned model, and stored scores."""
    folder = tmp_path_factory.mktemp("written")
    data = shutil.copytree(tiny_data, folder / "data")
    run = pretrain(data=data, model="tiny", steps=2, out=folder / "run", trainer=TRAINER, show=False)
    finetune(run, "sst2", task_data=glue, out=folder / "tuned", settings=QUICK | {"max_epochs": 1}, show=False)
    rows = open_data(data).train.select_columns(["input_ids"]).to_list()
    store_scores(lambda batch: batch["input_ids"] / 2, rows, folder / "scores", show=False)
    return folder


@pytest.fixture
def copy(written, tmp_path):
    return shutil.copytree(written, tmp_path / "copy")


FILES = (
    "data/train.arrow", "data/valid.arrow", "data/token_counts.npy", "data/tokenizer/tokenizer.json",
    "run/model.safetensors", "run/config.json", "run/metrics.jsonl", "run/record.json",
    "run/checkpoint-2/optimizer.pt", "run/checkpoint-2/model.safetensors", "tuned/sst2/seed-0/model.safetensors",
    "tuned/sst2/seed-0/predictions.parquet", "tuned/sst2/seed-0/record.json", "scores/values.f32", "scores/offsets.npy",
)  # fmt: skip


def test_what_is_as_it_was_written_is_sound(written):
    found = verify(written, show=False)
    assert not found.damaged and not found.unfinished
    names = {path.relative_to(written).as_posix() for path in (one.path for one in found.checked)}
    assert {"data/manifest.json", "run/done.json", "run/checkpoint-2/complete.json"} <= names
    assert {"tuned/sst2/seed-0/result.json", "tuned/sst2/seed-0/record.json", "scores/manifest.json"} <= names
    assert "all as they were written" in repr(found)


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_damage_is_found_in_every_file(copy, name):
    whole = (copy / name).read_bytes()
    for change in DAMAGES:
        change(copy / name)
        found = verify(copy, show=False)
        assert len(found.damaged) >= 1, change.__name__
        assert name.rpartition("/")[2] in repr(found), change.__name__
        (copy / name).write_bytes(whole)
    (copy / name).unlink()
    if not name.endswith("record.json"):
        assert f"{name.rpartition('/')[2]} is missing" in repr(verify(copy, show=False))


def test_markers_that_do_not_parse_are_damaged(copy):
    for name in ("data/manifest.json", "run/done.json", "run/checkpoint-2/complete.json", "scores/manifest.json"):
        (copy / name).write_text("{", encoding="utf-8")
    assert len(verify(copy, show=False).damaged) == 4


@pytest.mark.parametrize("change", DAMAGES)
@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("data/train.arrow", lambda folder: data_hash(open_data(folder / "data"))),
        ("data/tokenizer/tokenizer.json", lambda folder: open_data(folder / "data")),
        ("run/model.safetensors", lambda folder: load_masked_lm(str(folder / "run"))),
        ("scores/values.f32", lambda folder: Stored(folder / "scores").check_run(None)),
    ],
)
def test_damage_is_found_before_it_is_used(copy, change, name, use):
    use(copy)
    change(copy / name)
    with pytest.raises(InputError, match=name.rpartition("/")[2].replace(".", r"\.")):
        use(copy)


def test_the_card_of_a_run_may_be_edited(copy):
    (copy / "run" / "README.md").write_text("My model", encoding="utf-8")
    assert not verify(copy / "run", show=False).damaged


def test_a_run_that_is_not_finished_is_named_and_not_damaged(copy):
    (copy / "run" / "done.json").unlink()
    (copy / "run" / "checkpoint-1").mkdir()
    found = verify(copy / "run", show=False)
    assert not found.damaged
    assert {path.name for path in found.unfinished} == {"run", "checkpoint-1"}


def test_a_study_is_verified_without_the_weights_that_it_deleted(copy, tmp_path):
    out = tmp_path / "study"
    make_study(out)
    assert not verify(out, show=False).damaged
    run = out / "runs/high/tiny/0/cola/cola/seed-0"
    flip(run / "predictions.parquet")
    (damaged,) = verify(out, show=False).damaged
    assert damaged == run / "record.json"
    tuned = out / "runs/random/tiny/0/sst2"
    shutil.copytree(copy / "tuned", tuned)
    (tuned / "sst2/seed-0/model.safetensors").unlink()
    assert len(verify(out, show=False).damaged) == 1
    study = out / "study.toml"
    study.write_text(study.read_text(encoding="utf-8").replace("keep_models = false", "keep_models = true"))
    assert len(verify(out, show=False).damaged) == 2


def test_the_command_prints_what_is_damaged_and_fails(copy, maskwise, exit_code, refused, capsys, tmp_path):
    assert "all as they were written" in maskwise(["verify", copy / "data", copy / "run"])
    flip(copy / "data" / "train.arrow")
    capsys.readouterr()
    assert exit_code(["verify", copy / "data"]) == 1
    assert "train.arrow is not what was written" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert "holds nothing that maskwise has finished" in refused(["verify", tmp_path / "empty"])
    assert "There is no folder" in refused(["verify", tmp_path / "nowhere"])


def test_a_metric_that_was_changed_in_a_record_is_found(copy):
    path = copy / "tuned/sst2/seed-0/record.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    tree["metrics"]["accuracy"]["value"] = 0.99
    path.write_text(json.dumps(tree), encoding="utf-8")
    assert "record.json is damaged" in repr(verify(copy / "tuned", show=False))
