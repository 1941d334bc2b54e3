"""How large a pretraining run is, and its counted flops: what a study's equal compute and a run's record both say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple

from transformers import TrainingArguments

from maskwise.lab.config import PretrainSettings
from maskwise.lab.pretraining.build import planned_run, rows_a_step, steps_an_epoch, training_arguments, with_defaults
from maskwise.lab.pretraining.flops import Budget, run_flops, steps_for
from maskwise.lab.tokens.blocks import DataFolder, open_data
from maskwise.models.flops import ForwardFlops, forward_flops


@dataclass(frozen=True)
class CorpusSize:
    """What a budget needs to know of a data folder: blocks, their length at most and in the mean, and vocabulary."""

    num_blocks: int
    block: int
    mean_length: float
    vocabulary: int


class RunSize(NamedTuple):
    """A run's size and the operations per token of its model and teacher, from which its flops are counted."""

    settings: PretrainSettings
    student: ForwardFlops
    teacher: ForwardFlops | None
    budget: Budget

    @property
    def flops(self) -> float:
        """The operations of the whole run."""
        return run_flops(self.settings, self.student, self.teacher, self.budget)

    @property
    def tokens(self) -> float:
        """The tokens that the whole run trains on, padding left out."""
        return self.budget.steps * self.budget.tokens_a_step

    def steps_for(self, flops: float) -> int:
        """Returns the number of steps whose operations come nearest to `flops`."""
        return steps_for(flops, self.settings, self.student, self.teacher, self.budget)

    def with_steps(self, settings: PretrainSettings, steps: int) -> RunSize:
        """Returns the size of the same run of another length."""
        return self._replace(settings=settings, budget=self.budget._replace(steps=steps))


@cache
def corpus_of(data: str) -> CorpusSize:
    """Returns the figures of a data folder; raises InputError if there is none."""
    return corpus_figures(open_data(data))


def corpus_figures(data: DataFolder) -> CorpusSize:
    """Returns the figures of an open data folder."""
    counts = data.manifest["counts"]
    num_blocks = counts["blocks"]["train"]
    mean_length = counts["tokens"]["train"] / num_blocks
    return CorpusSize(num_blocks, data.manifest["block"], mean_length, data.manifest["vocabulary"])


def run_size(
    settings: PretrainSettings, corpus: CorpusSize, args: TrainingArguments | None = None, *, teacher: str | None = None
) -> RunSize:
    """Returns the size of the run that settings describe on a corpus.

    Args:
        settings: The run's settings.
        corpus: The figures of its data.
        args: The run's training arguments; default: those of a run in this process.
        teacher: A model of the teacher's shape, for a teacher that is not there yet; default: the settings' own.
    """
    args = args or training_arguments(with_defaults(settings), Path(gettempdir()))
    length = max(2, round(corpus.mean_length))
    model = settings.model.preset or settings.model.checkpoint
    teacher = teacher or settings.teacher
    assert model is not None
    return RunSize(
        settings,
        forward_flops(model, length, corpus.vocabulary),
        forward_flops(teacher, length, corpus.vocabulary) if teacher and settings.teacher else None,
        _budget(settings, corpus, args),
    )


def _budget(settings: PretrainSettings, corpus: CorpusSize, args: TrainingArguments) -> Budget:
    steps, _ = planned_run(args, corpus.num_blocks)
    tokens = rows_a_step(args, corpus.num_blocks) * corpus.mean_length
    labelled = _labelled(settings, corpus)
    texts = (labelled.num_blocks * labelled.mean_length, labelled.mean_length) if labelled else ()
    return Budget(steps, steps_an_epoch(args, corpus.num_blocks), tokens, corpus.mean_length, *texts)


def _labelled(settings: PretrainSettings, corpus: CorpusSize) -> CorpusSize | None:
    """Returns the figures of the text that Typhoon takes a task's loss from, if it does."""
    typhoon = settings.masking.typhoon
    if typhoon is None or typhoon.loss != "task":
        return None
    return corpus_of(typhoon.task_data) if typhoon.task_data else corpus
