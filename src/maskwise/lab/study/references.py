"""What is refused of a study's teachers and of its models without pretraining."""

from __future__ import annotations

from collections.abc import Sequence

from maskwise.errors import InputError
from maskwise.lab.config import PretrainSettings
from maskwise.lab.seeds import SEED_LIMIT
from maskwise.lab.study.declaration import TEACHER, Declaration
from maskwise.lab.study.statistics import REFERENCES


def check_teacher(study: Declaration) -> None:
    """Raises InputError if a study's teachers are not one for each seed, and no arm's own run."""
    if study.teacher is None:
        return
    owners = [("pretrain", study.pretrain)]
    owners += [(f"backbones.{one.name}", one.settings) for one in study.backbones]
    owners += [(f"arms.{one.name}", one.settings) for one in study.arms]
    named = [where for where, settings in owners if "teacher" in settings]
    if named:
        raise InputError(
            f"[teacher] asks for a teacher of each seed, and {named[0]} names another one. Leave out one of the two."
        )
    _check_seeds(study.seeds, study.teacher.seed_offset)
    if not any(study.settings(arm, study.backbones[0], study.seeds[0], "data").needs_teacher for arm in study.arms):
        raise InputError("[teacher] asks for a teacher of each seed, and no arm needs one. Leave it out.")


def _check_seeds(seeds: Sequence[int], offset: int) -> None:
    taken = sorted({seed + offset for seed in seeds} & set(seeds))
    if taken:
        raise InputError(
            f"teacher.seed_offset is {offset}, so the teacher of seed {taken[0] - offset} would have the arms' seed "
            f"{taken[0]}: a teacher is not an arm's own run. Take a larger one."
        )
    if max(seeds) + offset >= SEED_LIMIT:
        raise InputError(f"teacher.seed_offset is {offset}: seeds are below {SEED_LIMIT:,}. Take a smaller one.")


def check_names(names: Sequence[str], study: Declaration) -> None:
    """Raises InputError if an arm has the name of a reference."""
    for name in names:
        if name in REFERENCES or (name == TEACHER and study.teacher is not None):
            raise InputError(
                f"The arm {name!r} has the name that results give to models that are not an arm's. Give it another "
                "name."
            )


def check_reference(study: Declaration) -> None:
    """Raises InputError if the arms of a seed do not start from the same weights, which are to be tuned as they are."""
    if not study.has_reference:
        return
    for backbone in study.backbones:
        if backbone.checkpoint is not None:
            continue
        reference = _start(study.initial_settings(backbone, study.seeds[0]))
        for arm in study.arms:
            if _start(study.settings(arm, backbone, study.seeds[0])) != reference:
                raise InputError(
                    f"not_pretrained asks for the weights that all arms of a seed start from, and {arm.name!r} starts "
                    "from others: settings.model or settings.data of an arm differ. Set them for all arms."
                )


def _start(settings: PretrainSettings) -> tuple[object, str, int]:
    return settings.model, settings.data.path, settings.seed
