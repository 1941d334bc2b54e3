"""The jobs that a study is made of, in the order they run, and which one waits for which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from pydantic import BaseModel

from maskwise.lab.config import PretrainSettings
from maskwise.lab.jobs.job import Job, JobKind, Requirements
from maskwise.lab.records.record import HELD_OUT, RECORD, RunKey
from maskwise.lab.records.run_folder import DONE
from maskwise.lab.study.budget import arm_budget, declared_settings, short_settings
from maskwise.lab.study.declaration import Backbone
from maskwise.lab.study.job_settings import Annotation, EvaluationSettings, Start, TaskText, Tuning
from maskwise.lab.study.layout import (
    MADE_DATA,
    Layout,
    annotation_name,
    data_name,
    graded_keys,
    is_tuned,
    keys_at,
    reference_keys,
    run_name,
    speed_name,
    teacher_of,
)
from maskwise.lab.study.statistics import NOT_PRETRAINED
from maskwise.lab.study.study_file import Study

ON_A_PROCESSOR, ON_A_GPU = Requirements(), Requirements(gpus=1)


class StudyJobs:
    """Makes the jobs of a study in its folder; `flops` guess the size of each run, by its key."""

    def __init__(self, study: Study, layout: Layout, flops: Callable[[RunKey], float]) -> None:
        self.study, self.layout, self.flops = study, layout, flops
        self._arms = {arm.name for arm in study.arms}

    def __iter__(self) -> Iterator[Job]:
        """Yields what all runs wait for, then seed by seed what belongs together."""
        study = self.study
        if study.adapt:
            yield from (self._data(backbone, task) for backbone in study.backbones for task in study.tuned_tasks)
        for backbone in study.backbones:
            for key in keys_at(study, backbone.name, study.seeds[0]):
                if study.arm(key.arm) in study.timed_arms:
                    yield self._speed(key)
        for seed in study.seeds:
            for backbone in study.backbones:
                keys = keys_at(study, backbone.name, seed)
                yield from self._teachers(keys)
                for key in keys:
                    yield self._pretrain(key, self._waits_for(key))
                    yield from (self._graded(graded, run_name(key)) for graded in graded_keys(study, key))
                yield from (self._graded(key) for key in reference_keys(study, backbone, seed))

    def _data(self, backbone: Backbone, task: str) -> Job:
        study, folder = self.study, self.layout.data(backbone.name, task)
        settings = TaskText(
            task=task,
            task_data=study.task_data,
            tokenizer=backbone.model,
            block=study.adapt_block,
            with_labels=study.asks_for_labels,
        )
        name = data_name(backbone.name, task)
        return Job(name, "prepare", folder, (), folder / MADE_DATA, ON_A_PROCESSOR, lambda: settings)

    def _speed(self, key: RunKey) -> Job:
        folder, needs = self.layout.speed(key), (*self._text_of(key), *self._teacher_needed(key))
        settings = partial(short_settings, self.study, key, self.layout)
        return Job(speed_name(key), "time", folder, needs, folder / DONE, ON_A_GPU, settings, key)

    def _pretrain(self, key: RunKey, needs: tuple[str, ...]) -> Job:
        def settings() -> PretrainSettings:
            return arm_budget(self.study, key, self.layout).settings

        return self._job(key, "pretrain", needs, settings)

    def _teachers(self, keys: list[RunKey]) -> Iterator[Job]:
        """Yields the teachers that arms at a backbone and seed need, and the storing of their scores."""
        if self.study.teacher is None:
            return
        stored = {self._annotation(key): None for key in keys if self._settings(key).masking.stored}
        for teacher in dict.fromkeys(teacher_of(key) for key in keys if self._settings(key).needs_teacher):
            yield self._pretrain(teacher, self._text_of(teacher))
            for owner, statistic in stored:
                if owner == teacher:
                    yield self._annotate(teacher, statistic)

    def _annotate(self, teacher: RunKey, statistic: str) -> Job:
        def settings() -> Annotation:
            data = declared_settings(self.study, teacher, self.layout).data.path
            return Annotation(data=data, teacher=str(self.layout.folder(teacher)), statistic=statistic)

        folder, name = self.layout.annotation(teacher, statistic), annotation_name(teacher, statistic)
        key = replace(teacher, task=f"annotate-{statistic}")
        return Job(name, "annotate", folder, (run_name(teacher),), folder / RECORD, ON_A_GPU, settings, key)

    def _graded(self, key: RunKey, needed: str | None = None) -> Job:
        """Returns the job that tunes a model on a task, or asks it without tuning."""
        start, needs = self._start(key), (needed,) if needed else ()
        if is_tuned(key):
            return self._job(key, "tune", needs, partial(self._tuning, start, key.task))
        return self._job(key, "evaluate", needs, partial(self._evaluation, start, key))

    def _tuning(self, start: Start, task: str) -> Tuning:
        study = self.study
        return Tuning(
            start=start,
            task=task,
            task_data=study.task_data,
            seeds=study.tuning_seeds_of(task),
            settings=study.tuning(task),
        )

    def _evaluation(self, start: Start, key: RunKey) -> EvaluationSettings:
        if key.arm in self._arms:
            data = self._settings(key).data.path
        else:
            data = self.study.initial_settings(self.study.backbone(key.backbone), key.seed).data.path
        return EvaluationSettings(start=start, task=key.task, task_data=self.study.task_data, data=data)

    def _start(self, key: RunKey) -> Start:
        backbone = self.study.backbone(key.backbone)
        if key.arm == NOT_PRETRAINED:
            return Start(initial=self.study.initial_settings(backbone, key.seed))
        if key.arm in self._arms:
            return Start(checkpoint=str(self.layout.folder(replace(key, task=HELD_OUT))))
        return Start(checkpoint=backbone.checkpoint)

    def _waits_for(self, key: RunKey) -> tuple[str, ...]:
        study = self.study
        timed = study.timed_arms if study.equal_of(study.arm(key.arm))[0] != "steps" else ()
        short_runs = tuple(speed_name(replace(key, arm=arm.name)) for arm in timed)
        return (*self._text_of(key), *short_runs, *self._teacher_needed(key))

    def _text_of(self, key: RunKey) -> tuple[str, ...]:
        return (data_name(key.backbone, key.adapted_to),) if key.adapted_to else ()

    def _teacher_needed(self, key: RunKey) -> tuple[str, ...]:
        if self.study.teacher is None:
            return ()
        settings = self._settings(key)
        if not settings.needs_teacher:
            return ()
        stored = (annotation_name(*self._annotation(key)),) if settings.masking.stored else ()
        return (run_name(teacher_of(key)), *stored)

    def _annotation(self, key: RunKey) -> tuple[RunKey, str]:
        return teacher_of(key), self._settings(key).masking.score

    def _settings(self, key: RunKey) -> PretrainSettings:
        return declared_settings(self.study, key, self.layout)

    def _job(self, key: RunKey, kind: JobKind, needs: tuple[str, ...], settings: Callable[[], BaseModel]) -> Job:
        return Job(
            run_name(key), kind, self.layout.folder(key), needs, self.layout.done(key), ON_A_GPU, settings, key,
            self.flops(key),
        )  # fmt: skip
