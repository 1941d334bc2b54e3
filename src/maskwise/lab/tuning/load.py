"""A checkpoint as a model with a new head, its tokenizer, and its texts as examples."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch

from maskwise.errors import InputError
from maskwise.files.checkpoint_names import checkpoint_source
from maskwise.lab.tuning.batches import Example
from maskwise.lab.tuning.freeze import freeze_all_but
from maskwise.models.loading import load_config, load_tokenizer, loading
from maskwise.models.model_limits import longest_window


class Loaded(NamedTuple):
    """A checkpoint as it is tuned.

    `new` names the weights that are drawn: those the checkpoint did not bring, and a head that is not this task's.
    `window` is how many tokens the model takes. `head_note` says why a head that the checkpoint brings is not taken, if
    it brings one of other classes.
    """

    model: Any
    tokenizer: Any
    new: list[str]
    window: int
    head_note: str = ""


def load_with_head(auto: Any, checkpoint: str, *, seed: int, freeze: bool, **config: Any) -> Loaded:
    """Returns a checkpoint in fp32 under the head of `auto`, such as AutoModelForSequenceClassification.

    A checkpoint that was tuned to the same classes keeps its head; one that was tuned to others, whatever their
    number, gets a new head. What is new is drawn from `seed`; the global generator is left as it was.

    Args:
        auto: The class of transformers that loads the model.
        checkpoint: A folder, or a name on the hub.
        seed: Draws what is new.
        freeze: Whether only what is new is trained.
        **config: What goes to the model's configuration, such as `id2label`.

    Raises:
        InputError: If there is no tokenizer, or the weights do not load.
    """
    tokenizer = load_tokenizer(checkpoint)
    with torch.random.fork_rng(devices=[]), loading(checkpoint):
        torch.manual_seed(seed)
        before = load_config(checkpoint)
        model, report = auto.from_pretrained(
            checkpoint_source(checkpoint), dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True,
            trust_remote_code=False, **plain_attention(), **config,
        )  # fmt: skip
        missing = set(report["missing_keys"])
        misfits = {name for name, *_ in report["mismatched_keys"]}
        outputs = set() if _is_same_head(before, model) else _weights_by_class(auto, model.config)
        redrawn = outputs - missing
        if redrawn - misfits:
            torch.manual_seed(seed)
            _copy_weights(auto.from_config(model.config), model, redrawn)
    _require_body(checkpoint, report["mismatched_keys"], outputs)
    new = sorted(missing | redrawn)
    if freeze:
        freeze_all_but(model, new)
    note = _head_note(checkpoint, before, model) if redrawn else ""
    return Loaded(model, tokenizer, new, longest_window(model, tokenizer), note)


def _is_same_head(before: Any, model: Any) -> bool:
    """Returns whether a configuration is that of a checkpoint tuned to the classes of `model`; case aside."""
    names = [
        {number: str(name).casefold() for number, name in config.id2label.items()} for config in (before, model.config)
    ]
    kinds = {config.problem_type for config in (before, model.config)} - {None}
    return type(model).__name__ in (before.architectures or ()) and names[0] == names[1] and len(kinds) < 2


def _weights_by_class(auto: Any, config: Any) -> set[str]:
    """Returns the names of the weights whose shape depends on the number of classes."""
    other = copy.deepcopy(config)
    other.num_labels = config.num_labels + 1
    with torch.device("meta"):
        models = [auto.from_config(each) for each in (config, other)]
    shapes = [{name: weight.shape for name, weight in model.named_parameters()} for model in models]
    return {name for name in shapes[0] if shapes[0][name] != shapes[1][name]}


def _require_body(checkpoint: str, mismatched: Collection[tuple[Any, ...]], outputs: set[str]) -> None:
    """Raises InputError if another weight than those of the head has not the shape of the configuration."""
    for name, found, expected in mismatched:
        if name not in outputs:
            raise InputError(
                f"The checkpoint {checkpoint!r} does not load: its weight {name} has the shape {list(found)}, and its "
                f"config.json asks for {list(expected)}.\nIs its config.json another model's?"
            )


@torch.no_grad()
def _copy_weights(source: Any, target: Any, names: Collection[str]) -> None:
    parameters = dict(source.named_parameters())
    for name, weight in target.named_parameters():
        if name in names:
            weight.copy_(parameters[name])


def _head_note(checkpoint: str, before: Any, model: Any) -> str:
    classes = ", ".join(map(str, list(before.id2label.values())[:5])) + (", ..." if before.num_labels > 5 else "")
    return (
        f"{checkpoint} was tuned before ({(before.architectures or ['?'])[0]}, with the outputs {classes}). Its head "
        "is not one of this task, so a new one is drawn"
    )


def plain_attention() -> dict[str, str]:
    """Returns the option that makes attention plain on a processor, and nothing on an accelerator.

    On short texts torch's fused one makes a step of BERTlet 5 to 10% slower, and up to 85% of the tiny model.
    """
    return {} if torch.accelerator.is_available() else {"attn_implementation": "eager"}


def encode_texts(
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
