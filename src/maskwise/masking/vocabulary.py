"""What masking needs to know of a tokenizer.

Shapes: V vocabulary, N ordinary tokens.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor

from maskwise.errors import InputError, first_line
from maskwise.files.checkpoint_names import checkpoint_source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Vocabulary(NamedTuple):
    """What masking needs of a tokenizer. `eligible_V`: may be masked. `ordinary_ids_N`: may replace a token.

    V is the largest id + 1; ids without a token (a vocabulary may have holes) are neither.
    """

    mask_token_id: int
    pad_token_id: int
    eligible_V: Tensor
    ordinary_ids_N: Tensor

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, *, with_special_tokens: bool = False) -> Vocabulary:
        """Returns the vocabulary of `tokenizer`.

        Special tokens are never masked, [UNK] excepted: it stands for a word of the text, unless the token has
        another role too, such as [PAD]'s. `with_special_tokens`: all but padding may be masked. Random replacements
        are drawn from neither special nor [unused] tokens. Raises InputError if there is no mask token.
        """
        if tokenizer.mask_token_id is None:
            raise InputError(
                "The tokenizer has no mask token, so nothing can be masked. Use the tokenizer of a masked language "
                "model, or add one: tokenizer.add_special_tokens({'mask_token': '[MASK]'})."
            )
        ids, special = tokenizer.get_vocab(), set(tokenizer.all_special_ids)
        is_token_V = torch.zeros(num_token_ids(tokenizer), dtype=torch.bool)
        is_token_V[list(ids.values())] = True
        eligible_V, ordinary_V = is_token_V.clone(), is_token_V.clone()
        ordinary_V[list(special)] = False
        ordinary_V[[i for token, i in ids.items() if re.fullmatch(r"\[unused\d+\]", token)]] = False
        never = [padding_id(tokenizer)] if with_special_tokens else list(special - _unknown_word_ids(tokenizer))
        eligible_V[never] = False
        mask_token_id = cast(int, tokenizer.mask_token_id)
        return cls(mask_token_id, padding_id(tokenizer), eligible_V, ordinary_V.nonzero().flatten())

    def to(self, device: torch.device) -> Vocabulary:
        """Returns the same vocabulary on `device`."""
        eligible_V, ordinary_ids_N = self.eligible_V.to(device), self.ordinary_ids_N.to(device)
        return self._replace(eligible_V=eligible_V, ordinary_ids_N=ordinary_ids_N)


def load_tokenizer(checkpoint: str) -> Any:
    """Returns the fast tokenizer of a checkpoint: a folder, or a name on the hub (see `checkpoint_source`).

    Code that comes with a checkpoint is never run.

    Raises:
        InputError: If there is none, or it has no fast version, which word boundaries need.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint_source(checkpoint), trust_remote_code=False)
    except InputError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exceptions for a damaged file
        raise InputError(f"The checkpoint {checkpoint!r} has no tokenizer: {first_line(error)}") from None
    if set(tokenizer.get_vocab().values()) <= set(tokenizer.all_special_ids):  # transformers makes up an empty one
        raise InputError(f"The checkpoint {checkpoint!r} has no tokenizer: save it next to the model.")
    if not tokenizer.is_fast:
        raise InputError(f"The tokenizer of {checkpoint!r} is not a fast one, which word boundaries need.")
    return tokenizer


def as_tokenizer(tokenizer: Any) -> Any:
    """Returns a tokenizer as it is, or the one of a name or folder.

    Raises:
        InputError: For anything else, with the line that works.

    >>> as_tokenizer(None)
    Traceback (most recent call last):
        ...
    maskwise.errors.InputError: The tokenizer is missing: give AutoTokenizer.from_pretrained(name), or the name itself.
    """
    if isinstance(tokenizer, str | Path):
        return load_tokenizer(str(tokenizer))
    if tokenizer is None:
        raise InputError("The tokenizer is missing: give AutoTokenizer.from_pretrained(name), or the name itself.")
    if isinstance(tokenizer, type):
        raise InputError(
            f"A tokenizer is an object, and {tokenizer.__name__} is its class: write "
            f"{tokenizer.__name__}.from_pretrained(name)."
        )
    if not all(hasattr(tokenizer, name) for name in ("mask_token_id", "all_special_ids", "get_vocab")):
        raise InputError(
            f"A tokenizer is one of transformers, or its name; found {type(tokenizer).__name__}. Write "
            "AutoTokenizer.from_pretrained(name)."
        )
    return tokenizer


def num_token_ids(tokenizer: PreTrainedTokenizerBase) -> int:
    """Returns the largest id of a tokenizer + 1: what a table over its ids needs.

    That is `len(tokenizer)` unless its vocabulary has holes: CamemBERT has no id 3.
    """
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def padding_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Returns the id of the padding token, 0 where there is none: the attention mask hides it in any case."""
    return 0 if tokenizer.pad_token_id is None else cast(int, tokenizer.pad_token_id)


def _unknown_word_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    roles = dict(tokenizer.special_tokens_map)
    unknown = roles.pop("unk_token", None)
    is_text = unknown is not None and unknown not in roles.values()
    return {cast(int, tokenizer.unk_token_id)} if is_text else set()
