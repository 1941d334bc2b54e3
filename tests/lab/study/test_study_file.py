"""Study files: what they mean, and what is refused before anything runs."""

import re
import tomllib
from pathlib import Path

import pytest

from maskwise.errors import InputError
from maskwise.lab.config import merge
from maskwise.lab.study.seeds import read_seeds
from maskwise.lab.study.study_file import Arm, Backbone, Study, check_study, load_study, study_names

READY = {"entropy-table1", "entropy-table2", "entropy-distillation", "entropy-corpus", "entropy-freezing",
         "entropy-drift", "entropy-compute", "masking-rate", "typhoon"}  # fmt: skip
EVIDENCE = {"entropy-c0": (8, 4), "masking-c1": (10, 12)}  # seeds, and hypotheses of the family
TINY = {"name": "tiny", "preset": "tiny"}
RANDOM, BERT = {"name": "random"}, {"name": "bert"}
GOOD = {
    "seeds": "0-4",
    "tasks": ["cola"],
    "pretrain": {"data": {"path": "d"}},
    "backbones": [TINY],
    "arms": [RANDOM, BERT],
    "statistics": {"family": [["bert", "random"]], "margin": 0.01},
}


def without(tree, section, key):
    return tree | {section: {name: value for name, value in tree[section].items() if name != key}}


BAD = {
    "unknown recipe": (GOOD | {"arms": [RANDOM, {"name": "bret"}]}, "No recipe 'bret'. Did you mean 'bert'?"),
    "duplicate arm": (GOOD | {"arms": [RANDOM, BERT, RANDOM]}, "The arm 'random' is there twice."),
    "same arm by two names": (
        GOOD | {"arms": [RANDOM, BERT, {"name": "again", "recipe": "bert"}]},
        "The arms 'bert' and 'again' are the same",
    ),
    "one arm": (GOOD | {"arms": [RANDOM]}, "a comparison takes at least 2"),
    "seeds twice": (GOOD | {"seeds": [0, 1, 1]}, "the seed 1 is there twice"),
    "seeds overlapping": (GOOD | {"seeds": "0-3,2"}, "the seed 2 is there twice"),
    "seeds typed wrong": (GOOD | {"seeds": "0..4"}, "a range such as 0-4"),
    "one seed": (GOOD | {"seeds": [3]}, "seeds has 1 seed."),
    "no seed": (GOOD | {"seeds": []}, "there is no seed"),
    "a seed below 0": (GOOD | {"seeds": [0, -1]}, "-1 is not a seed"),
    "a seed beyond numpy's": (GOOD | {"seeds": [0, 2**32]}, "4294967296 is not a seed"),
    "a seed that is no whole number": (GOOD | {"seeds": 2.5}, "2.5 is not a seed"),
    "no tuning seed": (GOOD | {"tuning_seeds": []}, "there is no seed"),
    "no backbone": (GOOD | {"backbones": []}, "There is no backbone."),
    "a backbone of nothing": (GOOD | {"backbones": [{"name": "x"}]}, "needs a preset or a checkpoint"),
    "backbone twice": (GOOD | {"backbones": [TINY, TINY]}, "The backbone 'tiny' is there twice."),
    "no margin": (without(GOOD, "statistics", "margin"), "statistics.margin is missing: say before anything runs"),
    "no statistics": ({k: v for k, v in GOOD.items() if k != "statistics"}, "statistics.margin is missing"),
    "margin of zero": (merge(GOOD, {"statistics": {"margin": 0}}), "statistics.margin': a margin is above 0"),
    "margin in words": (merge(GOOD, {"statistics": {"margin": "small"}}), "a share of pretraining's gain such as '5%'"),
    "margin of no gain": (merge(GOOD, {"statistics": {"margin": "5%"}}), 'Add gain_of = "random"'),
    "gain of a stranger": (
        merge(GOOD, {"statistics": {"gain_of": "randm"}}), "gain_of names 'randm', which is not an arm. Did you mean",
    ),
    "an sd of nowhere": (merge(GOOD, {"statistics": {"expected_sd": {"cola": 0.01}}}), "Add n, at least 2"),
    "an sd of one seed": (merge(GOOD, {"statistics": {"expected_sd": {"cola": 0.01, "n": 1}}}), "Add n, at least 2"),
    "an sd of half a seed": (merge(GOOD, {"statistics": {"expected_sd": {"cola": 0.1, "n": 2.5}}}), "found 2.5"),
    "an sd of another task": (
        merge(GOOD, {"statistics": {"expected_sd": {"colla": 0.01, "n": 3}}}), "'colla', which is not among the tasks",
    ),
    "an sd of 0": (merge(GOOD, {"statistics": {"expected_sd": {"cola": 0, "n": 3}}}), "above 0; found 0"),
    "a gain below 0": (merge(GOOD, {"statistics": {"expected_gain": {"cola": -1}}}), "above 0; found -1"),
    "an arm called as the reference": (
        GOOD | {"arms": [RANDOM, {"name": "not-pretrained", "recipe": "bert"}]}, "Give it another name",
    ),
    "family of a stranger": (
        merge(GOOD, {"statistics": {"family": [["bert", "randm"]]}}),
        "compares 'randm', which is not an arm. Did you mean 'random'?",
    ),
    "family with itself": (merge(GOOD, {"statistics": {"family": [["bert", "bert"]]}}), "with itself"),
    "family both ways": (
        merge(GOOD, {"statistics": {"family": [["bert", "random"], ["random", "bert"]]}}), "is there twice",
    ),
    "empty family": (merge(GOOD, {"statistics": {"family": []}}), "statistics.family is empty"),
    "unknown task": (GOOD | {"tasks": ["colla"]}, "No task 'colla'. Did you mean 'cola'?"),
    "no task": (GOOD | {"tasks": []}, "tasks is empty"),
    "a zero-shot task without data": (GOOD | {"tasks": ["pairs:blimp"]}, "task_data is missing"),
    "an unknown metric of pairs": (
        merge(GOOD, {"tasks": ["pairs:blimp"], "task_data": "d", "statistics": {"metrics": {"pairs:blimp": "f1"}}}),
        "The task 'pairs:blimp' has no metric 'f1'.",
    ),
    "unknown setting": (GOOD | {"bakcbones": []}, "Unknown setting 'bakcbones'. Did you mean 'backbones'?"),
    "unknown setting of an arm": (
        GOOD | {"arms": [RANDOM, {"name": "bert", "recipee": "bert"}]}, "Did you mean 'recipe'?",
    ),
    "unknown pretraining setting": (
        merge(GOOD, {"pretrain": {"maskng": {}}}), "Arm 'random' on 'tiny': Unknown setting 'maskng'.",
    ),
    "unknown tuning setting": (GOOD | {"tune": {"epochs": 3}}, "Unknown setting 'tune.epochs'."),
    "no teacher": (GOOD | {"arms": [RANDOM, {"name": "bert", "recipe": "entropy-high"}]}, "needs a teacher"),
    "adaptation from scratch": (GOOD | {"adapt": True}, "adapt = true continues from a checkpoint"),
    "a name that is a path": (GOOD | {"arms": [RANDOM, {"name": "../bert", "recipe": "bert"}]}, "arms.1.name"),
    "a budget of no such kind": (GOOD | {"equal": "step"}, "found 'step'. Did you mean 'steps'?"),
    "the budget of a stranger": (
        GOOD | {"equal": "compute", "equal_to": "randm"}, "equal_to is 'randm', which is not an arm. Did you mean",
    ),
    "an arm's budget of a stranger": (
        GOOD | {"arms": [RANDOM, BERT | {"equal": "compute", "equal_to": "brt"}]}, "The arm 'bert': equal_to is 'brt'",
    ),
    "the budget of the arm itself": (
        GOOD | {"arms": [RANDOM, BERT | {"equal": "compute", "equal_to": "bert"}]}, "name another arm",
    ),
    "a budget of nothing": (GOOD | {"arms": [RANDOM, BERT | {"equal_to": "random"}]}, "and nothing is equal"),
    "budgets in a ring": (
        GOOD | {"arms": [RANDOM | {"equal": "compute", "equal_to": "bert"}, BERT | {"equal": "seconds"}]},
        "random -> bert -> random take their budgets from one another",
    ),
    "seconds of what is between steps": (
        GOOD | {"arms": [RANDOM, {"name": "bert", "recipe": "entropy-self-cold", "equal": "seconds",
                                  "settings": {"masking": {"refresh_epochs": 1}}}]},
        "The arm 'bert' scores between its steps",
    ),
    "unknown chooser": (
        merge(GOOD, {"pretrain": {"stopping": {"by": "own-mask"}}}), "found 'own-mask'",
    ),
    "unknown evaluation metric": (
        merge(GOOD, {"tasks": ["held_out"], "statistics": {"metrics": {"held_out": "f1"}}}),
        "The evaluation has no metric 'f1'.",
    ),
}  # fmt: skip


def test_a_good_study_is_taken():
    study = check_study(GOOD)
    assert study.seeds == (0, 1, 2, 3, 4) and study.tuning_seeds == (0,)
    assert study.metric("cola") == "matthews_correlation"


def test_a_study_made_in_python_is_that_of_its_file(tmp_path):
    """Objects, mappings and paths; what comes out is the same declaration."""
    tree = merge(GOOD, {"task_data": str(tmp_path), "pretrain": {"data": {"path": str(tmp_path / "d")}}})
    made = Study(
        seeds=range(5), tasks=["cola"], task_data=tmp_path, pretrain={"data": {"path": tmp_path / "d"}},
        backbones=[Backbone("tiny", preset="tiny")], arms=[Arm("random"), {"name": "bert"}],
        statistics={"family": [("bert", "random")], "margin": 0.01},
    )  # fmt: skip
    assert made == check_study(tree)


def test_an_arm_with_a_score_is_random_with_another_score():
    def rare(batch):
        return batch["input_ids"]

    arm = Arm("rare", score=rare)
    study = Study(**GOOD | {"arms": [RANDOM, arm], "statistics": {"family": [["rare", "random"]], "margin": 0.01}})
    one, other = (study.settings(each, study.backbones[0], seed=3).model_dump() for each in study.arms)
    assert {key for key in one["masking"] if one["masking"][key] != other["masking"][key]} == {"score"}
    assert one["recipe"] == other["recipe"] == "random"


def test_a_recorded_study_is_read_without_asking_anything_else():
    """A folder from another machine: an arm's recipe and a task may be unknown here."""
    tree = GOOD | {"tasks": ["a-task-of-theirs"], "arms": [RANDOM, {"name": "bert", "recipe": "theirs"}]}
    assert Study.recorded(tree).arms[1].recipe == "theirs"
    with pytest.raises(InputError, match="No recipe 'theirs'"):
        Study(**tree)


def test_a_margin_of_the_gain_is_kept_as_it_was_written():
    """A finished study is recognised by its file: what is read back has to be the same declaration."""
    rules = {"margin": "5 % of the gain", "gain_of": "random", "expected_sd": {"cola": 0.02, "n": 3}}
    study = check_study(merge(GOOD, {"statistics": rules}))
    assert str(study.statistics.margin) == "5% of the gain"
    written = study.model_dump(mode="json", exclude_none=True)
    assert written["statistics"]["margin"] == "5%"
    assert check_study(written) == study
    assert check_study(GOOD).model_dump(mode="json")["statistics"]["margin"] == 0.01


def test_the_margin_of_a_task_needs_an_expected_gain():
    rules = {"margin": "5%", "gain_of": "random"}
    assert check_study(merge(GOOD, {"statistics": rules})).statistics.margin_on("cola") is None
    expected = rules | {"expected_gain": {"cola": 0.2}}
    assert check_study(merge(GOOD, {"statistics": expected})).statistics.margin_on("cola") == pytest.approx(0.01)
    assert check_study(GOOD).statistics.margin_on("cola") == 0.01


def test_tags_are_compared_over_validation_and_test_together():
    study = check_study(GOOD | {"tasks": ["pos", "ner"]})
    assert (study.metric("pos"), study.metric("ner")) == ("accuracy_pooled", "entity_f1_pooled")


@pytest.mark.parametrize("name", BAD)
def test_a_bad_study_is_refused_with_what_to_do(name):
    tree, expected = BAD[name]
    with pytest.raises(InputError, match=re.escape(expected)) as refused:
        check_study(tree)
    assert len(str(refused.value).splitlines()) <= 3


@pytest.mark.parametrize("name", ["no margin", "one seed", "unknown recipe"])
def test_the_command_line_refuses_before_anything_is_written(name, refused, write_study, tmp_path):
    path = write_study(BAD[name][0])
    assert BAD[name][1] in refused(["study", str(path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_study_that_is_not_there_names_the_nearest(refused):
    assert "Did you mean 'entropy-table1'?" in refused(["study", "entropy-tabel1", "--dry-run"])
    assert "no scale 'tinny'. Did you mean 'tiny'?" in refused(["study", "typhoon", "--scale", "tinny", "--dry-run"])
    assert "--dry-run" in refused(["study", "typhoon"])


def test_later_layers_win():
    """Recipe, shared, backbone, arm: the arm has the last word, the recipe the first."""
    shared = {"data": {"path": "d"}, "masking": {"rate": 0.2, "sharpness": 2.0, "corruption": [0.5, 0.5, 0.0]}}
    backbone = TINY | {"settings": {"masking": {"rate": 0.3, "sharpness": 3.0}}}
    arm = BERT | {"settings": {"masking": {"rate": 0.4}}}
    study = check_study(GOOD | {"pretrain": shared, "backbones": [backbone], "arms": [RANDOM, arm]})
    masking = study.settings(study.arms[1], study.backbones[0], seed=7).masking
    assert (masking.rate, masking.sharpness, masking.corruption) == (0.4, 3.0, (0.5, 0.5, 0.0))
    assert masking.budget == "bernoulli"
    assert study.settings(study.arms[1], study.backbones[0], seed=7).seed == 7


def test_arms_share_everything_but_what_they_say():
    study = check_study(GOOD)
    one, other = (study.settings(arm, study.backbones[0], seed=3).model_dump() for arm in study.arms)
    assert {key for key in one if one[key] != other[key]} == {"recipe", "masking", "description"}


def test_the_ready_studies_are_there():
    assert set(study_names()) == READY | set(EVIDENCE)


@pytest.mark.parametrize(("name", "num_seeds", "family"), [(name, *sizes) for name, sizes in EVIDENCE.items()])
def test_a_study_that_looks_for_evidence_is_declared_whole(name, num_seeds, family):
    """Its arms differ in what they choose alone, and a gain of pretraining is the yardstick."""
    from maskwise.lab.study.study_file import find_study

    study = load_study(name)
    assert (len(study.seeds), len(study.statistics.family) * len(study.tasks)) == (num_seeds, family)
    assert study.statistics.gain_of == "random" and study.statistics.margin.is_share and study.teacher is not None
    settings = [study.settings(arm, study.backbones[0], 0).masking for arm in study.arms]
    shared = {(one.rate, tuple(one.corruption), one.budget) for one in settings}
    assert shared == {(0.15, (1.0, 0.0, 0.0), "exact")}
    assert "# Cost: " in find_study(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("scale", ["paper", "tiny"])
@pytest.mark.parametrize("name", sorted(READY))
def test_a_ready_study_is_sound_at_both_scales(name, scale):
    study = load_study(name, scale=scale)
    assert len(study.seeds) == 5 and study.question.endswith("?")
    if scale == "tiny":
        assert all(b.preset == "tiny" or str(b.checkpoint).startswith("./runs/") for b in study.backbones)
        assert study.task_data


@pytest.mark.parametrize("name", sorted(READY))
def test_a_ready_study_says_what_it_costs_in_its_head(name):
    from maskwise.lab.study.study_file import find_study

    head = find_study(name).read_text(encoding="utf-8").split("\n\n")[0]
    assert "Cost at the paper's scale: " in head and "Cost of `--scale tiny`: " in head
    assert all(line.startswith("#") for line in head.splitlines())


def test_typhoon_is_the_grid_of_90_runs():
    study = load_study("typhoon")
    assert len(study.tasks) * len(study.backbones) * len(study.arms) * len(study.seeds) == 90
    assert len(study.statistics.family) * len(study.tasks) * len(study.backbones) == 12
    corruptions = {study.settings(arm, study.backbones[0], 0, "d").masking.corruption for arm in study.arms}
    assert corruptions == {(1.0, 0.0, 0.0)}


def test_the_study_of_the_docs_is_sound():
    page = (Path(__file__).parents[3] / "docs" / "studies.md").read_text(encoding="utf-8")
    study = check_study(tomllib.loads(page.split("```toml\n")[1].split("```")[0]))
    assert [arm.equal for arm in study.arms] == [None, None, "compute", "compute"]
    assert study.equal_of(study.arms[3])[1] == study.arms[1]


def test_changes_come_last():
    study = load_study("typhoon", scale="tiny", changes={"seeds": "0-1", "pretrain": {"masking": {"rate": 0.3}}})
    assert study.seeds == (0, 1)
    assert study.settings(study.arms[0], study.backbones[0], 0, "d").masking.rate == 0.3


@pytest.mark.parametrize(("text", "seeds"), [("0-2,7", [0, 1, 2, 7]), ("5", [5]), (3, [3]), ([2, 1], [2, 1])])
def test_seeds_are_read_as_people_write_them(text, seeds):
    assert read_seeds(text) == seeds
