"""The annotation job: a frozen teacher's score of every training token, computed once and written next to the tokens.

Shapes: B sequences, T positions, X tokens of a chunk's rows one after another.

The folder `DATA/scores/<statistic>-<teacher>` holds

    values.f32      one float32 a token in row order, 0 at special tokens
    offsets.npy     where each row begins in it
    done            one byte a chunk of rows, 1 after the chunk's values are on the disk
    lock            held by the process that writes
    attempts        a file for each attempt
    record.json     what it was and what it cost
    manifest.json   written last, with checksums: without it the folder is unfinished and nobody reads it
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwise.errors import InputError, nearest
from maskwise.files.atomic import atomic_write
from maskwise.files.checksums import record_files
from maskwise.files.disk_full import disk_full_as_input_error
from maskwise.files.path_names import path_text
from maskwise.lab.jobs.claims import locked
from maskwise.lab.pretraining.scores_record import write_scores_record
from maskwise.lab.pretraining.stored_scores import data_identity, scores_folder
from maskwise.lab.records.attempts import ATTEMPTS
from maskwise.lab.records.content import weights_hash
from maskwise.lab.records.recorder import Recorder
from maskwise.lab.tokens.blocks import MANIFEST, DataFolder, open_data
from maskwise.lab.tokens.content import data_hash
from maskwise.lab.tokens.parallel import available_workers
from maskwise.masking.masker import Masker
from maskwise.masking.padding import pad_batch
from maskwise.models.device import nth_device
from maskwise.models.loading import check_positions, check_same_tokenizer, load_checkpoint
from maskwise.progress import Progress, hide_library_bars, silent_if_not_shown
from maskwise.scores.model import MODEL_SCORES
from maskwise.scores.score_file import ScoreFile, row_offsets
from maskwise.scores.stored import OFFSETS, VALUES

CHUNK_ROWS = 512
_PLAN, _DONE, _LOCK = "plan.json", "done", "lock"


@silent_if_not_shown
def annotate(
    data: str | PathLike[str],
    teacher: str | PathLike[str],
    *,
    statistic: str = "entropy",
    batch_size: int = 32,
    jobs: int = 1,
    show: bool = True,
    recorder: Recorder | None = None,
) -> Path:
    """Stores a teacher's entropy or surprisal (nats, fp32) of every training token next to the tokens; see `Stored`.

    A killed run resumes with the chunks of rows that are not done, to the same bytes. Finished scores are left as they
    are.

    Args:
        data: A data folder made by `prepare`, or what it returned.
        teacher: A run folder, a checkpoint or a hub name: the frozen model that scores. It shares the tokenizer.
        statistic: "entropy" or "surprisal".
        batch_size: Rows that are scored at a time.
        jobs: Processes; more than 1 are spawned (a script that calls this needs the usual
            `if __name__ == "__main__":`), on the GPUs in turn if there are any.
        show: Whether to show progress.
        recorder: What keeps the job's attempts and its place in a study, if it has one.

    Returns:
        The folder with the scores, for `Stored(folder)`.

    Raises:
        InputError: The teacher has no masked-LM head or another vocabulary, logits are not finite (the message names
            the block), the disk is full, or another annotate is writing the same scores.

    Example:
        ```python
        from maskwise import Stored
        from maskwise.lab import annotate

        score = Stored(annotate("data", "teacher"))
        ```
    """
    data_folder, teacher_name = path_text(data, "data folder"), path_text(teacher, "teacher")
    return _annotate(data_folder, teacher_name, statistic, batch_size, jobs, show, recorder or Recorder())


def _annotate(
    data_folder: str, teacher_name: str, statistic: str, batch_size: int, jobs: int, show: bool, recorder: Recorder
) -> Path:
    if statistic not in MODEL_SCORES:
        raise InputError(
            f"No score {statistic!r} to store; there are {', '.join(MODEL_SCORES)}.{nearest(statistic, MODEL_SCORES)}"
        )
    if jobs < 1 or batch_size < 1:
        raise InputError(f"annotate needs at least one job and one row a batch; found {jobs} and {batch_size}.")
    data = open_data(data_folder)
    check_same_tokenizer(teacher_name, data.tokenizer, data.path)
    teacher = load_checkpoint(teacher_name, data.tokenizer)
    check_positions(teacher_name, teacher, data.manifest["block"], data.path)
    folder = scores_folder(data, teacher_name, statistic)
    if (folder / MANIFEST).exists():
        return folder
    data_hash(data)  # reads all of it: a damaged block would be scored as it is
    busy = f"Another annotate is writing {folder} now. Wait for it, or stop it and resume it here."
    with locked(folder / _LOCK, busy), recorder.attempt_in(folder / ATTEMPTS):
        manifest = _manifest(data, teacher_name, statistic)
        chunks = Chunks(folder, row_offsets(data.train))
        chunks.open(manifest)
        scoring = Scoring(data.path, teacher_name, statistic, batch_size)
        _score_all(chunks, scoring, teacher, jobs, show)
        write_scores_record(folder, manifest, data, recorder)
        written = manifest | {"files": record_files(folder, [VALUES, OFFSETS])}
        with disk_full_as_input_error(folder / MANIFEST):
            atomic_write(folder / MANIFEST, json.dumps(written, indent=2) + "\n")
        (folder / _PLAN).unlink()
    return folder


class Chunks:
    """The rows in chunks of `CHUNK_ROWS`: which are done, and where their values go."""

    def __init__(self, folder: Path, offsets: np.ndarray) -> None:
        self.folder, self.file = folder, ScoreFile(folder / VALUES, offsets)
        self.count = -(-(len(offsets) - 1) // CHUNK_ROWS)

    def open(self, plan: dict[str, Any]) -> None:
        """Makes the files, or takes up those of an earlier run with the same plan."""
        if _without_name(self._plan()) != _without_name(plan):
            (self.folder / _DONE).unlink(missing_ok=True)
            with disk_full_as_input_error(self.folder / _PLAN):
                atomic_write(self.folder / _PLAN, json.dumps(plan, indent=2) + "\n")
        self.file.reserve()
        with disk_full_as_input_error(self.folder / OFFSETS):
            np.save(self.folder / OFFSETS, self.file.offsets)
        with disk_full_as_input_error(self.folder / _DONE), (self.folder / _DONE).open("ab") as done:
            done.truncate(self.count)

    def _plan(self) -> dict[str, Any]:
        return json.loads((self.folder / _PLAN).read_text()) if (self.folder / _PLAN).exists() else {}

    def rows(self, chunk: int) -> range:
        """Returns the row numbers of a chunk."""
        return range(chunk * CHUNK_ROWS, min((chunk + 1) * CHUNK_ROWS, len(self.file.offsets) - 1))

    def num_tokens(self, chunk: int) -> int:
        """Returns how many tokens the rows of a chunk have."""
        rows = self.rows(chunk)
        return int(self.file.offsets[rows.stop] - self.file.offsets[rows.start])

    def to_do(self) -> list[int]:
        """Returns the chunks that are not done."""
        return [chunk for chunk, is_done in enumerate((self.folder / _DONE).read_bytes()) if not is_done]

    def finish(self, chunk: int, values_X: np.ndarray) -> None:
        """Writes a chunk's values, then its mark."""
        self.file.write(self.rows(chunk).start, values_X)
        self.file.sync()
        with (self.folder / _DONE).open("r+b") as done:
            done.seek(chunk)
            done.write(b"\x01")


@dataclass(frozen=True)
class Scoring:
    """What a process needs to know to score rows by itself."""

    data: Path
    teacher: str
    statistic: str
    batch_size: int


class Scorer:
    """A loaded teacher that scores chunks of a data folder's training rows."""

    def __init__(self, scoring: Scoring, chunks: Chunks, data: DataFolder, teacher: Any, device: torch.device) -> None:
        self.scoring, self.chunks, self.device = scoring, chunks, device
        self.train = data.train
        self.masker = Masker(MODEL_SCORES[scoring.statistic](teacher.to(device)), data.tokenizer)

    def finish(self, chunk: int) -> int:
        """Scores and writes a chunk; returns its number of tokens. Rows of like length go together, to pad little."""
        rows, offsets = self.chunks.rows(chunk), self.chunks.file.offsets
        begin = offsets[rows.start]
        values_X = np.zeros(self.chunks.num_tokens(chunk), np.float32)
        by_length = rows.start + np.argsort(np.diff(offsets[rows.start : rows.stop + 1]), kind="stable")
        for start in range(0, len(by_length), self.scoring.batch_size):
            numbers = by_length[start : start + self.scoring.batch_size].tolist()
            for number, values in zip(numbers, self._score(numbers), strict=True):
                values_X[offsets[number] - begin : offsets[number + 1] - begin] = values
        self.chunks.finish(chunk, values_X)
        return len(values_X)

    def _score(self, numbers: list[int]) -> Iterator[np.ndarray]:
        rows = [{**row, "example_id": i} for i, row in zip(numbers, self.train.__getitems__(numbers), strict=True)]
        batch = {
            key: value.to(self.device) for key, value in pad_batch(rows, self.masker.vocabulary.pad_token_id).items()
        }
        scores_BT = self.masker.score(self.masker.prepare(batch)).cpu()
        bad_B = ~scores_BT.isfinite().all(-1)
        if bad_B.any():
            raise InputError(
                f"The teacher {self.scoring.teacher!r} gives {self.scoring.statistic} that is not finite in block "
                f"{numbers[int(bad_B.nonzero()[0])]} of {self.scoring.data}. What was stored before is kept; look for "
                "NaN in the teacher's weights."
            )
        for row, scores_T in zip(rows, scores_BT.numpy(), strict=True):
            yield scores_T[: len(row["input_ids"])]


def _score_all(chunks: Chunks, scoring: Scoring, teacher: Any, jobs: int, show: bool) -> None:
    to_do = chunks.to_do()
    total = sum(map(chunks.num_tokens, to_do))
    with Progress("annotate", total, "tokens", show=show) as progress:
        for num_tokens in _finished(chunks, scoring, teacher, to_do, min(jobs, len(to_do))):
            progress.advance(num_tokens)


def _finished(chunks: Chunks, scoring: Scoring, teacher: Any, to_do: Sequence[int], jobs: int) -> Iterator[int]:
    """Yields the number of tokens of each chunk as it is finished; the processes load teachers of their own."""
    if jobs <= 1:
        scorer = Scorer(scoring, chunks, open_data(scoring.data), teacher, nth_device())
        yield from map(scorer.finish, to_do)
        return
    context = multiprocessing.get_context("spawn")
    number = context.Value("i", 0)
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(scoring, chunks, jobs, number))
    try:
        yield from (future.result() for future in as_completed([pool.submit(_finish_in_worker, c) for c in to_do]))
    except BrokenProcessPool:
        raise InputError(
            "A process of annotate died (out of memory?). Run it again with fewer --jobs; it resumes."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_worker: Scorer  # set once in each spawned process, by its initializer


def _start_worker(scoring: Scoring, chunks: Chunks, jobs: int, number: Any) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    hide_library_bars()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(max(available_workers() // jobs, 1))
    with number.get_lock():
        index, number.value = number.value, number.value + 1
    data = open_data(scoring.data)
    _worker = Scorer(scoring, chunks, data, load_checkpoint(scoring.teacher, data.tokenizer), nth_device(index))


def _finish_in_worker(chunk: int) -> int:
    return _worker.finish(chunk)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _without_name(plan: dict[str, Any]) -> dict[str, Any]:
    """The same teacher may be written as another path."""
    return {key: value for key, value in plan.items() if key != "teacher"}


def _manifest(data: DataFolder, teacher_name: str, statistic: str) -> dict[str, Any]:
    return {
        "version": metadata.version("maskwise"),
        "statistic": statistic,
        "dtype": "float32",
        "teacher": teacher_name,
        "teacher_sha256": weights_hash(teacher_name),
        **data_identity(data),
        "blocks": len(data.train),
        "chunk_rows": CHUNK_ROWS,
    }
