"""How long each arm trains: the same steps for all, or its own number so that flops or seconds equal another's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import gettempdir

from maskwise.lab.config import PretrainSettings, merge, resolve
from maskwise.lab.pretraining.build import planned_run, training_arguments, with_defaults
from maskwise.lab.pretraining.flops import Budget, run_flops, steps_for
from maskwise.lab.study.jobs_of_a_study import Place, data_folder
from maskwise.lab.study.speed import seconds_a_step, short_run
from maskwise.lab.study.study_file import Backbone, Study
from maskwise.lab.tokens.blocks import open_data
from maskwise.models.flops import ForwardFlops, forward_flops


@dataclass(frozen=True)
class Corpus:
    """What a budget needs to know of a data folder: blocks, their length at most and in the mean, and vocabulary."""

    num_blocks: int
    block: int
    mean_length: float
    vocabulary: int


@dataclass(frozen=True)
class ArmBudget:
    """The settings of an arm's run with its number of steps, and what that costs in counted flops and tokens."""

    settings: PretrainSettings
    steps: int
    flops: float
    tokens: float


@cache
def corpus_of(data: str) -> Corpus:
    """Returns the figures of a data folder; raises InputError where there is none."""
    manifest = open_data(data).manifest
    counts = manifest["counts"]
    num_blocks = counts["blocks"]["train"]
    return Corpus(num_blocks, manifest["block"], counts["tokens"]["train"] / num_blocks, manifest["vocabulary"])


def arm_budget(study: Study, place: Place, out: Path, corpus: Corpus | None = None) -> ArmBudget:
    """Returns what one pretraining run gets; `corpus` stands in for the figures of data that is not there yet.

    An arm with the compute of another gets the number of steps whose counted flops are nearest to the other's; one
    with its seconds, the steps that fit by the time a step of each takes. Where these are not measured yet, flops
    stand in for time.
    """
    own = _as_given(study, place, out, corpus)
    equal, other = study.equal_of(place.arm)
    if other is None:
        return own
    theirs = arm_budget(study, replace(place, arm=other), out, corpus)
    student, teacher, run = _counted(own.settings, place.backbone, corpus)
    if equal == "compute":
        steps = steps_for(theirs.flops, own.settings, student, teacher, run)
    else:
        mine, other_s = (seconds_a_step(one.speed_folder(out)) for one in (place, replace(place, arm=other)))
        if mine is None or other_s is None:
            mine, other_s = own.flops / own.steps, theirs.flops / theirs.steps
        steps = max(1, round(theirs.steps * other_s / mine))
    longer = resolve(own.settings.model_dump(exclude_none=True), {"trainer": {"max_steps": steps}})
    flops = run_flops(longer, student, teacher, run._replace(steps=steps))
    return ArmBudget(longer, steps, flops, steps * run.tokens_a_step)


def short_settings(study: Study, place: Place, out: Path) -> PretrainSettings:
    """Returns the settings of the short run that says how long a step of this arm takes."""
    given = _as_given(study, place, out, None).settings
    return short_run(given, _planned(given, corpus_of(given.data.path)))


def _as_given(study: Study, place: Place, out: Path, corpus: Corpus | None) -> ArmBudget:
    data = data_folder(out, place.backbone, place.task) if place.task else None
    settings = study.settings(place.arm, place.backbone, place.seed, data)
    student, teacher, run = _counted(settings, place.backbone, corpus)
    return ArmBudget(settings, run.steps, run_flops(settings, student, teacher, run), run.steps * run.tokens_a_step)


def _counted(
    settings: PretrainSettings, backbone: Backbone, corpus: Corpus | None
) -> tuple[ForwardFlops, ForwardFlops | None, Budget]:
    figures = corpus or corpus_of(settings.data.path)
    return *_models(settings, backbone, figures), _planned(settings, figures)


def _models(settings: PretrainSettings, backbone: Backbone, corpus: Corpus) -> tuple[ForwardFlops, ForwardFlops | None]:
    length = max(2, round(corpus.mean_length))
    teacher = forward_flops(settings.teacher, length, corpus.vocabulary) if settings.teacher else None
    return forward_flops(backbone.model, length, corpus.vocabulary), teacher


def _planned(settings: PretrainSettings, corpus: Corpus) -> Budget:
    args = training_arguments(with_defaults(settings), Path(gettempdir()))
    steps, _ = planned_run(args, corpus.num_blocks)
    a_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    once = merge(settings.trainer, {"num_train_epochs": 1, "max_steps": -1})
    epoch, _ = planned_run(
        training_arguments(with_defaults(settings.model_copy(update={"trainer": once})), Path(gettempdir())),
        corpus.num_blocks,
    )
    tokens = min(a_step, corpus.num_blocks) * corpus.mean_length
    labelled = _labelled(settings, corpus)
    texts = (labelled.num_blocks * labelled.mean_length, labelled.mean_length) if labelled else ()
    return Budget(steps, epoch, tokens, corpus.mean_length, *texts)


def _labelled(settings: PretrainSettings, corpus: Corpus) -> Corpus | None:
    """Returns the figures of the text that Typhoon takes a task's loss from, where it does."""
    typhoon = settings.masking.typhoon
    if typhoon is None or typhoon.loss != "task":
        return None
    return corpus_of(typhoon.task_data) if typhoon.task_data else corpus
