"""Whether the scores of one's own are still those that a study's runs were made with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from maskwise.errors import InputError
from maskwise.lab.pretraining.run_record import SCORE_SOURCE
from maskwise.lab.records.content import NOT_KNOWN, score_hash
from maskwise.lab.records.record import read_record
from maskwise.lab.study.layout import Layout, keys_at
from maskwise.lab.study.study_file import Study
from maskwise.masking.named_score import import_score
from maskwise.recipes.masking_keys import score_text


def check_scores(study: Study, layout: Layout) -> list[str]:
    """Compares each own score with the one that finished runs record; returns what is not known, in sentences.

    Raises:
        InputError: A score is another than when a run was made; its source of then is in the run's folder.
    """
    notes = []
    for arm in study.arms:
        name = study.settings(arm, study.backbones[0], study.seeds[0], "data").masking.score
        if ":" not in name:
            continue
        runs = list(_finished(study, layout, arm.name))
        if not runs:
            continue
        now = score_hash(arm.score if callable(arm.score) else import_score(name))
        for folder, before in runs:
            if NOT_KNOWN not in (before, now) and before != now:
                raise InputError(
                    f"The score {name} of the arm {arm.name!r} has changed since {folder} was made with it (its source "
                    f"of then is in {folder / SCORE_SOURCE}). Put it back, or choose another --out."
                )
        if NOT_KNOWN in (now, *(before for _, before in runs)):
            notes.append(
                f"Is the score {score_text(name)} of the arm {arm.name!r} the one that the finished runs were made "
                "with? That is not known: it is not a function with a file. If it is not, choose another --out."
            )
    return notes


def _finished(study: Study, layout: Layout, arm: str) -> Iterator[tuple[Path, str]]:
    """Yields the folder and the recorded hash of each finished run of an arm whose record can be read."""
    for seed in study.seeds:
        for backbone in study.backbones:
            for key in keys_at(study, backbone.name, seed):
                if key.arm != arm or not layout.done(key).exists():
                    continue
                try:
                    record = read_record(layout.folder(key))
                except InputError:  # named where results are collected
                    continue
                yield layout.folder(key), record.content.get("score", NOT_KNOWN)
