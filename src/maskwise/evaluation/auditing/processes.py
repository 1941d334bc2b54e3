"""Runs a collator as new processes would: each begins with the collator as it was, and with a random state of its own.

Where processes can be forked, every run is in a forked process: closures, module globals and generators are then as
they were, whatever the collator is made of. Elsewhere a run gets a deep copy, which a plain function shares.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import multiprocessing
import os
import pickle
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import torch

from maskwise.errors import first_line

Result = TypeVar("Result")
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Failure:
    """Why a run has no result. `is_fault`: the collator raised something that it does not raise in this process."""

    reason: str
    is_fault: bool = False


class Processes:
    """Runs tasks on a collator that nobody has used yet."""

    can_fork = sys.platform.startswith("linux")

    def __init__(self, collator: Any, *, tokenizer: Any = None) -> None:
        self._tokenizer = tokenizer
        self.collator = self._copy(collator)

    def run(self, task: Callable[[Any], Result], seed: int, rank: int | None = None) -> Result | Failure:
        """Returns what `task(collator)` returns in a process of its own, or why there is no result.

        With a `rank` the process is one of two: it is told so by its environment, and by `torch.distributed`.
        """
        if self.can_fork:
            return _run_forked(task, self.collator, seed, rank)
        with random_state_of_its_own(seed), _one_of_two(rank):
            try:
                return task(self._copy(self.collator))
            except Exception as error:
                return Failure(f"{type(error).__name__}: {first_line(error)}")

    def _copy(self, collator: Any) -> Any:
        """A copy that shares the tokenizer, which is slow to copy and does not change; itself if it has none."""
        try:
            return copy.deepcopy(collator, {id(self._tokenizer): self._tokenizer})
        except Exception:
            return collator


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch on the CPU, as a training script does at its start."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


def get_random_state() -> tuple[Any, ...]:
    """Returns the random states of Python, NumPy and torch on the CPU, as a checkpoint keeps them."""
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def set_random_state(state: tuple[Any, ...]) -> None:
    """Restores what `get_random_state` returned."""
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])


@contextlib.contextmanager
def random_state_of_its_own(seed: int) -> Iterator[None]:
    """A block that begins with seeded random states, and leaves those outside as they were."""
    before = get_random_state()
    seed_everything(seed)
    try:
        yield
    finally:
        set_random_state(before)


def _run_forked(task: Callable[[Any], Result], collator: Any, seed: int, rank: int | None) -> Result | Failure:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(task, collator, seed, rank, sender), daemon=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on forking with threads, as loaders do
        process.start()
    sender.close()
    try:
        if not receiver.poll(PATIENCE_SECONDS):
            return Failure(f"no answer within {PATIENCE_SECONDS:.0f} s")
        return pickle.loads(receiver.recv_bytes())
    except EOFError:
        process.join()
        return Failure(f"its process ended with exit code {process.exitcode}")
    finally:
        if process.is_alive():
            process.join(timeout=5)
            process.kill()
        receiver.close()


def _answer(task: Callable[[Any], Any], collator: Any, seed: int, rank: int | None, sender: Any) -> None:
    gc.freeze()  # what the parent has not collected yet is the parent's: loaders object if a child does it
    # What a trainer starts is a main process, and collators ask for the name.
    multiprocessing.current_process().name = "MainProcess"
    torch.set_num_threads(1)  # OpenMP's threads are not forked, and a forked process that waits for them hangs
    try:
        seed_everything(seed)
        with _one_of_two(rank):
            answer = pickle.dumps(task(collator))  # not the pipe's own pickler: that hands tensors over by a server
    except Exception as error:
        answer = pickle.dumps(Failure(f"{type(error).__name__}: {first_line(error)}"))
    sender.send_bytes(answer)
    sender.close()


@contextlib.contextmanager
def _one_of_two(rank: int | None) -> Iterator[None]:
    """A block in which whoever asks for the rank is told it, as one of two."""
    if rank is None:
        yield
        return
    told = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    answers = {"is_initialized": lambda: True, "get_rank": lambda *_: rank, "get_world_size": lambda *_: 2}
    with mock.patch.dict(os.environ, told), mock.patch.multiple(torch.distributed, create=True, **answers):
        yield
