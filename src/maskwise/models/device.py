"""Which device a model runs on."""

from __future__ import annotations

from typing import Any

import torch


def nth_device(index: int = 0) -> torch.device:
    """Returns the GPUs in turn, or the processor where there is none."""
    return torch.device("cuda", index % torch.cuda.device_count()) if torch.cuda.is_available() else torch.device("cpu")


def on_one_device(args: Any) -> Any:
    """Returns training arguments that keep to one GPU: of several the Trainer takes all, and multiplies the batch."""
    args._n_gpu = min(args.n_gpu, 1)
    return args
