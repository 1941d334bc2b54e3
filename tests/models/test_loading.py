"""Checkpoints that do not fit, given to every verb that takes one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertModel

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
