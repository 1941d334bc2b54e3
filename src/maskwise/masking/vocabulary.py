"""What masking needs to know of a tokenizer.

Shapes: V vocabulary, N ordinary tokens.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from maskwise.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Vocabulary(NamedTuple):
    """What masking needs of a tokenizer. `eligible_V`: may be masked. `ordinary_ids_N`: may replace a token."""

    mask_token_id: int
    pad_token_id: int
    eligible_V: Tensor
    ordinary_ids_N: Tensor

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        """Returns the vocabulary of `tokenizer`.

        Special tokens are never masked, [UNK] excepted: it stands for a word of the text, unless the token has
        another role too, such as [PAD]'s. Random replacements are drawn from neither special nor [unused] tokens.
        Raises InputError where there is no mask token.
        """
        if tokenizer.mask_token_id is None:
            raise InputError(
                "The tokenizer has no mask token, so nothing can be masked. Use the tokenizer of a masked language "
                "model, or add one: tokenizer.add_special_tokens({'mask_token': '[MASK]'})."
            )
        size = max(len(tokenizer), 1 + max(tokenizer.get_vocab().values()))
        special = set(tokenizer.all_special_ids)
        eligible_V, ordinary_V = torch.ones(size, dtype=torch.bool), torch.ones(size, dtype=torch.bool)
        ordinary_V[list(special)] = False
        eligible_V[list(special - _unknown_word_ids(tokenizer))] = False
        ordinary_V[[i for token, i in tokenizer.get_vocab().items() if re.fullmatch(r"\[unused\d+\]", token)]] = False
        mask_token_id = cast(int, tokenizer.mask_token_id)
        return cls(mask_token_id, padding_id(tokenizer), eligible_V, ordinary_V.nonzero().flatten())

    def with_special_tokens(self) -> Vocabulary:
        """Returns a vocabulary whose special tokens may be masked too, padding excepted."""
        eligible_V = torch.ones_like(self.eligible_V)
        eligible_V[self.pad_token_id] = False
        return self._replace(eligible_V=eligible_V)

    def to(self, device: torch.device) -> Vocabulary:
        """Returns the same vocabulary on `device`."""
        eligible_V, ordinary_ids_N = self.eligible_V.to(device), self.ordinary_ids_N.to(device)
        return self._replace(eligible_V=eligible_V, ordinary_ids_N=ordinary_ids_N)


def padding_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Returns the id of the padding token, 0 where there is none: the attention mask hides it in any case."""
    return 0 if tokenizer.pad_token_id is None else cast(int, tokenizer.pad_token_id)


def _unknown_word_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    roles = dict(tokenizer.special_tokens_map)
    unknown = roles.pop("unk_token", None)
    is_text = unknown is not None and unknown not in roles.values()
    return {cast(int, tokenizer.unk_token_id)} if is_text else set()
