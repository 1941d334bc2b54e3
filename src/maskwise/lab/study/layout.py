"""The layout of a study's folder: the one place that knows where every run leaves its work.

A study's folder holds

    study.toml                                      resolved: a folder belongs to one study
    data/<backbone>-<task>                          adapt: a task's own text as token blocks
    speed/<arm>/<backbone>[-<task>]                 equal seconds: a short run that is timed
    runs/<arm>/<backbone>/<seed>/pretrain           a run folder; adapt: pretrain-<task>
    runs/<arm>/<backbone>/<seed>/<task>             <task>/seed-<tuning seed>, as `maskwise finetune` makes it
    runs/<arm>/<backbone>/<seed>/<set>-<name>       zero-shot: the record of an evaluation
    runs/teacher/<backbone>/<seed>/pretrain         the teacher of a seed, and annotate-<score> next to it
    runs/not-pretrained/<backbone>/<seed>/<task>    what the weights that a seed's arms start from are tuned to
    runs/.../<job>.json, <job>.log                  what the job's worker reads, and what it printed
    results.parquet                                 written when the study ends or is stopped
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from maskwise.lab.evaluation.zero_shot import is_zero_shot
from maskwise.lab.jobs.job import log_of
from maskwise.lab.records.record import HELD_OUT, RECORD, RunKey
from maskwise.lab.records.run_folder import DONE
from maskwise.lab.study.declaration import TEACHER, Backbone
from maskwise.lab.study.statistics import AS_GIVEN, NOT_PRETRAINED, REFERENCES
from maskwise.lab.study.study_file import Study

STUDY_FILE, RESULTS, LOCK = "study.toml", "results.parquet", "study.lock"
TUNED = "results.json"  # the last file of a tuning job
MADE_DATA = "manifest.json"  # the last file of a data folder
SPEED = "speed"


@dataclass(frozen=True)
class Layout:
    """Where a study's runs are, in its folder `out`."""

    out: Path

    @property
    def study_file(self) -> Path:
        """The study, resolved."""
        return self.out / STUDY_FILE

    @property
    def results(self) -> Path:
        """The table of results."""
        return self.out / RESULTS

    @property
    def lock(self) -> Path:
        """The file that a running study holds."""
        return self.out / LOCK

    def seed_folder(self, key: RunKey) -> Path:
        """Returns the folder of all that belongs to an arm, backbone and seed."""
        return self.out / "runs" / key.arm / key.backbone / str(key.seed)

    def folder(self, key: RunKey) -> Path:
        """Returns the folder of a run: of pretraining, of tuning on a task, or of an evaluation."""
        return self.seed_folder(key) / _last_part(key)

    def done(self, key: RunKey) -> Path:
        """Returns the file that exists when a run is finished."""
        return self.folder(key) / (TUNED if is_tuned(key) else DONE if is_pretrained(key) else RECORD)

    def tuned(self, key: RunKey, tuning_seed: int) -> Path:
        """Returns the folder of one tuning seed."""
        return self.folder(key) / key.task / f"seed-{tuning_seed}"

    def log(self, key: RunKey) -> Path:
        """Returns what a run printed."""
        return log_of(self.folder(key))

    def data(self, backbone: str, task: str) -> Path:
        """Returns where a task's own text is prepared for a backbone."""
        return self.out / data_name(backbone, task)

    def speed(self, key: RunKey) -> Path:
        """Returns the folder of the short run that is timed, alike for all seeds."""
        return self.out / speed_name(key)

    def annotation(self, key: RunKey, statistic: str) -> Path:
        """Returns where the storing of a teacher's scores is recorded; `key` is the teacher's."""
        return self.seed_folder(key) / f"annotate-{statistic}{_of_task(key)}"

    def begun(self) -> Iterator[tuple[str, Path, bool]]:
        """Yields name, folder and whether it is done for each data folder, timed run and annotation that was begun."""
        patterns = ("data/*.log", f"{SPEED}/*/*.log", "runs/*/*/*/annotate*.log")
        for log in sorted(log for pattern in patterns for log in self.out.glob(pattern)):
            folder = log.with_name(log.name.removesuffix(".log"))
            done = any((folder / name).exists() for name in (MADE_DATA, DONE, RECORD))
            yield str(folder.relative_to(self.out)).removeprefix("runs/"), folder, done


def run_name(key: RunKey) -> str:
    """Returns the name of a run's job, for people and for jobs that need it.

    >>> run_name(RunKey("random", "tiny", 0)), run_name(RunKey("random", "tiny", 0, "cola"))
    ('random/tiny/0/pretrain', 'random/tiny/0/cola')
    """
    return f"{key.arm}/{key.backbone}/{key.seed}/{_last_part(key)}"


def data_name(backbone: str, task: str) -> str:
    """Returns the name of the job that prepares a task's own text."""
    return f"data/{backbone}-{task}"


def speed_name(key: RunKey) -> str:
    """Returns the name of the job of an arm's short run."""
    return f"{SPEED}/{key.arm}/{key.backbone}{_of_task(key)}"


def annotation_name(key: RunKey, statistic: str) -> str:
    """Returns the name of the job that stores a teacher's scores; `key` is the teacher's."""
    return f"{key.arm}/{key.backbone}/{key.seed}/annotate-{statistic}{_of_task(key)}"


def pretraining_keys(study: Study) -> list[RunKey]:
    """Returns every pretraining run of the arms; seeds vary slowest, so that a stopped study has whole pairs."""
    return [key for seed in study.seeds for backbone in study.backbones for key in keys_at(study, backbone.name, seed)]


def keys_at(study: Study, backbone: str, seed: int) -> list[RunKey]:
    """Returns the pretraining runs of the arms at one backbone and seed."""
    texts = study.tuned_tasks if study.adapt else (None,)
    return [RunKey(arm.name, backbone, seed, adapted_to=text) for text in texts for arm in study.arms]


def teacher_of(key: RunKey) -> RunKey:
    """Returns the run of the teacher that an arm's run shares with those of the same seed."""
    return replace(key, arm=TEACHER)


def graded_keys(study: Study, key: RunKey) -> list[RunKey]:
    """Returns what is done with a pretrained model: a run for each task that it is tuned on or asked about."""
    tasks = (key.adapted_to, *study.zero_shot_tasks) if key.adapted_to else study.graded_tasks
    return [replace(key, task=task) for task in tasks]


def reference_keys(study: Study, backbone: Backbone, seed: int) -> list[RunKey]:
    """Returns the runs without pretraining at a seed: of its initial weights, or of a checkpoint as it was given.

    A checkpoint is the same at every seed, so it is tuned at the first alone.
    """
    if not study.has_reference or (backbone.checkpoint is not None and seed != study.seeds[0]):
        return []
    arm = NOT_PRETRAINED if backbone.checkpoint is None else AS_GIVEN
    tasks = [task for task in (*study.graded_tasks, HELD_OUT) if task != HELD_OUT or backbone.checkpoint is None]
    return [RunKey(arm, backbone.name, seed, task) for task in tasks]


def result_keys(study: Study) -> Iterator[RunKey]:
    """Yields every run that measures something, in the order of the results."""
    for seed in study.seeds:
        for backbone in study.backbones:
            yield from reference_keys(study, backbone, seed)
            keys = keys_at(study, backbone.name, seed)
            if study.teacher is not None:
                yield from dict.fromkeys(teacher_of(key) for key in keys)
            for key in keys:
                yield key
                yield from graded_keys(study, key)


def is_tuned(key: RunKey) -> bool:
    """Returns whether a run is one of tuning."""
    return key.task != HELD_OUT and not is_zero_shot(key.task)


def is_pretrained(key: RunKey) -> bool:
    """Returns whether a run is one of pretraining; one without pretraining is asked the held-out evaluation alone."""
    return key.task == HELD_OUT and key.arm not in REFERENCES


def _last_part(key: RunKey) -> str:
    if is_pretrained(key):
        return f"pretrain{_of_task(key)}"
    return key.task.replace(":", "-") + (_of_task(key) if is_zero_shot(key.task) else "")


def _of_task(key: RunKey) -> str:
    return f"-{key.adapted_to}" if key.adapted_to else ""
