"""How much memory a piece of work takes at its height."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch

RESET_HIGH_WATER = "5"  # what Linux's /proc/self/clear_refs takes for it


class Peak:
    """Finds, as a context manager, by how many bytes its block raises the process's resident size, or the GPU's use.

    `bytes` is read from the kernel's own high-water mark, so nothing is sampled and nothing missed; memory that was
    freed before is given back first, or the block would reuse it unseen. Processes that the block starts are left out.
    None where the system does not tell.
    """

    bytes: int | None = None

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def __enter__(self) -> Peak:
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            self._before: int | None = torch.cuda.memory_allocated()
        else:
            self._before = _resident_after_reset()
        return self

    def __exit__(self, *error: object) -> None:
        if self.device == "cuda":
            self.bytes = torch.cuda.max_memory_allocated() - (self._before or 0)
        elif self._before is not None:
            self.bytes = _status("VmHWM") - self._before


def tensor_bytes(model: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Returns what weights, buffers and the optimizer's state take."""
    tensors = [*model.parameters(), *model.buffers()]
    states = optimizer.state.values() if optimizer is not None else ()
    tensors += [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
    return sum(tensor.nbytes for tensor in tensors)


def _resident_after_reset() -> int | None:
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text(RESET_HIGH_WATER)
    except (OSError, AttributeError):
        return None
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
