"""What the losses of a run depend on, in a form that a checkpoint keeps and a resume compares.

Data and weights are told by a sample of their content, which costs milliseconds at any size: another corpus or another
teacher differs nearly everywhere. (`maskwise.lab` knows the whole content of its data folders besides.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from maskwise.errors import InputError
from maskwise.masking.masker import Masker
from maskwise.training.options import loss_options

if TYPE_CHECKING:
    from transformers import TrainingArguments

SAMPLED_ROWS = 256
PROGRESS = (0.0, 0.25, 0.5, 0.75, 1.0)


def options_identity(args: TrainingArguments) -> dict[str, str]:
    """Returns the training arguments that losses depend on, and the number of processes."""
    return {"number of processes": str(args.world_size)} | {
        name: _text(value) for name, value in loss_options(args).items()
    }


def masker_identity(masker: Masker) -> dict[str, str]:
    """Returns what a masker does; a rate by its values over the run, a score by its fingerprint."""
    told_below = ("score", "tokenizer", "vocabulary", "rate", "corruption", "unit", "unit_rule")
    settings = {
        name: _name_of(value)
        for name, value in sorted(vars(masker).items())
        if not name.startswith("_") and name not in told_below
    }
    rates: list[Any] = [round(masker.rate_at(progress), 9) for progress in PROGRESS]
    rates.append(_digest([round(masker.rate_at(place / 1000), 9) for place in range(1001)]))  # steps may lie between
    unit = [masker.unit_rule.fingerprint(), masker.unit_rule.max_word_pieces]
    vocabulary = sorted(masker.tokenizer.get_vocab().items(), key=lambda item: item[1])
    return {
        "masker": _text(settings | {"corruption": tuple(masker.corruption), "rate": rates, "unit": unit}),
        "score": masker.score.fingerprint(),
        "tokenizer": f"{len(vocabulary):,} tokens, {_digest(vocabulary)}",
    }


def model_identity(model: nn.Module) -> str:
    """Returns the names and shapes of a model's parameters as a hash, with their number."""
    shapes = [(name, tuple(parameter.shape)) for name, parameter in model.named_parameters()]
    return f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters, {_digest(shapes)}"


def rows_identity(rows: Any) -> str:
    """Returns the number of rows of a data set and a hash of 256 of them, evenly spaced.

    >>> rows_identity([{"input_ids": [5, 6]}]) == rows_identity([{"input_ids": [5, 7]}])
    False
    """
    if not (hasattr(rows, "__len__") and hasattr(rows, "__getitem__")):
        return "a stream"
    numbers = np.unique(np.linspace(0, len(rows) - 1, min(SAMPLED_ROWS, len(rows))).round().astype(np.int64))
    return f"{len(rows):,} rows, {_digest([_plain(rows[int(number)]) for number in numbers])}"


def check_same_run(before: Mapping[str, str], now: Mapping[str, str], checkpoint: Any) -> None:
    """Raises InputError if a checkpoint is of a run with other data, another model, or other settings."""
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        lines = [f"{name}: {before.get(name, 'none')}, now {now.get(name, 'none')}" for name in changed[:5]]
        more = f"\n... and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise InputError(
            f"{checkpoint} is of another run, and resuming it here would change its losses:\n"
            + "\n".join(lines)
            + f"{more}\nResume with what the run was started with; or start a new run, from the weights in it."
        )


def _name_of(value: Any) -> Any:
    """Returns a plain value as it is, a collection of them as a list, and of an object the name and the fields."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _name_of(part) for key, part in value.items()}
    if isinstance(value, Iterable):
        parts = [_name_of(part) for part in value]
        return sorted(parts, key=str) if isinstance(value, set | frozenset) else parts
    name = getattr(value, "__qualname__", type(value).__qualname__)
    fields = vars(value) if hasattr(value, "__dict__") and not callable(value) else {}
    return [name, {key: _name_of(part) for key, part in fields.items() if not key.startswith("_")}]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()[:16]


def _plain(row: Any) -> Any:
    """Returns a row as lists and numbers, whatever it is kept in."""
    if isinstance(row, Mapping):
        return {str(key): _plain(value) for key, value in sorted(row.items())}
    return row.tolist() if isinstance(row, np.ndarray | np.generic | torch.Tensor) else row
