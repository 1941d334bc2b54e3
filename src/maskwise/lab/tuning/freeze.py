"""Freezing: only what a checkpoint does not bring is trained."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from maskwise.errors import InputError


def freeze_all_but(model: nn.Module, new: Iterable[str]) -> list[str]:
    """Freezes every parameter but the newly initialised ones, and returns the names of those.

    `new` are the missing keys that `from_pretrained(..., output_loading_info=True)` reports: the classifier, and the
    pooler, which a masked-LM checkpoint lacks. Raises InputError if nothing is new.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    >>> freeze_all_but(model, ["1.weight", "1.bias"])
    ['1.weight', '1.bias']
    """
    new = set(new)
    trained = [name for name, _ in model.named_parameters() if name in new]
    if not trained:
        raise InputError(
            "--freeze trains what is newly initialised, and the checkpoint has every weight already: "
            "give one from before fine-tuning."
        )
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in new)
    return trained
