"""The named tensors of a checkpoint, read from its files one at a time; no model is built."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskwise.errors import InputError, first_line
from maskwise.files.checkpoint_names import checkpoint_source
from maskwise.models.loading import load_config

SAFE, SAFE_INDEX, PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
OLD_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}  # TensorFlow's, in the first BERT checkpoints


class StoredTensor:
    """A tensor in a file: its shape is known, its values are read when asked for."""

    def __init__(self, shape: tuple[int, ...], dtype: str, read: Callable[[], Tensor]) -> None:
        self.shape, self.dtype, self.read = shape, dtype, read


class Weights:
    """A checkpoint's floating-point tensors by name: `tensors[name].read()`.

    A name is that of the encoder alone, without the prefix it has under a head (`bert.`, `model.`), so that models with
    different heads can be compared; `heads` are the names outside the encoder.
    """

    def __init__(self, checkpoint: str, stored: Mapping[str, StoredTensor], config: Any) -> None:
        from transformers.models.auto.modeling_auto import MODEL_MAPPING

        self.checkpoint = checkpoint
        self.num_attention_heads = getattr(config, "num_attention_heads", 1)
        model_class: Any = MODEL_MAPPING[type(config)]
        prefix = f"{model_class.base_model_prefix}."
        has_prefix = any(name.startswith(prefix) for name in stored)
        names = {name: _with_new_ending(name).removeprefix(prefix) for name in stored if _is_weight(name, stored[name])}
        self.tensors = {short: stored[name] for name, short in names.items()}
        outside = {short for name, short in names.items() if has_prefix and not name.startswith(prefix)}
        self.heads = frozenset(short for short in outside if not short.startswith("pooler."))


def open_weights(checkpoint: str) -> Weights:
    """Returns the weights of a run folder, a checkpoint, or a hub name.

    Raises InputError if there are none, or where they do not load.
    """
    from safetensors import SafetensorError

    source = checkpoint_source(checkpoint)
    try:
        stored = _open_safe(source, SAFE) or _open_shards(source) or _open_pickled(source)
        config = load_config(checkpoint) if stored else None
        if config:
            return Weights(checkpoint, stored, config)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"The checkpoint {checkpoint!r} does not load: {first_line(error)}") from None
    raise InputError(
        f"{checkpoint!r} is not a checkpoint: it has no {SAFE}.\n"
        "Give a finished run folder, a checkpoint, or a hub name."
    )


def _open_safe(checkpoint: str, file: str) -> dict[str, StoredTensor]:
    from safetensors import safe_open

    path = _find(checkpoint, file)
    if path is None:
        return {}
    handle = safe_open(path, framework="pt")
    slices = {name: handle.get_slice(name) for name in handle.keys()}  # noqa: SIM118 (a handle is not a mapping)
    return {
        name: StoredTensor(tuple(s.get_shape()), s.get_dtype(), lambda name=name: handle.get_tensor(name))
        for name, s in slices.items()
    }


def _open_shards(checkpoint: str) -> dict[str, StoredTensor]:
    index = _find(checkpoint, SAFE_INDEX)
    if index is None:
        return {}
    files = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    return {name: stored for file in files for name, stored in _open_safe(checkpoint, file).items()}


def _open_pickled(checkpoint: str) -> dict[str, StoredTensor]:
    path = _find(checkpoint, PICKLED)
    if path is None:
        return {}
    state = torch.load(path, mmap=True, weights_only=True, map_location="cpu")
    return {
        name: StoredTensor(tuple(x.shape), "F" if x.is_floating_point() else "I", lambda x=x: x)
        for name, x in state.items()
    }


def _is_weight(name: str, stored: StoredTensor) -> bool:
    """Position numbers and the frequencies of rotary embeddings are constants that some models store."""
    return "F" in stored.dtype and not name.endswith("inv_freq")


def _with_new_ending(name: str) -> str:
    old = next((old for old in OLD_ENDINGS if name.endswith(old)), None)
    return name.removesuffix(old) + OLD_ENDINGS[old] if old else name


def _find(checkpoint: str, file: str) -> Path | None:
    if Path(checkpoint).exists():
        path = Path(checkpoint) / file
        return path if path.exists() else None
    from transformers.utils.hub import cached_file

    found = cached_file(checkpoint, file, _raise_exceptions_for_missing_entries=False)
    return Path(found) if found else None
