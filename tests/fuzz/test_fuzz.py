"""Whatever the input, a command succeeds, or refuses with a message and exit code 2 and leaves nothing behind."""

from __future__ import annotations

import copy
import gzip
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from fuzz.mutations import JUNK_WORDS, spoil_bytes, spoil_folder, spoil_rows, spoil_tree

ALWAYS, WHOLE = 100, 2000
TEXT = "\n\n".join(
    f"The girl number {i} saw the river of the city.\nIt is a long street, playing songs." for i in range(30)
)


class Inputs:
    """Makes the arguments of a command from a number; `out` is where the command writes."""

    def __init__(self, parts: dict[str, Any], folder: Path) -> None:
        self.parts, self.folder = parts, folder

    def command(self, number: int, out: Path) -> list[str]:
        """Returns a command line with one spoiled input; the same number gives the same one."""
        draw = random.Random(number)
        kinds = (self.settings, self.assignment, self.study, self.table, self.text, self.tokenizer, self.checkpoint)
        return kinds[number % len(kinds)](draw, self._place(number), out)

    def settings(self, draw: random.Random, place: Path, out: Path) -> list[str]:
        tree = spoil_tree(self.parts["settings"], draw)
        path = place / "config.toml"
        try:
            data = tomli_w.dumps(tree).encode("utf-8", "surrogatepass")
        except (TypeError, ValueError):
            data = json.dumps(tree).encode()
        path.write_bytes(spoil_bytes(data, draw) if draw.random() < 0.3 else data)
        return ["pretrain", "--config", str(path), "--out", str(out)]

    def assignment(self, draw: random.Random, place: Path, out: Path) -> list[str]:
        path = place / "config.toml"
        path.write_text(tomli_w.dumps(self.parts["settings"]))
        keys = [
            "masking.rate",
            "masking.unit",
            "trainer.max_steps",
            "trainer.learning_rate",
            "seed",
            "data.path",
            "model.preset",
        ]
        text = f"{draw.choice([*keys, *JUNK_WORDS])}{draw.choice(['=', '', '=='])}{draw.choice(JUNK_WORDS)}"
        return ["pretrain", "--config", str(path), "--out", str(out), "--set", text]

    def study(self, draw: random.Random, place: Path, out: Path) -> list[str]:
        tree = spoil_tree(self.parts["study"], draw)
        path = place / "study.toml"
        try:
            data = tomli_w.dumps(tree).encode("utf-8", "surrogatepass")
        except (TypeError, ValueError):
            data = json.dumps(tree).encode()
        path.write_bytes(spoil_bytes(data, draw) if draw.random() < 0.3 else data)
        return ["study", str(path), "--out", str(out), "--dry-run"]

    def table(self, draw: random.Random, place: Path, out: Path) -> list[str]:
        rows = [
            {"sentence": f"good song {i}" if i % 3 else f"old song {i}", "label": int(i % 3 > 0)} for i in range(24)
        ]
        for split in ("train", "validation"):
            spoiled = spoil_rows(rows, draw) if draw.random() < 0.7 else rows
            suffix = draw.choice(["jsonl", "csv", "tsv"])
            if suffix == "jsonl":
                data = "".join(json.dumps(row) + "\n" for row in spoiled).encode()
            else:
                mark = "," if suffix == "csv" else "\t"
                lines = [mark.join(("sentence", "label")), *(mark.join(map(str, row.values())) for row in spoiled)]
                data = "\n".join(lines).encode("utf-8", "surrogatepass")
            (place / f"{split}.{suffix}").write_bytes(spoil_bytes(data, draw) if draw.random() < 0.5 else data)
        settings = ["--set", "tune.max_epochs=1", "--set", "tune.bf16=false", "--set", "tune.batch_size=8"]
        columns = ["--text-column", "sentence", "--label-column", "label"]
        return [
            "finetune",
            str(self.parts["checkpoint"]),
            "--task",
            "reviews",
            "--task-data",
            str(place),
            "--out",
            str(out),
            *columns,
            *settings,
        ]

    def text(self, draw: random.Random, place: Path, out: Path) -> list[str]:
        name = draw.choice(["text.txt", "text.jsonl", "text.txt.gz", "text.jsonl.gz"])
        rows = [{"text": part} for part in TEXT.split("\n\n")]
        plain = (
            TEXT.encode() if ".txt" in name else "".join(json.dumps(r) + "\n" for r in spoil_rows(rows, draw)).encode()
        )
        plain = spoil_bytes(plain, draw)
        data = gzip.compress(plain, mtime=0) if name.endswith(".gz") else plain
        (place / name).write_bytes(spoil_bytes(data, draw) if draw.random() < 0.3 else data)
        return [
            "prepare",
            str(place / name),
            "--out",
            str(out),
            "--tokenizer",
            str(self.parts["tokenizer"]),
            "--workers",
            "1",
        ]

    def tokenizer(self, draw: random.Random, place: Path, out: Path) -> list[str]:
        folder = spoil_folder(self.parts["tokenizer"], place / "tokenizer", draw)
        (place / "text.txt").write_text(TEXT)
        return ["prepare", str(place / "text.txt"), "--out", str(out), "--tokenizer", str(folder), "--workers", "1"]

    def checkpoint(self, draw: random.Random, place: Path, out: Path) -> list[str]:
        folder = spoil_folder(self.parts["checkpoint"], place / "checkpoint", draw)
        return ["evaluate", str(folder), "--data", str(self.parts["data"]), "--blocks", "2"]

    def _place(self, number: int) -> Path:
        place = self.folder / f"input-{number}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place


@pytest.fixture(scope="module")
def inputs(tiny_data, study_tables, tmp_path_factory) -> Inputs:
    from maskwise.lab.tokens.blocks import open_data
    from maskwise.models.presets import build_model

    folder = tmp_path_factory.mktemp("fuzz")
    tokenizer = open_data(tiny_data).tokenizer
    build_model("tiny", len(tokenizer), 0).save_pretrained(folder / "checkpoint")
    tokenizer.save_pretrained(folder / "checkpoint")
    study = copy.deepcopy(study_tables)
    trainer = study["pretrain"]["trainer"] | {"max_steps": 1, "save_strategy": "no", "eval_strategy": "no"}
    settings = {
        "recipe": "random",
        "data": study["pretrain"]["data"] | {"held_out_blocks": 2},
        "model": {"preset": "tiny"},
        "trainer": trainer,
    }
    parts = {
        "settings": settings,
        "study": study,
        "tokenizer": tiny_data / "tokenizer",
        "data": tiny_data,
        "checkpoint": folder / "checkpoint",
    }
    return Inputs(parts, folder)


def try_inputs(numbers, inputs: Inputs, exit_code: Callable, capsys) -> tuple[Counter, list[str]]:
    """Runs every input in this process; returns the outcomes by command, and what went wrong."""
    outcomes, wrong = Counter(), []
    for number in numbers:
        out = inputs.folder / f"out-{number}"
        arguments = inputs.command(number, out)
        try:
            code = exit_code(arguments)
        except BaseException as error:  # a traceback is what this looks for
            wrong.append(f"{number} {arguments[0]}: {type(error).__name__}: {str(error)[:200]}")
            continue
        error = capsys.readouterr().err
        outcomes[arguments[0], code or 0] += 1
        if code not in (0, None, 2) or "Traceback" in error:
            wrong.append(f"{number} {' '.join(arguments)}: exit code {code}: {error[-300:]}")
        elif code == 2 and not error.strip():
            wrong.append(f"{number} {' '.join(arguments)}: refused without a message")
        elif code == 2 and out.exists():
            left = sorted(path.name for path in out.iterdir())[:5]
            wrong.append(f"{number} {' '.join(arguments)}: refused, and {left} are left behind")
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(inputs.folder / f"input-{number}", ignore_errors=True)
    return outcomes, wrong


@pytest.mark.slow
def test_a_hundred_spoiled_inputs_succeed_or_are_refused(inputs, exit_code, capsys):
    outcomes, wrong = try_inputs(range(ALWAYS), inputs, exit_code, capsys)
    assert not wrong, "\n".join(wrong)
    assert sum(count for (_, code), count in outcomes.items() if code == 2) > ALWAYS / 4


@pytest.mark.fuzz
def test_thousands_of_spoiled_inputs_succeed_or_are_refused(inputs, exit_code, capsys):
    outcomes, wrong = try_inputs(range(ALWAYS, ALWAYS + WHOLE), inputs, exit_code, capsys)
    with capsys.disabled():
        print()
        for (command, code), count in sorted(outcomes.items()):
            print(f"{command:10} exit code {code}: {count}")
    assert not wrong, "\n".join(wrong)
