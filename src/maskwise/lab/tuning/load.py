"""A checkpoint as a model with a new head, its tokenizer, and its texts as examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from maskwise.lab.tuning.batches import Example
from maskwise.lab.tuning.freeze import freeze_all_but
from maskwise.models.loading import load_tokenizer, loading
from maskwise.models.model_limits import longest_window


class Loaded(NamedTuple):
    """`new` names the weights that the checkpoint did not bring; `window` is how many tokens the model takes."""

    model: Any
    tokenizer: Any
    new: list[str]
    window: int


def load_with_head(auto: Any, checkpoint: str, *, seed: int, freeze: bool, **config: Any) -> Loaded:
    """Returns a checkpoint in fp32 under the head of `auto`, such as AutoModelForSequenceClassification.

    What is new is drawn from `seed`; the global generator is left as it was. `config` goes to the model's
    configuration. Raises InputError where there is no tokenizer or the weights do not load.
    """
    tokenizer = load_tokenizer(checkpoint)
    with torch.random.fork_rng(devices=[]), loading(checkpoint):
        torch.manual_seed(seed)
        model, report = auto.from_pretrained(
            checkpoint, dtype=torch.float32, output_loading_info=True, **plain_attention(), **config
        )
    new = sorted(report["missing_keys"])
    if freeze:
        freeze_all_but(model, new)
    return Loaded(model, tokenizer, new, longest_window(model, tokenizer))


def plain_attention() -> dict[str, str]:
    """Returns the option that makes attention plain on a processor, and nothing on an accelerator.

    On short texts torch's fused one makes a step of BERTlet 5 to 10% slower, and up to 85% of the tiny model.
    """
    return {} if torch.accelerator.is_available() else {"attn_implementation": "eager"}


def encode(
    tokenizer: Any, texts: Sequence[Sequence[str]], labels: Sequence[Any], max_length: int
) -> tuple[list[Example], int]:
    """Returns texts (or pairs of texts) as examples, and how many of them were cut to `max_length` tokens."""
    encoded = tokenizer(*map(list, texts), truncation="longest_first", max_length=max_length)
    rows = zip(*encoded.values(), strict=True)
    examples: list[Example] = [
        dict(zip(encoded, row, strict=True)) | {"labels": y} for row, y in zip(rows, labels, strict=True)
    ]
    full = [i for i, example in enumerate(examples) if len(example["input_ids"]) == max_length]
    whole = tokenizer(*([column[i] for i in full] for column in texts), verbose=False)["input_ids"] if full else []
    return examples, sum(len(ids) > max_length for ids in whole)
