"""Whether what this software wrote is still as it was written, from the sizes and checksums that it recorded."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from maskwise.errors import InputError
from maskwise.files.checkpoint_folders import MARKER, whats_wrong
from maskwise.files.json_text import read_json_object
from maskwise.files.marked_folders import FILES, MARKERS, damage_by_marker
from maskwise.lab.records.record import RECORD, check_files, read_record_file
from maskwise.lab.records.run_folder import CONFIG, DONE
from maskwise.lab.study.layout import STUDY_FILE
from maskwise.lab.study.results import read_study
from maskwise.lab.tuning.results import RESULT, WEIGHTS
from maskwise.progress import Progress, silent_if_not_shown


@dataclass(frozen=True)
class Checked:
    """A marker, a record or a study file, what is wrong with the files that it is about, and how many it records."""

    path: Path
    num_files: int
    damage: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """What was checked below some folders; it prints itself.

    Attributes:
        checked: One entry for each marker and record that was found.
        unfinished: Runs and checkpoints without their last file, which record nothing yet.
    """

    checked: tuple[Checked, ...]
    unfinished: tuple[Path, ...]

    @property
    def damaged(self) -> dict[Path, tuple[str, ...]]:
        """What is wrong, by marker or record."""
        return {one.path: one.damage for one in self.checked if one.damage}

    def __repr__(self) -> str:
        """A line for each damage, then what was checked."""
        lines = [f"damaged: {path.parent}: {what}" for path, found in self.damaged.items() for what in found]
        lines += [f"not finished, so nothing to compare with: {path}" for path in self.unfinished]
        num_files = sum(one.num_files for one in self.checked)
        verdict = f"{len(self.damaged)} of them damaged" if self.damaged else "all as they were written"
        return "\n".join([*lines, f"{num_files:,} files of {len(self.checked):,} records: {verdict}."])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


@silent_if_not_shown
def verify(folders: str | PathLike[str] | Sequence[str | PathLike[str]], *, show: bool = True) -> Verification:
    """Compares all that this software wrote in folders, and below, with the sizes and checksums that it recorded.

    Everything is read once: 5 to 10 GB/s from memory, else as fast as the disk is. In a study's folder the weights of
    tuned and timed models may be missing, if the study does not keep them.

    Args:
        folders: Data folders, runs, checkpoints, tuned models, stored scores, studies, or folders that hold any of
            these.
        show: Whether to show progress.

    Returns:
        What was checked, and what is damaged.

    Raises:
        InputError: If a folder is not there, or holds nothing that this software wrote.

    Example:
        >>> import tempfile
        >>> from maskwise.scores.store import store_scores
        >>> with tempfile.TemporaryDirectory() as out:
        ...     rows = [{"input_ids": [5, 6, 7]}]
        ...     folder = store_scores(lambda batch: batch["input_ids"] / 2, rows, f"{out}/scores", show=False)
        ...     verify(folder, show=False)
        2 files of 1 records: all as they were written.
    """
    named = [folders] if isinstance(folders, str | PathLike) else list(folders)
    found = [path for folder in named for path in _records_below(Path(fspath(folder)))]
    with Progress("verify", len(found), "records", show=show) as progress:
        checked = []
        for path in found:
            checked.append(_check(path))
            progress.advance()
    unfinished = [path for folder in named for path in _unfinished_below(Path(fspath(folder)))]
    return Verification(tuple(checked), tuple(dict.fromkeys(unfinished)))


def _records_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. Name what maskwise wrote: a data folder, a run, a study.")
    found = sorted(path for path in folder.rglob("*") if _is_record(path))
    beside = folder.with_name(f"{folder.name}.{RECORD}")
    found += [beside] if beside.is_file() else []
    if not found:
        raise InputError(
            f"{folder} holds nothing that maskwise has finished: no {', '.join((*MARKERS, RECORD, STUDY_FILE))}."
        )
    return found


def _is_record(path: Path) -> bool:
    is_named = path.name in (*MARKERS, RECORD, STUDY_FILE) or path.name.endswith(f".{RECORD}")
    return is_named and path.is_file()


def _check(path: Path) -> Checked:
    """Returns what is wrong with what one record is about."""
    try:
        if path.name == STUDY_FILE:
            read_study(path.parent)
            return Checked(path, 1)
        if path.name in MARKERS:
            return _check_marker(path)
        record = read_record_file(path)
        files = [file for file in record.files.values() if file.bytes is not None] if record.finished else []
        if files:
            check_files(path.parent, record)
        return Checked(path, 1 + len(files))
    except InputError as error:
        return Checked(path, 1, (" ".join(str(error).split()),))


def _check_marker(path: Path) -> Checked:
    if path.name == MARKER:
        wrong = whats_wrong(path.parent)
        return Checked(path, _num_files(path), (wrong,) if wrong else ())
    found = damage_by_marker(path, read_all=True, may_lack=WEIGHTS if _is_without_weights(path.parent) else ())
    return Checked(path, _num_files(path), tuple(found))


def _num_files(marker: Path) -> int:
    try:
        return len(read_json_object(marker, advice="").get(FILES) or ())
    except (InputError, TypeError):
        return 0


def _is_without_weights(folder: Path) -> bool:
    """Whether a folder is one of a tuned or timed model in a study that does not keep their weights."""
    place = folder.resolve()
    study = next((parent for parent in place.parents if (parent / STUDY_FILE).is_file()), None)
    if study is None:
        return False
    is_timed = place.relative_to(study).parts[0] == "speed"
    try:
        return is_timed or ((folder / RESULT).is_file() and not read_study(study).keep_models)
    except InputError:
        return True


def _unfinished_below(folder: Path) -> Iterator[Path]:
    for path in [folder, *sorted(folder.rglob("*"))]:
        if not path.is_dir():
            continue
        is_checkpoint = path.name.startswith("checkpoint-") and not (path / MARKER).exists()
        if is_checkpoint or ((path / CONFIG).is_file() and (path / RECORD).is_file() and not (path / DONE).exists()):
            yield path
