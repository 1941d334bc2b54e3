"""Checkpoints that do not fit, given to every verb that takes one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer, BertModel

from maskwise.errors import InputError
from maskwise.lab.precedence import named_by_hub, run_settings
from maskwise.lab.tokens.tokenizer import load_tokenizer as load_lab_tokenizer
from maskwise.lab.tuning.load import load_with_head
from maskwise.lab.weight_changes.weights import open_weights
from maskwise.masking.vocabulary import load_tokenizer
from maskwise.models.flops import forward_flops
from maskwise.models.loading import load_config, load_masked_lm
from maskwise.models.presets import build_model


def cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def without_head(folder: Path) -> None:
    BertModel.from_pretrained(folder).save_pretrained(folder)


def of_another_vocabulary(folder: Path) -> None:
    """As large, and one word is another."""
    path = folder / "tokenizer.json"
    tokens = json.loads(path.read_text(encoding="utf-8"))
    word = next(word for word in tokens["model"]["vocab"] if len(word) > 4 and word.isalpha())
    path.write_text(path.read_text(encoding="utf-8").replace(json.dumps(word), json.dumps(word + "zzz")))
    assert word not in AutoTokenizer.from_pretrained(folder).get_vocab()


def with_few_positions(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (folder / "config.json").write_text(
        json.dumps(
            {
                "model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1,
                "intermediate_size": 8, "max_position_embeddings": 16,
            }
        )
    )  # fmt: skip
    build_model(folder / "config.json", len(tokenizer), 0).save_pretrained(folder)


SPOILED: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut short": (cut_short, "does not load"),
    "without weights": (without_weights, "does not load"),
    "without head": (without_head, "no masked-LM head"),
    "of another vocabulary": (of_another_vocabulary, "different vocabularies"),
    "with few positions": (with_few_positions, "has 16 positions"),
}


@pytest.fixture
def spoiled(request, teacher, tmp_path) -> str:
    folder = shutil.copytree(teacher, tmp_path / "spoiled")
    SPOILED[request.param][0](folder)
    return str(folder)


@pytest.mark.parametrize(
    ("spoiled", "words"), [(k, v[1]) for k, v in SPOILED.items()], indirect=["spoiled"], ids=SPOILED
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_words(spoiled, words, tiny_data, refused, tmp_path):
    """Every verb, before it has written anything; a traceback would say where it broke, not what to do."""
    data, out = ["--data", str(tiny_data)], ["--out", str(tmp_path / "run")]
    before = sorted(tiny_data.rglob("*"))
    asked = [
        ["pretrain", *data, *out, "--from", spoiled],
        ["pretrain", *data, *out, "--model", "tiny", "--recipe", "entropy-high", "--teacher", spoiled],
        ["pretrain", *data, *out, "--model", "tiny", "--recipe", "kd-only", "--teacher", spoiled],
        ["annotate", *data, "--teacher", spoiled],
        ["evaluate", spoiled, *data],
    ]
    asked += [["preview", "the class", "--model", spoiled]] if words in ("does not load", "no masked-LM head") else []
    for command in asked:
        said = refused(command)
        assert words in said, command
        assert spoiled in said
        assert len(said.splitlines()) <= 3, command
    assert not (tmp_path / "run").exists()
    assert sorted(tiny_data.rglob("*")) == before


def test_a_teacher_whose_scores_are_no_numbers_ends_the_run_with_its_block(teacher, tiny_data, refused, tmp_path):
    model = AutoModelForMaskedLM.from_pretrained(teacher)
    with torch.no_grad():
        model.cls.predictions.transform.dense.weight.fill_(torch.nan)
    folder = Path(shutil.copytree(teacher, tmp_path / "nan"))
    model.save_pretrained(folder)
    command = ["pretrain", "--data", str(tiny_data), "--out", str(tmp_path / "run"), "--model", "tiny"]
    said = refused([*command, "--recipe", "entropy-high", "--teacher", str(folder), "--set", "trainer.bf16=false"])
    assert "'Entropy' gave nan in row 0 of the batch (example " in said
    assert not (tmp_path / "run" / "done.json").exists()


CONFIGURATIONS = {
    "broken": ("{", "not a model configuration"),
    "unknown": ('{"model_type": "nope"}', "not a model configuration"),
    "impossible": ('{"model_type": "bert", "hidden_size": 10, "num_attention_heads": 3}', "makes no model"),
    "few positions": ('{"model_type": "bert", "num_hidden_layers": 1, "max_position_embeddings": 16}', "16 positions"),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_that_makes_no_model_is_refused_in_words(name, tiny_data, refused, tmp_path):
    text, words = CONFIGURATIONS[name]
    (tmp_path / "config.json").write_text(text)
    model = ["--model", str(tmp_path / "config.json")]
    assert words in refused(["pretrain", "--data", str(tiny_data), *model, "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


@pytest.fixture
def changed_config(teacher, tmp_path):
    """Makes a copy of a checkpoint with other keys in its config.json."""

    def make(**keys):
        folder = Path(shutil.copytree(teacher, tmp_path / "changed"))
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(config | keys))
        (folder / "foreign.py").write_text("import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n")
        return folder

    return make


READERS = {
    "config": lambda folder: load_config(str(folder)),
    "masked LM": lambda folder: load_masked_lm(str(folder)),
    "new model": lambda folder: build_model(folder, 600, 0),
    "flops": lambda folder: forward_flops(str(folder), 8, 600),
    "classifier": lambda folder: load_with_head(
        AutoModelForSequenceClassification, str(folder), seed=0, freeze=False, id2label={0: "a", 1: "b"}
    ),
    "weights": lambda folder: open_weights(str(folder)),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_the_code_of_a_checkpoint_is_never_run_nor_asked_about(read, changed_config, monkeypatch):
    """Transformers asks on the terminal whether to run it, and `y` does."""
    monkeypatch.setattr("builtins.input", lambda *args: pytest.fail("it asked"))
    code = {"AutoConfig": "foreign.Config", "AutoModelForMaskedLM": "foreign.Model"}
    folder = changed_config(model_type="foreign", auto_map=code)
    with pytest.raises(InputError):
        read(folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_an_attention_implementation_from_elsewhere_is_refused(read, changed_config):
    folder = changed_config(attn_implementation="kernels-of/somebody")
    with pytest.raises(InputError, match=r"kernels-of/somebody.*foreign code(.|\n)*Delete the key"):
        read(folder)


def test_the_code_of_a_tokenizer_is_never_run(changed_config):
    folder = changed_config()
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    foreign = {"tokenizer_class": "Foreign", "auto_map": {"AutoTokenizer": ["foreign.Slow", "foreign.Fast"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | foreign))
    for load in (load_tokenizer, load_lab_tokenizer):
        with suppress(InputError):  # transformers may take the fast tokenizer.json without the foreign class
            load(str(folder))
        assert not (folder / "ran").exists()


def test_a_mistyped_folder_is_refused_by_every_command_without_asking_the_hub(refused, tiny_data, tmp_path):
    """It took a minute, and the answer was about the hub's servers."""
    out = ["--out", tmp_path / "out"]
    commands = [
        ["pretrain", "--data", tiny_data, "--from", "no-such-run", *out],
        [
            "pretrain",
            "--data",
            tiny_data,
            "--model",
            "tiny",
            "--recipe",
            "entropy-high",
            "--teacher",
            "no-such-run",
            *out,
        ],
        ["pretrain", "--data", tiny_data, "--set", "model.checkpoint=no-such-run", *out],
        ["finetune", "no-such-run", "--task", "cola", *out],
        ["evaluate", "no-such-run", "--data", tiny_data],
        ["annotate", "--data", tiny_data, "--teacher", "no-such-run"],
        ["preview", "a text", "--model", "no-such-run"],
        ["drift", "no-such-run", "other-run"],
        ["babylm", "no-such-run", "--data", tmp_path],
        ["check", "--collator", "a:b", "--tokenizer", "no-such-run", "--data", tiny_data],
        ["prepare", tmp_path, "--tokenizer", "no-such-run", *out],
    ]
    for command in commands:
        message = refused(command)
        assert "There is no checkpoint 'no-such-run'" in message and "hub:no-such-run here" in message, command
    assert not (tmp_path / "out").exists()


def test_a_file_of_settings_names_the_hub_by_its_prefix(refused, tiny_data, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(f'[data]\npath = "{tiny_data}"\n[model]\ncheckpoint = "bert-base-uncased"\n')
    assert "hub:bert-base-uncased here" in refused(["pretrain", "--config", file, "--out", tmp_path / "out"])


def test_a_function_takes_a_bare_name_for_the_hub_and_keeps_it_with_its_prefix():
    run = {"data": {"path": "d"}, "model": {"checkpoint": "bert-base-uncased"}}
    assert named_by_hub(run_settings(run)).model.checkpoint == "hub:bert-base-uncased"
    with pytest.raises(InputError, match="no such folder"):
        named_by_hub(run_settings(run, checkpoint="./bert"))
