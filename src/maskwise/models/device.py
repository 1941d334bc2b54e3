"""Where a model runs when no trainer says so."""

from __future__ import annotations

import torch


def nth_device(index: int = 0) -> torch.device:
    """Returns the GPUs in turn, or the processor where there is none."""
    return torch.device("cuda", index % torch.cuda.device_count()) if torch.cuda.is_available() else torch.device("cpu")
