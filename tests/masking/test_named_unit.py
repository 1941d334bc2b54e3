"""Units, spans and rates as recipes and settings write them."""

from __future__ import annotations

import functools

import pytest
import torch

from maskwise.errors import InputError
from maskwise.masking.column_units import ColumnGroups
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import Masker
from maskwise.masking.named_unit import make_unit
from maskwise.masking.rates import mean_over_run, points, read_rate, steps
from maskwise.masking.score import as_score, uniform
from maskwise.masking.unit_rule import UnitRule
from maskwise.masking.units import Spans
from maskwise.recipes.masking_keys import change_masking
from maskwise.testing import make_batch
from maskwise.training.run_identity import masker_identity

CODE = """
called = []

def pairs(batch, size=2):
    called.append(1)
    return (batch["input_ids"] > -1).long().cumsum(-1) // size

def tagged(batch, scale):
    return batch["tags"] * scale
tagged.columns = ("tags",)

class Runs:
    columns = ("tags",)
    def __init__(self, length, tokenizer=None):
        self.length, self.size = length, tokenizer and len(tokenizer)
    def __call__(self, batch):
        return batch["tags"] // self.length

made = Runs(3)
constant = 3

def nothing():
    called.append(1)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CODE, encoding="utf-8")
    return path


def test_a_function_a_class_and_an_object_are_named_alike_and_get_their_arguments(file, tiny_tokenizer):
    batch = {"input_ids": torch.tensor([[7, 8, 9, 10]]), "tags": torch.tensor([[0, 3, 6, 9]])}
    assert make_unit(f"{file}:pairs")(batch).tolist() == [[0, 1, 1, 2]]
    assert make_unit(f"{file}:pairs", {"size": 4})(batch).tolist() == [[0, 0, 0, 1]]
    runs = make_unit(f"{file}:Runs", {"length": 6}, tokenizer=tiny_tokenizer, teacher=None)
    assert (runs(batch).tolist(), runs.size) == ([[0, 0, 1, 1]], len(tiny_tokenizer))
    assert make_unit(f"{file}:made").length == 3


def test_columns_of_a_function_stay_declared_when_it_has_arguments(file, tiny_tokenizer):
    unit = make_unit(f"{file}:tagged", {"scale": 2})
    masker = Masker(uniform, tiny_tokenizer, unit=unit)
    assert masker.columns == ("tags",)
    assert "unit='tagged'" in repr(masker)
    score = functools.partial(unit.func, scale=2)
    assert as_score(score).columns == ("tags",)


def test_a_table_is_spans_and_other_names_stay_as_they_are():
    assert make_unit({"lengths": "uniform", "longest": 3, "atom": "token", "p": None}) == Spans(
        lengths="uniform", longest=3, atom="token"
    )
    assert (make_unit("word"), make_unit(Spans(p=0.5))) == ("word", Spans(p=0.5))


@pytest.mark.parametrize(
    ("unit", "arguments", "message"),
    [
        ("wrod", {}, r"No unit 'wrod'; there are token, word, span, a table of spans.*Did you mean 'word'"),
        ("nowhere:unit", {}, "The unit 'nowhere:unit' cannot be imported: No module named 'nowhere'"),
        ("{file}:pear", {}, "has no 'pear'. Did you mean 'pairs'"),
        ("{file}:constant", {}, r"is int, not a unit: a function unit\(batch\)"),
        ("{file}:nothing", {}, "takes no argument, and a unit is called with a batch"),
        ("{file}:Runs", {}, "missing a required argument: 'length'.*give them by unit_arguments"),
        ("{file}:pairs", {"width": 2}, "unexpected keyword argument 'width'.*It takes size"),
        ("{file}:made", {"length": 2}, "is a unit already, so it takes no arguments; found length"),
        ("word", {"size": 2}, "unit_arguments is for units of your own; found unit = 'word'"),
        ({"longst": 3}, {}, "Spans have no setting 'longst'. Did you mean 'longest'"),
        ({"lengths": "steep"}, {}, "lengths of spans is one of geometric, uniform; found 'steep'"),
    ],
)
def test_what_is_no_unit_is_refused_and_never_called(file, unit, arguments, message):
    called = make_unit(f"{file}:pairs").__globals__["called"]
    with pytest.raises(InputError, match=message):
        make_unit(unit.format(file=file) if isinstance(unit, str) else unit, arguments)
    assert called == []


def test_a_recipe_takes_a_unit_its_arguments_its_columns_and_its_rate(tiny_tokenizer, file, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        f"""
        [masking]
        unit = "{file}:Runs"
        unit_arguments = {{ length = 3 }}
        columns = ["weights"]
        rate = {{ steps = [[0, 0.9], [0.5, 0.1]] }}
        """
    )
    masker = Masker.from_recipe(recipe, tiny_tokenizer)
    assert masker.columns == ("weights", "tags")
    assert [masker.rate_at(progress) for progress in (0, 0.6)] == [0.9, 0.1]
    assert Masker.from_recipe(recipe, tiny_tokenizer, unit="token").unit == "token", "without the other's arguments"


def test_spans_of_a_recipe_can_be_changed_field_by_field(tiny_tokenizer):
    masker = Masker.from_recipe("span", tiny_tokenizer, unit={"longest": 1, "atom": "token"})
    batch = make_batch(tiny_tokenizer, [[2, *range(20, 60), 3]])
    assert ((masker(batch)["labels"] != IGNORE).sum(-1) == 6).all()
    table = {"lengths": "uniform", "longest": 3}
    assert change_masking({"unit": table}, {"unit": {"longest": 4}})["unit"] == {"lengths": "uniform", "longest": 4}


def test_no_cap_for_words_is_none_in_python(tiny_tokenizer):
    long_word = make_batch(tiny_tokenizer, [[2, *range(20, 60), 3]], [[-1, *[0] * 40, -1]])
    for most, expected in ((None, 40), (50, 40), (16, 6)):
        masker = Masker.from_recipe("whole-word", tiny_tokenizer, max_word_pieces=most)
        assert (masker(long_word)["labels"] != IGNORE).sum().item() == expected


def test_another_kind_of_rate_replaces_the_one_before_and_the_same_kind_is_merged():
    linear = {"schedule": "linear", "start": 0.3, "end": 0.1}
    phases = {"steps": [[0, 0.3]], "periods": 2}
    assert change_masking({"rate": linear}, {"rate": phases})["rate"] == phases
    assert change_masking({"rate": linear}, {"rate": {"end": 0.2}})["rate"] == linear | {"end": 0.2}
    assert change_masking({"rate": phases}, {"rate": linear})["rate"] == linear
    assert change_masking({"rate": linear}, {"rate": {"schedule": "cosine"}})["rate"] == linear | {"schedule": "cosine"}


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ({}, "one of schedule, steps, points; found nothing"),
        ({"start": 0.1, "end": 0.2}, "one of schedule, steps, points; found start, end"),
        ({"steps": [[0, 0.1]], "points": [[0, 0.1], [1, 0.2]]}, "one of schedule, steps, points"),
        ({"steps": [[0, 0.1]], "end": 0.2}, "A rate of steps has nothing else but periods; found end too"),
        ({"steps": [[0, 0.1]], "periods": 0}, "periods above 0"),
        ({"steps": 0.3}, "pairs of progress and rate"),
        ("two", "found 'two'. Write 15% as 0.15"),
    ],
)
def test_what_is_not_a_rate_is_refused(rate, message):
    with pytest.raises(InputError, match=message):
        read_rate(rate)


def test_the_mean_over_a_run_is_that_of_the_phases():
    assert mean_over_run(steps([(0, 0.30), (0.767, 0.15), (0.967, 0.05)])) == pytest.approx(
        0.767 * 0.30 + 0.2 * 0.15 + 0.033 * 0.05, abs=1e-5
    )
    assert mean_over_run(points([(0, 0.15), (0.1, 0.30), (1, 0.15)])) == pytest.approx(0.225, abs=1e-5)


def test_a_resumed_run_knows_the_arguments_of_its_unit(tiny_tokenizer):
    def identity(unit, **options):
        return masker_identity(Masker(uniform, tiny_tokenizer, unit=unit, **options))["masker"]

    assert identity(ColumnGroups("a")) == identity(ColumnGroups("a")) != identity(ColumnGroups("b"))
    assert identity(Spans(longest=3)) != identity(Spans(longest=4))
    assert identity("word") != identity("word", max_word_pieces=9)
    phases = [steps([(0, 0.3), (begin, 0.15)]) for begin in (0.8, 0.9)]
    assert identity("token", rate=phases[0]) != identity("token", rate=phases[1])
    rule = UnitRule(functools.partial(read_rate, rate={"steps": [1]}), tiny_tokenizer)
    assert rule.fingerprint().endswith("rates:read_rate(rate={'steps': [1]})")
