"""How long each arm trains: the same steps for all, or each its own number so that counted flops are equal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import gettempdir

from maskwise.config import PretrainSettings, merge, resolve
from maskwise.data.blocks import open_data
from maskwise.study.study_file import Arm, Backbone, Study
from maskwise.training.build import planned_run, training_arguments, with_defaults
from maskwise.training.flops import Budget, ForwardFlops, forward_flops, run_flops, steps_for


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


def arm_budget(
    study: Study, arm: Arm, backbone: Backbone, seed: int, data: Path | None = None, corpus: Corpus | None = None
) -> ArmBudget:
    """Returns what one pretraining run gets; `data` replaces the shared folder, `corpus` stands in for its figures.

    With equal compute, an arm gets the number of steps whose counted flops are nearest to those of the first arm.
    """
    own = _as_given(study, arm, backbone, seed, data, corpus)
    if (arm.equal or study.equal) == "steps" or arm == study.arms[0]:
        return own
    first = _as_given(study, study.arms[0], backbone, seed, data, corpus)
    figures = corpus or corpus_of(own.settings.data.path)
    student, teacher = _models(own.settings, backbone, figures)
    run = _planned(own.settings, figures)
    steps = steps_for(first.flops, own.settings, student, teacher, run)
    longer = resolve(own.settings.model_dump(exclude_none=True), {"trainer": {"max_steps": steps}})
    flops = run_flops(longer, student, teacher, run._replace(steps=steps))
    return ArmBudget(longer, steps, flops, steps * run.tokens_a_step)


def _as_given(
    study: Study, arm: Arm, backbone: Backbone, seed: int, data: Path | None, corpus: Corpus | None
) -> ArmBudget:
    settings = study.settings(arm, backbone, seed, data)
    figures = corpus or corpus_of(settings.data.path)
    run = _planned(settings, figures)
    flops = run_flops(settings, *_models(settings, backbone, figures), run)
    return ArmBudget(settings, run.steps, flops, run.steps * run.tokens_a_step)


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
    return Budget(steps, epoch, tokens, corpus.mean_length)
