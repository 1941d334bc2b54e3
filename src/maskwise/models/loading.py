"""Checkpoints and their tokenizers, loaded, or refused with a clear error if they do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from maskwise.errors import InputError, first_line
from maskwise.files.checkpoint_names import checkpoint_source
from maskwise.files.marked_folders import check_folder
from maskwise.masking.vocabulary import load_tokenizer, num_token_ids
from maskwise.models.hf_logging import only_errors
from maskwise.models.model_limits import position_tables, vocabulary_size

CANNOT_LOAD = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)


def load_checkpoint(name: str, tokenizer: Any) -> Any:
    """Returns a checkpoint's masked language model in fp32.

    Raises InputError if it does not load, has no masked-LM head, or has fewer embeddings than `tokenizer` tokens.
    """
    model = load_masked_lm(name)
    check_size(name, model, tokenizer)
    return model


def load_masked_lm(name: str) -> Any:
    """Returns a checkpoint's masked language model in fp32, whatever its tokenizer.

    Raises InputError if it does not load, is not as its run wrote it, or has no masked-LM head.
    """
    check_folder(Path(name), "checkpoint")
    with loading(name, as_what=" as a masked language model"):
        model, report = transformers.AutoModelForMaskedLM.from_pretrained(
            checkpoint_source(name), config=load_config(name), dtype=torch.float32, output_loading_info=True,
            trust_remote_code=False,
        )  # fmt: skip
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise InputError(
            f"The checkpoint {name!r} has no masked-LM head: it lacks {missing}. "
            "Use one trained by masked language modelling."
        )
    return model


def load_config(name: str) -> Any:
    """Returns a checkpoint's configuration. Code that comes with a checkpoint is never run.

    Raises:
        InputError: If there is none, it does not parse, or it asks for a kernel from elsewhere to attend with.
    """
    source = checkpoint_source(name)
    with loading(name):
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
    check_attention(config, name)
    return config


def check_attention(config: Any, name: str) -> None:
    """Raises InputError if a configuration asks for an attention implementation that transformers does not bring."""
    asked = getattr(config, "_attn_implementation", None)
    known = (None, "eager", *transformers.AttentionInterface().valid_keys())
    for attention in asked.values() if isinstance(asked, dict) else [asked]:
        if attention not in known:
            raise InputError(
                f"The config.json of {name!r} asks for the attention implementation {str(attention)[:60]!r}, which "
                "transformers does not bring: it would be foreign code. Delete the key attn_implementation in it."
            )


@contextmanager
def loading(checkpoint: str, as_what: str = "") -> Iterator[None]:
    """Keeps transformers quiet while a checkpoint's weights are read, and turns what fails there into an InputError."""
    try:
        with only_errors():
            yield
    except InputError:
        raise
    except CANNOT_LOAD as error:
        raise InputError(f"The checkpoint {checkpoint!r} does not load{as_what}: {first_line(error)}") from None


def check_size(name: str, model: Any, tokenizer: Any) -> None:
    """Raises InputError if a checkpoint's model has fewer embeddings than a tokenizer's ids need."""
    size, needed = vocabulary_size(model), num_token_ids(tokenizer)
    if size < needed:
        raise InputError(
            f"The checkpoint {name!r} has {size:,} embeddings, and the data's tokenizer has ids up to {needed - 1:,}. "
            "Prepare the data with the checkpoint's own tokenizer: maskwise prepare --tokenizer."
        )


def check_positions(name: str, model: Any, block: int, data_folder: Path) -> None:
    """Raises InputError if a model's table of positions is shorter than the blocks of a data folder."""
    positions = min(position_tables(model), default=block)
    if positions < block:
        raise InputError(
            f"The model {name!r} has {positions:,} positions, the blocks of {data_folder} up to {block:,} tokens.\n"
            f"Prepare the text again with --block {positions}, or take another model."
        )


def check_same_tokenizer(checkpoint: str, tokenizer: Any, data_folder: Path) -> None:
    """Raises InputError if a checkpoint carries a tokenizer with another vocabulary."""
    own = load_tokenizer(checkpoint)
    if own.get_vocab() != tokenizer.get_vocab():
        raise InputError(
            f"{checkpoint} and {data_folder} have different vocabularies ({len(own):,} and {len(tokenizer):,} tokens), "
            "so their predictions cannot be compared token by token. `maskwise evaluate --words SOURCE` grades whole "
            "words, in nats a character; a teacher must share its student's tokenizer (maskwise prepare --tokenizer)."
        )
