"""maskwise: choose which tokens to mask when a masked language model is trained, and measure whether it helped.

The public names, each imported when first used: `import maskwise` costs nothing, and what needs no transformers loads
none.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskwise.config import load_recipe
    from maskwise.masking.corrupt import corrupt
    from maskwise.masking.entropy import token_entropy
    from maskwise.masking.losses import distillation_loss, mlm_loss
    from maskwise.masking.pick import pick
    from maskwise.training.collator import MaskingCollator
    from maskwise.training.exam import freeze_exam
    from maskwise.training.masker import Masker
    from maskwise.training.pretrain import pretrain
    from maskwise.training.scores import Entropy, Surprisal, uniform
    from maskwise.training.stored import Stored
    from maskwise.training.trainer import MaskingTrainer
    from maskwise.training.typhoon import Typhoon
    from maskwise.tuning.finetune import finetune

__all__ = [
    "Entropy",
    "Masker",
    "MaskingCollator",
    "MaskingTrainer",
    "Stored",
    "Surprisal",
    "Typhoon",
    "corrupt",
    "distillation_loss",
    "finetune",
    "freeze_exam",
    "load_recipe",
    "mlm_loss",
    "pick",
    "pretrain",
    "token_entropy",
    "uniform",
]

_MODULES = {
    "Entropy": "training.scores",
    "Masker": "training.masker",
    "MaskingCollator": "training.collator",
    "MaskingTrainer": "training.trainer",
    "Stored": "training.stored",
    "Surprisal": "training.scores",
    "Typhoon": "training.typhoon",
    "corrupt": "masking.corrupt",
    "distillation_loss": "masking.losses",
    "finetune": "tuning.finetune",
    "freeze_exam": "training.exam",
    "load_recipe": "config",
    "mlm_loss": "masking.losses",
    "pick": "masking.pick",
    "pretrain": "training.pretrain",
    "token_entropy": "masking.entropy",
    "uniform": "training.scores",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'maskwise' has no attribute {name!r}")
    return getattr(importlib.import_module(f"maskwise.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
