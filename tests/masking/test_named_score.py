"""Scores named by text: found wherever people keep them, refused before anything of theirs is called."""

from __future__ import annotations

import sys

import pytest
import torch

from maskwise import Entropy, Masker, uniform
from maskwise.errors import InputError
from maskwise.masking.named_score import import_score, make_score, score_text
from maskwise.masking.score import StatefulScore

CODE = """
import torch
from maskwise.masking.score import StatefulScore
called = []

def longest(batch):
    called.append(1)
    return batch["input_ids"].float()

def power(batch, *, exponent, token_counts=None):
    called.append(1)
    return batch["input_ids"].float() ** exponent

class Table(StatefulScore):
    def __init__(self, tokenizer, scale=1.0):
        self.size, self.scale = len(tokenizer), scale
    def __call__(self, batch):
        return self.scale * batch["input_ids"].float()

class Plain:
    def __call__(self, batch):
        return batch["input_ids"].float()

class NoScore:
    pass

def nothing():
    called.append(1)

constant = 3
made = Table([])
"""
IDS = {"input_ids": torch.tensor([[2, 3]])}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CODE, encoding="utf-8")
    return path


def test_short_names_and_full_names_are_the_same_scores():
    assert import_score("entropy") is import_score("maskwise.scores.model:Entropy") is Entropy
    assert import_score("uniform") is uniform


def test_a_function_of_a_file_is_found_by_its_path_absolute_or_not(file, monkeypatch):
    assert make_score(f"{file}:longest")(IDS).tolist() == [[2, 3]]
    monkeypatch.chdir(file.parent)
    assert make_score("mine.py:longest")(IDS).tolist() == [[2, 3]]


def test_a_module_of_the_working_directory_is_found_and_the_search_path_is_left_alone(file, monkeypatch):
    file.rename(file.with_name("mine_of_this_folder.py"))
    monkeypatch.chdir(file.parent)
    before = list(sys.path)
    assert make_score("mine_of_this_folder:longest")(IDS).tolist() == [[2, 3]]
    assert sys.path == before


def test_a_file_in_the_working_directory_stands_for_no_module_of_a_library(file, monkeypatch):
    file.rename(file.with_name("json.py"))
    monkeypatch.chdir(file.parent)
    with pytest.raises(InputError, match="has no 'longest'"):
        import_score("json:longest")


def test_an_edited_file_is_read_again(file):
    """A notebook runs for hours, and the file beside it changes."""
    make_score(f"{file}:longest")
    file.write_text("def longest(batch):\n    return -batch['input_ids']\n", encoding="utf-8")
    assert make_score(f"{file}:longest")(IDS).tolist() == [[-2, -3]]


def test_arguments_go_to_a_function_in_every_call_and_to_a_class_once(file, tiny_tokenizer):
    assert make_score(f"{file}:power", {"exponent": 2})(IDS).tolist() == [[4, 9]]
    table = make_score(f"{file}:Table", {"scale": 3.0}, tokenizer=tiny_tokenizer, teacher=None)
    assert (table.size, table(IDS).tolist()) == (len(tiny_tokenizer), [[6, 9]])
    assert make_score(f"{file}:Plain")(IDS).tolist() == [[2, 3]]
    assert make_score(f"{file}:made").scale == 1.0


def test_a_masker_names_a_function_with_arguments_by_its_own_name(file, tiny_tokenizer):
    masker = Masker(make_score(f"{file}:power", {"exponent": 2}), tiny_tokenizer)
    assert masker.score.name == "power"
    assert masker.score.fingerprint().endswith(":power(exponent=2)")
    assert score_text(masker.score.function).endswith(":power")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("entropi", {}, "No score 'entropi'. Known: uniform, entropy"),
        ("nowhere:score", {}, "cannot be imported: No module named 'nowhere'"),
        ("none/such.py:score", {}, "there is no file none/such.py"),
        ("{file}:longist", {}, "has no .longist.. Did you mean .longest.. It has "),
        ("{file}:constant", {}, "is int, not a score"),
        ("{file}:NoScore", {}, "a class whose objects cannot be called"),
        ("{file}:nothing", {}, "takes no argument, and a score is called with a batch"),
        ("{file}:power", {}, "missing a required argument: 'exponent'.*score_arguments"),
        ("{file}:power", {"exponent": 1, "base": 2}, "unexpected keyword argument 'base'.*It takes exponent"),
        ("{file}:Table", {}, "missing a required argument: 'tokenizer'.*give tokenizer=tokenizer"),
        ("{file}:made", {"scale": 2}, "is a score already"),
    ],
)
def test_what_is_no_score_is_refused_and_never_called(file, name, arguments, message):
    called = import_score(f"{file}:longest").__globals__["called"]
    with pytest.raises(InputError, match=message):
        make_score(name.format(file=file), arguments)
    assert called == []


@pytest.mark.parametrize("code", ["raise RuntimeError('on fire')", "import sys; sys.exit(3)", "def f(:"])
def test_a_module_that_fails_is_one_message(tmp_path, code):
    (tmp_path / "bad.py").write_text(code, encoding="utf-8")
    with pytest.raises(InputError, match=r"bad.py:f' cannot be imported: \w+"):
        import_score(f"{tmp_path / 'bad.py'}:f")
    assert not [name for name in sys.modules if name.startswith("bad_")]


def test_a_program_of_the_system_is_not_run_to_see_whether_it_is_a_score(monkeypatch):
    """os.system takes one argument, so only a run would find out; a look at its signature must not be one."""
    monkeypatch.setattr("os.system", lambda command: pytest.fail("it was called"))
    import_score("os:system")


def test_a_score_class_is_made_with_what_the_run_has(tiny_tokenizer):
    class Rare(StatefulScore):
        def __init__(self, token_counts):
            self.counts = token_counts

        def __call__(self, batch):
            return self.counts[batch["input_ids"]]

    assert make_score(Rare, None, tokenizer=tiny_tokenizer, token_counts=[1]).counts == [1]
    with pytest.raises(InputError, match=r"token_counts=count_tokens\(rows, tokenizer\)"):
        make_score(Rare, None, tokenizer=tiny_tokenizer, token_counts=None)
