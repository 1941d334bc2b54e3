"""The versions and the machine that a run had."""

from __future__ import annotations

import platform
from importlib import metadata

from maskwise.lab.records.record import Environment

PACKAGES = ("maskwise", "torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy")


def environment(precision: str = "") -> Environment:
    """Returns the versions and the machine that decide whether a run can be repeated bit by bit.

    Args:
        precision: What matrices are multiplied in: "fp32", "bf16" or "fp16"; empty if nothing is.
    """
    import torch

    return Environment(
        versions={name: metadata.version(name) for name in PACKAGES},
        python=platform.python_version(),
        machine=platform.machine(),
        system=platform.system(),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        threads=torch.get_num_threads(),
        precision=precision,
    )
