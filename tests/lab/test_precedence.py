"""Which setting wins: recipes under files, files under flags, and nothing of a recipe that was replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwise.errors import InputError
from maskwise.lab.config import check_settings, resolve, to_toml
from maskwise.lab.masking_settings import MaskingSettings
from maskwise.lab.precedence import run_settings
from maskwise.recipes import load_recipe, recipe_names

RUN = {"data": {"path": "d"}, "model": {"preset": "tiny"}}


def rare(batch):
    return batch["input_ids"]


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_named_in_any_layer_brings_its_masking(name):
    recipe = load_recipe(name)
    settings = resolve({**RUN, "teacher": "t"}, {"recipe": name})
    expected = MaskingSettings.model_validate(recipe["masking"])
    assert settings.masking == expected
    assert settings.distillation.weight == recipe.get("distillation", {}).get("weight", 0.0)
    assert run_settings({**RUN, "teacher": "t"}, recipe=name) == settings


def test_the_last_recipe_named_counts_and_the_layers_lie_over_it():
    settings = resolve(RUN, {"recipe": "span", "masking": {"rate": 0.3}}, {"recipe": "whole-word"})
    assert (settings.recipe, settings.masking.unit, settings.masking.rate) == ("whole-word", "word", 0.3)
    assert resolve(RUN).recipe == "random"


def test_a_file_that_names_a_recipe_and_changes_one_key_keeps_the_rest(tmp_path):
    """A file with a [masking] table of its own used to lose the recipe that it names."""
    file = tmp_path / "config.toml"
    file.write_text('recipe = "whole-word"\n[data]\npath = "d"\n[model]\npreset = "tiny"\n[masking]\nrate = 0.3\n')
    masking = run_settings(file).masking
    assert (masking.unit, masking.rate, masking.corruption) == ("word", 0.3, (0.8, 0.1, 0.1))


def test_a_recipe_asked_for_replaces_all_that_the_files_recipe_brought():
    declared = {**RUN, "teacher": "t", "recipe": "entropy-self-kd", "seed": 3, "masking": {"sharpness": 2.0}}
    settings = run_settings(declared, recipe="random")
    assert (settings.recipe, settings.masking.score, settings.masking.teacher_share) == ("random", "uniform", None)
    assert settings.distillation.weight == 0
    assert (settings.seed, settings.masking.sharpness) == (3, 2.0)
    resolved = run_settings(declared)
    assert (
        run_settings(resolved, recipe="typhoon").masking.typhoon == resolve(RUN, {"recipe": "typhoon"}).masking.typhoon
    )
    typhoon = resolve(RUN, {"recipe": "typhoon-2023"})
    assert run_settings(typhoon, recipe="bert").masking == resolve(RUN, {"recipe": "bert"}).masking


def test_resolved_settings_resolve_to_themselves():
    """A run's config.toml runs the job again, whatever has become of the recipe."""
    for name in recipe_names():
        settings = resolve({**RUN, "teacher": "t"}, {"recipe": name, "masking": {"rate": 0.2}})
        tree = settings.model_dump(exclude_none=True)
        assert run_settings(tree) == check_settings(tree) == settings
        assert "None" not in to_toml(settings)


def test_flags_win_over_changes_and_changes_over_the_recipe():
    changes = {"masking": {"rate": 0.3}, "seed": 1, "recipe": "span", "trainer": {"max_steps": 5}}
    settings = run_settings(RUN, seed=2, changes=changes)
    assert (settings.seed, settings.recipe, settings.masking.rate) == (2, "span", 0.3)
    assert run_settings(RUN, recipe="bert", changes=changes).recipe == "bert"
    assert run_settings(RUN, steps=9, changes=changes).trainer["max_steps"] == 9


def test_another_model_takes_the_place_of_the_declared_one_and_nothing_else():
    declared = {**RUN, "model": {"preset": "tiny", "initialization": "default"}}
    settings = run_settings(declared, checkpoint=Path("run"))
    assert (settings.model.preset, settings.model.checkpoint) == (None, "run")
    assert settings.model.initialization == "default"


def test_one_way_to_time_the_teacher_replaces_another():
    declared = {**RUN, "teacher": "t", "recipe": "entropy-self-kd"}
    settings = run_settings(declared, changes={"masking": {"teacher_steps": 9}, "distillation": {"start_epochs": 1}})
    assert (settings.masking.teacher_steps, settings.masking.teacher_share) == (9, None)
    assert (settings.distillation.start_epochs, settings.distillation.start_share) == (1, None)


def test_a_function_is_named_by_its_text():
    masking = run_settings({**RUN, "recipe": "entropy-high"}, changes={"masking": {"score": rare}}).masking
    assert masking.score == f"{__name__}:rare"
    assert (masking.source, masking.pick) == ("self", "high")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"recipe": "whole-wrod"}, "Did you mean 'whole-word'"),
        ({"masking": {"folds": 3}}, "The setting folds = 3 is for entropy and surprisal; the score is uniform"),
        ({"masking": {"score": "a:b", "typhoon": {}}}, r"\[masking.typhoon\] belongs to score = 'typhoon'"),
        ({"masking": {"score": "entropy", "score_arguments": {"a": 1}}}, "Score_arguments is for other scores"),
        ({"masking": {"score": "entropy", "source": "teacher-then-self"}, "teacher": "t"}, "none of them"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(layer, message):
    with pytest.raises(InputError, match=message):
        resolve(RUN, layer)


def test_what_is_no_settings_is_refused():
    with pytest.raises(InputError, match="Settings are a mapping"):
        run_settings(["data", "d"])
    with pytest.raises(InputError, match=r"There is no file .*none\.toml"):
        run_settings("none.toml")
