"""Fine-tuning from the command line: what is stored and printed, what is skipped and resumed, what is refused."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn import metrics as sk
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from fixtures.tuned import QUICK, sentences, write_jsonl
from maskwise.errors import InputError
from maskwise.lab.commands.tuning import distinct_seeds
from maskwise.lab.tuning.finetune import finetune
from maskwise.lab.tuning.fit import uses_bf16
from maskwise.lab.tuning.settings import TuneSettings


@pytest.fixture(scope="module")
def tuned(checkpoint, glue, tmp_path_factory):
    """Two tasks by two seeds."""
    out = tmp_path_factory.mktemp("tuned")
    result = finetune(
        checkpoint, ["sst2", "stsb"], task_data=glue, out=out, seeds=(0, 3), settings=TuneSettings(**QUICK), show=False
    )
    return out, result


def test_a_model_that_can_learn_the_task_does(tuned):
    _, result = tuned
    sst2, stsb = result.tasks
    assert sst2.mean("accuracy") > 0.9
    assert stsb.mean("pearson") > 0.8
    assert sst2.baselines == {"constant": {"accuracy": pytest.approx(2 / 3)}}
    assert not sst2.one_class


def test_stored_metrics_are_those_of_the_stored_predictions(tuned, glue):
    out, _ = tuned
    for seed in (0, 3):
        folder = out / "sst2" / f"seed-{seed}"
        table = pq.read_table(folder / "predictions.parquet").to_pydict()
        result = json.loads((folder / "result.json").read_text())
        assert table["index"] == list(range(60))
        assert table["label"] == [label for _, label in sentences(60, 2)]
        assert table["prediction"] == [int(np.argmax(scores)) for scores in table["scores"]]
        assert result["metrics"]["accuracy"] == pytest.approx(
            sk.accuracy_score(table["label"], table["prediction"]), abs=1e-9
        )
        best = max(result["history"], key=lambda epoch: (epoch["score"], -epoch["loss"]))
        assert result["epoch"] == best["epoch"]
        assert result["tokens"] > 0 < result["flops"]
    stsb = pq.read_table(out / "stsb" / "seed-0" / "predictions.parquet").to_pydict()
    assert stsb["prediction"] == [scores[0] for scores in stsb["scores"]]


def test_the_stored_model_loads_with_nothing_of_ours_and_predicts_the_same(tuned):
    out, _ = tuned
    folder = out / "sst2" / "seed-0"
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    table = pq.read_table(folder / "predictions.parquet").to_pydict()
    texts = [text for text, _ in sentences(60, 2)]
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    np.testing.assert_allclose(logits, np.array(table["scores"]), atol=1e-5)
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert not list(folder.glob("checkpoint-*"))


def test_the_classes_are_printed_once_and_kept_with_every_seed(tuned, maskwise, command, capsys, tmp_path):
    out, _ = tuned
    stored = [json.loads((out / "sst2" / f"seed-{seed}" / "result.json").read_text()) for seed in (0, 3)]
    counts = {"train": {"negative": 80, "positive": 160}, "validation": {"negative": 20, "positive": 40}}
    assert [result["class_counts"] for result in stored] == [counts, counts]
    assert stored[0]["head"] == "new"
    assert json.loads((out / "stsb" / "seed-0" / "result.json").read_text())["class_counts"] == {}


def test_what_classes_were_found_is_said_on_stderr(exit_code, command, capsys, tmp_path):
    assert not exit_code(command("sst2", tmp_path, "--seeds", "0-1", max_epochs=1))
    lines = [line for line in capsys.readouterr().err.splitlines() if "classes" in line]
    assert lines == ["sst2: 2 classes, and how often each is in the training set: negative (80), positive (160)"]


def test_one_task_may_be_given_by_its_name_alone(checkpoint, glue, tmp_path):
    settings = TuneSettings(**QUICK | {"max_epochs": 1})
    result = finetune(checkpoint, "sst2", task_data=glue, out=tmp_path, settings=settings, show=False)
    assert [scores.task.name for scores in result.tasks] == ["sst2"]


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/b", "..", "", "a\\b", "-x", "x" * 200])
def test_a_task_whose_name_leads_out_of_the_folder_is_refused(name, command, refused, tmp_path):
    arguments = command("sst2", tmp_path / "in" / "out", "--text-column", "sentence")
    arguments[arguments.index("--task") + 1] = name
    if name == "-x":
        arguments[arguments.index("--task") : arguments.index("--task") + 2] = ["--task=-x"]
    assert "cannot be the name of a folder" in refused(arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seeds", [(), (-1,), (2**32,), (1, 1), (0.5,), ("0",)])
def test_seeds_that_cannot_be_drawn_from_are_refused(seeds, checkpoint, glue, tmp_path):
    with pytest.raises(InputError, match="seed"):
        finetune(checkpoint, "sst2", task_data=glue, out=tmp_path / "out", seeds=seeds, show=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"metrics": {}}', '{"metrics": {"accuracy": "1"}}'])
@pytest.mark.parametrize("name", ["result.json", "record.json"])
def test_a_damaged_file_of_a_finished_seed_is_named_with_what_to_do(name, content, tuned, command, refused, tmp_path):
    out = Path(shutil.copytree(tuned[0], tmp_path / "out"))
    (out / "sst2" / "seed-3" / name).write_text(content)
    said = refused(command("sst2", out, "--seeds", "0,3"))
    folder = out / "sst2" / "seed-3"
    assert str(folder) in said
    assert "elete" in said


def test_a_seed_with_the_metrics_of_another_task_is_refused(tuned, command, refused, tmp_path):
    out = Path(shutil.copytree(tuned[0], tmp_path / "out"))
    shutil.copy(out / "stsb" / "seed-0" / "result.json", out / "sst2" / "seed-3" / "result.json")
    said = refused(command("sst2", out, "--seeds", "0,3"))
    assert f"The tuned model in {out / 'sst2' / 'seed-3'} is damaged" in said


def test_finished_seeds_are_skipped_and_new_ones_are_added(tuned, checkpoint, glue, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(tuned[0], out)
    before = (out / "sst2" / "seed-3" / "result.json").stat().st_mtime_ns
    settings = TuneSettings(**QUICK)
    result = finetune(checkpoint, ["sst2"], task_data=glue, out=out, seeds=(3, 4), settings=settings, show=False)
    assert (out / "sst2" / "seed-3" / "result.json").stat().st_mtime_ns == before
    assert list(result.tasks[0].results) == [3, 4]
    stored = json.loads((out / "results.json").read_text())["tasks"]["sst2"]["metrics"]["accuracy"]
    assert list(stored["seeds"]) == ["3", "4"]


def test_seeds_differ_and_a_seed_is_the_same_again(tuned, checkpoint, glue, tmp_path):
    settings = TuneSettings(**QUICK)
    again = finetune(checkpoint, ["sst2"], task_data=glue, out=tmp_path, seeds=(3,), settings=settings, show=False)
    histories = [result["history"] for result in tuned[1].tasks[0].results.values()]
    assert strip(histories[0]) != strip(histories[1])
    assert strip(again.tasks[0].results[3]["history"]) == strip(histories[1])


def strip(history):
    """A history without its seconds."""
    return [(epoch["score"], epoch["loss"]) for epoch in history]


def test_the_table_has_every_seed_the_constant_row_and_says_what_selected(maskwise, command, tmp_path):
    printed = maskwise(command("cola", tmp_path, "--seeds", "0-1", max_epochs=1, learning_rate=1e-9))
    lines = printed.splitlines()
    assert lines[0].split() == ["task", "metric", "seed", "0", "seed", "1", "mean", "sd", "no", "model"]
    accuracy = next(line for line in lines if " accuracy " in line)
    assert "66.67 (constant)" in accuracy
    assert "one class: seed" in accuracy
    assert "selected on 10% of the training data" in lines[-1]


def test_the_papers_way_of_selecting_says_so_and_json_is_for_machines(maskwise, command, tmp_path):
    assert "optimistic" in maskwise(command("sst2", tmp_path / "a", "--select-on", "validation", max_epochs=1))
    printed = json.loads(maskwise(command("sst2", tmp_path / "b", "--json", max_epochs=1)))
    assert printed["tasks"]["sst2"]["metrics"]["accuracy"]["constant"] == pytest.approx(2 / 3)
    assert printed["settings"]["select_on"] == "train-share"
    assert printed["glue_average"] is None


def test_frozen_tuning_moves_classifier_and_pooler_alone(maskwise, command, checkpoint, tmp_path):
    maskwise(command("sst2", tmp_path, "--freeze", max_epochs=2))
    tuned = AutoModelForSequenceClassification.from_pretrained(tmp_path / "sst2" / "seed-0").state_dict()
    from transformers import AutoModelForMaskedLM

    before = AutoModelForMaskedLM.from_pretrained(checkpoint).state_dict()
    shared = [name for name in tuned if name in before]
    assert len(shared) > 30
    assert all(torch.equal(tuned[name], before[name]) for name in shared)
    trained = json.loads((tmp_path / "sst2" / "seed-0" / "result.json").read_text())["trained"]
    assert sorted(set(tuned) - set(shared)) == trained


def test_a_classification_set_of_yours_needs_its_columns_only(maskwise, checkpoint, tmp_path):
    for split, number in (("train", 60), ("validation", 20)):
        rows = [{"body": text, "kind": "praise" if y else "other"} for text, y in sentences(number, number)]
        write_jsonl(tmp_path / "mine" / f"{split}.jsonl", rows)
    quick = [part for key, value in (QUICK | {"max_epochs": 1}).items() for part in ("--set", f"tune.{key}={value}")]
    columns = ["--task-data", str(tmp_path / "mine"), "--text-column", "body", "--label-column", "kind"]
    printed = maskwise(
        ["finetune", str(checkpoint), "--task", "mine", *columns, "--out", str(tmp_path / "out"), *quick]
    )
    assert "macro_f1" in printed
    config = json.loads((tmp_path / "out" / "mine" / "seed-0" / "config.json").read_text())
    assert config["id2label"] == {"0": "other", "1": "praise"}


def test_a_killed_run_goes_on_to_the_same_scores(command, checkpoint, glue, killed_when, tmp_path):
    """SIGKILL to a process of its own, with a checkpoint written after every epoch."""
    out, settings = tmp_path / "killed", {"max_epochs": 10, "patience": 10, "batch_size": 8, "learning_rate": 3e-4}
    arguments = command("sst2", out, **settings)
    seed = out / "sst2" / "seed-0"
    killed_when(arguments, lambda: any(seed.glob("checkpoint-*/complete.json")))
    assert not (seed / "result.json").exists()
    epochs_done = [int(folder.name.split("-")[1]) // 27 for folder in seed.glob("checkpoint-*")]
    assert 1 <= min(epochs_done) < 10

    def run(folder):
        return finetune(
            checkpoint, ["sst2"], task_data=glue, out=folder, settings=TuneSettings(**QUICK | settings), show=False
        )

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    resumed, unbroken = (run(folder).tasks[0].results[0] for folder in (out, tmp_path / "unbroken"))
    torch.set_num_threads(threads)
    assert resumed["metrics"] == unbroken["metrics"]
    assert strip(resumed["history"]) == strip(unbroken["history"])
    tables = [
        pq.read_table(folder / "sst2" / "seed-0" / "predictions.parquet") for folder in (out, tmp_path / "unbroken")
    ]
    assert tables[0].equals(tables[1])


def test_a_full_disk_ends_in_words_and_what_was_finished_is_kept(tuned, command, run_maskwise, maskwise, tmp_path):
    """Files may grow to 150 KiB: the model fits, the optimizer's state in a checkpoint does not."""
    out = Path(shutil.copytree(tuned[0], tmp_path / "out"))
    shutil.rmtree(out / "sst2" / "seed-3")
    before = {path: path.read_bytes() for path in out.glob("*/seed-*/*") if path.is_file()}
    arguments = command("sst2", out, "--seeds", "0,3")
    limited = ["bash", "-c", 'ulimit -f 150; exec "$@"', "-", sys.executable]
    result = run_maskwise(arguments, fails=True, launcher=limited)
    assert result.returncode == 2, result.stderr
    (said,) = [line for line in result.stderr.splitlines() if "Error" in line]
    assert said.endswith(
        "sst2 has no room for seed-3. What was finished is kept; free some space and run the same command again."
    )
    assert "Traceback" not in result.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert not (out / "sst2" / "seed-3" / "result.json").exists()
    maskwise(arguments)
    again = json.loads((out / "sst2" / "seed-3" / "result.json").read_text())
    assert strip(again["history"]) == strip(tuned[1].tasks[0].results[3]["history"])


@pytest.mark.parametrize("num_bytes", [100, 20_000])
def test_a_disk_without_room_for_a_seed_s_settings_or_its_model_is_said_so(
    num_bytes, command, refused, full_disk, tmp_path
):
    arguments = command("sst2", tmp_path / "out", max_epochs=1, checkpoint_seconds=60)
    with full_disk(num_bytes):
        assert "The disk is full" in refused(arguments)
    assert not list(tmp_path.glob("out/*/*/result.json"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--task", "sst3"], "No task 'sst3'. Did you mean 'sst2'?"),
        (["--task", "rte"], "no folder for the task 'rte'; found: cola, sst2, stsb"),
        (["--text-column", "text"], "no column 'text'; found: 'sentence', 'label'"),
        (["--label-column", "stars"], "no column 'stars'; found: 'sentence', 'label'"),
        (["--seeds", "4-0"], "--seeds takes a range such as 0-4"),
        (["--select-on", "test"], "Setting 'tune.select_on'"),
        (["--set", "tune.epochs=3"], "Unknown setting 'tune.epochs'. Did you mean 'max_epochs'?"),
        (["--set", "trainer.epochs=3"], "settings are under 'tune.'; found 'trainer'"),
        (["--set", "tune.select_share=0.001"], "The training set has 240 examples"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_refused_in_words(change, said, command, refused, tmp_path):
    text = refused([*command("sst2", tmp_path / "out"), *change])
    assert said in text
    assert len(text.splitlines()) <= 3
    assert not list(tmp_path.glob("out/*/*/*.json.tmp"))


def test_a_label_out_of_range_and_a_folder_without_validation_are_refused(checkpoint, refused, tmp_path):
    rows = [{"sentence": "a dog", "label": 1}] * 20
    write_jsonl(tmp_path / "sst2" / "train.jsonl", rows)
    arguments = ["finetune", str(checkpoint), "--task", "sst2", "--task-data", str(tmp_path / "sst2")]
    arguments += ["--out", str(tmp_path / "out")]
    assert "no validation file for the task 'sst2'; found: train.jsonl" in refused(arguments)
    write_jsonl(tmp_path / "sst2" / "validation.jsonl", [*rows, {"sentence": "a cat", "label": 2}])
    assert "example 21 (validation.jsonl, line 21): the label 2 is outside the task's 2 classes" in refused(arguments)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_cannot_be_tuned_is_refused(checkpoint, command, refused, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(checkpoint, bare, ignore=shutil.ignore_patterns("tokenizer*"))
    arguments = command("sst2", tmp_path / "out")
    assert "has no tokenizer" in refused([arguments[0], str(bare), *arguments[2:]])
    assert "'nowhere'" in refused([arguments[0], "nowhere", *arguments[2:]])
    assert not (tmp_path / "out").exists(), "the right checkpoint would be taken for another than the folder's own"


def test_a_folder_of_another_run_is_not_mixed_with_this_one(tuned, command, refused):
    said = refused(command("sst2", tuned[0], learning_rate=1e-5))
    assert "was tuned with another learning_rate: 0.003, now 1e-05" in said
    assert "is a file" in refused(command("sst2", tuned[0] / "results.json"))


@pytest.mark.parametrize(
    "text", ["", "a", "1-", "-1", "3-1", "1,1", "0-2,2", "1.5", "4294967296", "0-99999999999", "9" * 5000]
)
def test_seeds_that_name_none_or_one_twice_are_refused(text):
    with pytest.raises(ValueError, match="--seeds"):
        distinct_seeds(text)


def test_bf16_is_used_where_asked():
    assert uses_bf16(TuneSettings(bf16=True))
    assert not uses_bf16(TuneSettings(bf16=False))
