"""The model, the masker and the tokenizer of a trainer, from what its constructor was given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from torch import nn
from transformers import PreTrainedTokenizerBase, TrainingArguments

from maskwise.errors import InputError
from maskwise.masking.masker import Masker
from maskwise.models.loading import load_masked_lm, load_tokenizer

if TYPE_CHECKING:
    from maskwise.training.distill import Distillation


class Trained(NamedTuple):
    """The model (None: `model_init` makes it), how it is masked, and what is saved with it."""

    model: Any
    masker: Masker
    processing_class: Any


def resolve_trained(model: Any, masker: Any, processing_class: Any, *, has_model_init: bool) -> Trained:
    """Returns the model, the masker and what is saved with the model.

    Args:
        model: A masked language model, a checkpoint's folder or name, or None with `model_init`.
        masker: A `Masker`; or a score or a recipe's name, which needs a tokenizer.
        processing_class: A tokenizer, or a checkpoint's folder or name whose tokenizer it is; by default the masker's,
            else that of the model's name.
        has_model_init: Whether the trainer makes its model itself.

    Raises:
        InputError: For a class, a text or a dictionary where an object belongs, and if there is no tokenizer.
    """
    name = str(model) if isinstance(model, str | Path) else None
    _check_model(model, has_model_init)
    if isinstance(processing_class, str | Path):
        processing_class = load_tokenizer(str(processing_class))
    if isinstance(processing_class, type):
        raise InputError(f"processing_class is a tokenizer, and {processing_class.__name__} is its class.")
    if not isinstance(masker, Masker):
        _check_masker(masker)
        tokenizer = processing_class or (load_tokenizer(name) if name else None)
        if tokenizer is None:
            raise InputError(
                "A score or a recipe needs a tokenizer to mask with: give processing_class=tokenizer, the model's "
                "name in place of the model, or a masker, Masker(score, tokenizer)."
            )
        masker = _make_masker(masker, tokenizer)
    _check_same_vocabulary(masker, processing_class)
    return Trained(load_masked_lm(name) if name else model, masker, processing_class or masker.tokenizer)


def check_arguments_given(args: Any, distillation: Any, distillation_class: type[Distillation]) -> None:
    """Raises InputError if `args` or `distillation` is something else than an object of its class."""
    if args is not None and not isinstance(args, TrainingArguments):
        line = (
            "TrainingArguments(**options)" if isinstance(args, dict) else "TrainingArguments('folder', max_steps=100)"
        )
        raise InputError(f"args is a TrainingArguments; found {_what(args)}. Write {line}.")
    if distillation is not None and not isinstance(distillation, distillation_class):
        raise InputError(f"distillation is a Distillation; found {_what(distillation)}. Write Distillation(teacher).")


def check_runs_eager(masker: Masker, args: TrainingArguments) -> None:
    """Raises InputError if a score that wants gradients is asked to run compiled."""
    for score in masker.scores_inside:
        if score.wants_gradients and args.torch_compile:
            raise InputError(
                f"{score.name} takes a gradient inside the model, which a compiled model does not "
                "give: it runs eager. Set torch_compile to false (--set trainer.torch_compile=false)."
            )


def check_not_given(kwargs: dict[str, Any]) -> None:
    """Masking twice would corrupt the first, and a second loss would not know the labelled rows."""
    if kwargs.get("data_collator") is not None:
        raise InputError("MaskingTrainer pads and masks by itself; leave out data_collator and set up the masker.")
    if kwargs.get("compute_loss_func") is not None:
        raise InputError(
            "MaskingTrainer makes the loss of the labelled rows by itself; leave out compute_loss_func. "
            "A subclass may override compute_loss."
        )


def _check_model(model: Any, has_model_init: bool) -> None:
    if has_model_init and model is not None:
        raise InputError("Give a model or model_init, not both: model_init makes a new model for every train().")
    if model is None and not has_model_init:
        raise InputError("Give a model: AutoModelForMaskedLM.from_pretrained(...), a checkpoint's name, or model_init.")
    if model is not None and not isinstance(model, str | Path | nn.Module):
        raise InputError(
            f"The model is a masked language model or a checkpoint's name; found {_what(model)}. "
            "Write AutoModelForMaskedLM.from_pretrained(...), or AutoModelForMaskedLM.from_config(config)."
        )


def _check_masker(masker: Any) -> None:
    is_score = isinstance(masker, str) or (callable(masker) and not isinstance(masker, type))
    if not is_score:
        raise InputError(
            f"The masker is a Masker, a score, or a recipe's name; found {_what(masker)}. "
            "Write Masker(score, tokenizer), or masker='entropy-high'."
        )


def _make_masker(given: Any, tokenizer: PreTrainedTokenizerBase) -> Masker:
    return cast(Any, Masker).from_recipe(given, tokenizer) if isinstance(given, str) else Masker(given, tokenizer)


def _check_same_vocabulary(masker: Masker, processing_class: Any) -> None:
    other = getattr(processing_class, "tokenizer", processing_class)  # a processor has one inside
    if other is None or other is masker.tokenizer or not hasattr(other, "get_vocab"):
        return
    if other.get_vocab() != masker.tokenizer.get_vocab():
        raise InputError(
            f"The masker masks with a tokenizer of {len(masker.tokenizer):,} tokens, and processing_class, which is "
            f"saved with the model, is another one of {len(other):,}. Leave out processing_class."
        )


def _what(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"{type(value).__name__} {str(value)[:60]!r}"
