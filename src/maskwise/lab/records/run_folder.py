"""What a run folder holds, and in which order it gets it.

`config.toml` and `record.json` before the first step, `metrics.jsonl` and `checkpoint-*` along the way, then the model,
its card, the finished record, and `done.json` last: a folder without it is an unfinished run.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskwise.errors import InputError
from maskwise.files.atomic import atomic_write
from maskwise.files.checkpoint_folders import complete_checkpoints, delete_incomplete, newest_undamaged, step_of
from maskwise.files.checksums import record_files
from maskwise.files.disk_full import is_disk_full
from maskwise.lab.config import PretrainSettings, check_settings, merge, to_toml
from maskwise.lab.records.attempts import ATTEMPTS
from maskwise.lab.records.record import RECORD, RunRecord, read_record, write_record
from maskwise.lab.records.strict_json import to_json
from maskwise.recipes import read_toml
from maskwise.training.finite import bad_weights

CONFIG, METRICS, DONE, CARD = "config.toml", "metrics.jsonl", "done.json", "README.md"
_NOT_KEPT = re.compile(r"checkpoint-\d+$|scores-\d+\.f32$|runs$|\..*|.*\.tmp$")  # may be deleted, or grows


def open_run(
    out: Path, settings: PretrainSettings, record: RunRecord, *, resume: bool, say: Callable[[str], None] = print
) -> Path | None:
    """Makes or reopens a run folder; returns the checkpoint to resume from, or None for a start from scratch.

    Args:
        out: The run folder.
        settings: The run's settings, complete.
        record: What is known of the run before its first step; `content` is what a resumed run has to find again.
        resume: Whether a run that is there is resumed.
        say: Is told of each damaged checkpoint that is passed over.

    Raises:
        InputError: `out` holds something and `resume` is off; the run is finished; it was started with other settings,
            or on other data, with another tokenizer, teacher, checkpoint or score.
    """
    if (out / DONE).exists():
        raise InputError(f"The run in {out} is finished. Choose another --out, or delete the folder to run it again.")
    if out.exists() and any(path.name != ATTEMPTS for path in out.iterdir()) and not resume:
        hint = "Add --resume to resume it" if (out / CONFIG).exists() else "It is not a run"
        raise InputError(f"{out} is not empty. {hint}, or choose another --out.")
    if (out / CONFIG).exists():
        _check_same(out, settings)
        check_same_content(out, record)
        delete_incomplete(out)
    checkpoint = newest_undamaged(out, say, bad_weights)
    delete_incomplete(out)
    with kept_when_full(out):
        out.mkdir(parents=True, exist_ok=True)
        atomic_write(out / CONFIG, to_toml(settings))
        write_record(out, record)
        cut_metrics(out / METRICS, step_of(checkpoint) if checkpoint else -1)
    return checkpoint


def record_run(out: Path) -> dict[str, dict[str, Any]]:
    """Returns the sizes and checksums of what a finished run leaves, but for its card, which people may edit."""
    passed_over = (DONE, CARD, ATTEMPTS)
    names = (path.name for path in out.iterdir() if path.name not in passed_over and not _NOT_KEPT.match(path.name))
    return record_files(out, names)


@contextmanager
def kept_when_full(out: Path) -> Iterator[None]:
    """Turns a full disk into an InputError; what was whole in the run folder stays, and the rest is deleted."""
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        delete_incomplete(out)
        if out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        whole = [path.name for path in complete_checkpoints(out)]
        kept = f"{whole[-1]} is whole" if whole else "There was no checkpoint yet"
        raise InputError(
            f"The disk is full: it has no room for the run in {out}. {kept}.\n"
            "Free some space and run the same command with --resume."
        ) from error


def stored_settings(out: Path) -> PretrainSettings:
    """Returns the settings a run was started with; raises InputError if `out` is not a run folder."""
    if not (out / CONFIG).exists():
        raise InputError(f"{out} holds no run to resume: there is no {CONFIG}.")
    return check_settings(read_toml(out / CONFIG))


def check_same_content(out: Path, record: RunRecord) -> None:
    """Raises InputError if the run in `out` was begun on other content than `record` names."""
    if not (out / RECORD).exists():
        return
    before, now = read_record(out).content, record.content
    changed = [name for name in before if name in now and before[name] != now[name]]
    if changed:
        raise InputError(
            f"The run in {out} was started with another {changed[0]}: the content has changed since, whatever its path "
            f"(found {now[changed[0]][:16]}, expected {before[changed[0]][:16]}). Put it back, or choose another --out."
        )


class Metrics:
    """Appends one JSON line per record to `metrics.jsonl`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._started_at = time.monotonic()

    def write(self, step: int, record: dict[str, Any]) -> None:
        """Appends `record` with its step and the seconds since this process began."""
        line = {"step": step, "seconds": round(time.monotonic() - self._started_at, 3), **record}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(to_json(line, indent=None))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Returns the records of a `metrics.jsonl`; a last line cut off by a kill is passed over.

    Raises:
        InputError: Any other line is damaged.
    """
    records: list[dict[str, Any]] = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Restore it, or delete the run's folder.") from None
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
        elif line.endswith("\n"):
            raise InputError(
                f"{path}, line {number} is damaged: found {line.strip()[:60]!r}. A resumed run would lose what it "
                "says. Restore the file, or delete the run's folder and run it again."
            )
    return records


def cut_metrics(path: Path, last_step: int) -> None:
    """Drops the records after `last_step`: a resumed run writes them again."""
    if path.exists():
        kept = [record for record in read_metrics(path) if record["step"] <= last_step]
        atomic_write(path, "".join(to_json(record, indent=None) for record in kept))


def _check_same(out: Path, settings: PretrainSettings) -> None:
    before, now = (s.model_dump(mode="json", exclude_none=True) for s in (stored_settings(out), settings))
    changed = sorted(_flat(before).items() ^ _flat(now).items())
    if changed:
        keys = ", ".join(dict.fromkeys(key for key, _ in changed))
        raise InputError(
            f"The run in {out} was started with other settings ({keys}). Resume it with those, or choose another --out."
        )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in merge({}, tree).items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": json.dumps(value)}
    return flat
