"""Jobs in processes of this machine, several at a time, each with its share of the cores and a GPU of its own.

A process ends when the one that started it does: it reads a pipe from it, whose end it sees, however that came. So no
job of a killed study writes on in the folders of a resumed one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from maskwise.errors import InputError
from maskwise.lab.jobs.executor import WORKER, State
from maskwise.lab.jobs.job import JobSpec

END_WITH_PARENT = "--end-with-parent"
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    gpus: list[str] = field(default_factory=list)


class LocalExecutor:
    """Runs up to `jobs` jobs at a time; those that ask for a GPU wait until one is free, if the machine has any.

    The processor's threads are split among the jobs, unless OMP_NUM_THREADS says otherwise.

    Args:
        jobs: How many may run at a time.
        num_gpus: How many GPUs the jobs share; default: those that torch sees, within CUDA_VISIBLE_DEVICES if it is
            set.
        inherit: Open files that the processes hold too, such as a lock's. POSIX only; elsewhere they are not passed.

    Raises:
        InputError: If `jobs` is below 1.

    Example:
        ```python
        from maskwise.lab import LocalExecutor, load_study, run_study

        run_study(load_study("study.toml"), "out", executor=LocalExecutor(jobs=4, num_gpus=2))
        ```
    """

    in_this_process = False

    def __init__(self, jobs: int = 1, *, num_gpus: int | None = None, inherit: Sequence[int] = ()) -> None:
        if jobs < 1:
            raise InputError(f"--jobs is {jobs}; give at least 1.")
        self.jobs, self.inherit = jobs, tuple(inherit)
        self._free_gpus = visible_gpus(_count_gpus() if num_gpus is None else num_gpus)
        self._has_gpus = bool(self._free_gpus)
        self._waiting: dict[str, JobSpec] = {}
        self._running: dict[str, _Running] = {}
        self._ended: set[str] = set()

    def submit(self, job: JobSpec, attempt: int) -> str:
        """Starts the job's process, or lets it wait for a GPU."""
        name = f"{job.key}/{attempt}"
        if name not in self._waiting and name not in self._running and name not in self._ended:
            self._waiting[name] = job
            self._start_waiting()
        return name

    def states(self, ids: Sequence[str]) -> dict[str, State]:
        """Returns the states; jobs that waited for a GPU which is free by now are started."""
        for name, running in list(self._running.items()):
            if running.process.poll() is not None:
                self._let_go(name)
        self._start_waiting()
        return {
            name: "pending" if name in self._waiting else "running" if name in self._running else "gone" for name in ids
        }

    def cancel(self, ids: Sequence[str], grace_s: float) -> None:
        """Terminates the processes, and kills those that have not ended after `grace_s` seconds."""
        for name in ids:
            self._waiting.pop(name, None)
        chosen = {name: self._running[name].process for name in ids if name in self._running}
        if grace_s > 0:
            for process in chosen.values():
                process.terminate()
        give_up_at = time.monotonic() + grace_s
        for name, process in chosen.items():
            try:
                process.wait(max(0.0, give_up_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._let_go(name)

    def capacity(self) -> int:
        """Returns how many jobs run at a time."""
        return self.jobs

    def _start_waiting(self) -> None:
        for name, job in list(self._waiting.items()):
            asked = job.requirements.gpus if self._has_gpus else 0
            if asked <= len(self._free_gpus) and len(self._running) < self.jobs:
                gpus = [self._free_gpus.pop(0) for _ in range(asked)]
                del self._waiting[name]
                self._running[name] = _Running(self._start(job, gpus), gpus)

    def _start(self, job: JobSpec, gpus: Sequence[str]) -> subprocess.Popen[bytes]:
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // self.jobs))
        environment = os.environ | {"OMP_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"}
        if self._has_gpus:
            environment[VISIBLE] = ",".join(gpus)
        inherit = self.inherit if os.name == "posix" else ()  # elsewhere no file can be passed on by its number
        with job.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", WORKER, str(job.settings), END_WITH_PARENT],
                stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, pass_fds=inherit,
            )  # fmt: skip

    def _let_go(self, name: str) -> None:
        running = self._running.pop(name)
        if running.process.stdin is not None:
            running.process.stdin.close()
        self._free_gpus += running.gpus
        self._ended.add(name)


def visible_gpus(number: int) -> list[str]:
    """Returns the names of so many GPUs, as CUDA_VISIBLE_DEVICES has them if it is set."""
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return (named or [str(i) for i in range(number)])[:number]


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count()
