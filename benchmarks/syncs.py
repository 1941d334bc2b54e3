"""Where the host waits for the GPU within a step: until it goes on, no further kernels are queued.

torch raises at the first operation that waits, so what waits behind it shows once that one is gone. Its documentation
says that not all are found. `python benchmarks/step.py --check-syncs` runs it.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

WARM_UPS, STEPS = 3, 3  # the first steps compile, and look at the model once
WAITS = "synchronizing"  # in torch's message
TORCH = str(Path(torch.__file__).parent) + os.sep


def report(steps: Mapping[str, Callable[[], object]]) -> bool:
    """Prints for each step, by name, the first line that waits for the GPU; returns True where there is none."""
    waits = False
    for name, step in steps.items():
        for _ in range(WARM_UPS):
            step()
        line = first_wait(step)
        print(f"{name:12} {line or 'waits nowhere'}", flush=True)
        waits = waits or line is not None
    return not waits


def first_wait(step: Callable[[], object]) -> str | None:
    """Returns the first line at which one of some steps waits for the GPU, or None."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(STEPS):
            step()
    except RuntimeError as error:
        if WAITS not in str(error):
            raise
        return last_line(error)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return None


def last_line(error: BaseException) -> str:
    """Returns the innermost line outside torch that an error passed through: file, number, function, text."""
    frames = traceback.extract_tb(error.__traceback__)
    line = [frame for frame in frames if not frame.filename.startswith(TORCH)][-1]
    return f"{Path(line.filename).name}:{line.lineno} in {line.name}: {line.line}"
