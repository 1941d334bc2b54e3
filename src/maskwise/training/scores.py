"""How much each token is worth masking: the scores that come with the package.

Shapes: B sequences, T positions. A score is any callable `score(batch) -> [B, T]`; nothing is registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def uniform(batch: Mapping[str, Any]) -> Tensor:
    """Returns 1 for every token: random masking."""
    return torch.ones(batch["input_ids"].shape, device=batch["input_ids"].device)
