"""What a collator is meant to do: what the caller states, else what its own settings say, else nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from maskwise.errors import InputError
from maskwise.masking.corrupt import Corruption
from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform

FIXED_PICKS = ("high", "low", "mid", "marginal")


@dataclass(frozen=True)
class Expected:
    """`rate` and `corruption` are None if nobody states them, and are then not judged.

    `is_uniform`: all tokens of a row are meant to be masked equally often. `repeats`: the same tokens are meant to be
    masked in every epoch, as by the highest of scores that do not change.
    """

    rate: float | None = None
    corruption: tuple[float, float, float] | None = None
    is_uniform: bool = True
    repeats: bool = False
    source: str = ""


def expected_of(
    collator: Any,
    rate: float | None = None,
    corruption: tuple[float, float, float] | None = None,
    uniform: bool | None = None,
) -> Expected:
    """Returns what is stated, completed by the collator's own settings.

    Known are `maskwise.MaskingCollator` and the attributes of transformers' `DataCollatorForLanguageModeling`
    (`mlm_probability`, `mask_replace_prob`, `random_replace_prob`), which many collators inherit.
    """
    if rate is not None and not 0 < rate < 1:
        raise InputError(f"rate is a share between 0 and 1; found {rate}. Write 15% as 0.15.")
    if corruption is not None:
        corruption = Corruption(*corruption).check()
    own = _settings_of(collator)
    return Expected(
        rate=own.rate if rate is None else rate,
        corruption=own.corruption if corruption is None else corruption,
        is_uniform=own.is_uniform if uniform is None else uniform,
        repeats=own.repeats,
        source="stated" if rate is not None else own.source,
    )


def _settings_of(collator: Any) -> Expected:
    masker = getattr(collator, "masker", None)
    if isinstance(masker, Masker):
        return _of_masker(masker)
    rate = getattr(collator, "mlm_probability", None)
    if not isinstance(rate, float):
        return Expected()
    masked, random = (getattr(collator, name, None) for name in ("mask_replace_prob", "random_replace_prob"))
    shares = None
    if isinstance(masked, int | float) and isinstance(random, int | float):
        shares = (float(masked), float(random), 1.0 - masked - random)
    return Expected(rate, shares, source="mlm_probability")


def _of_masker(masker: Masker) -> Expected:
    is_uniform = getattr(masker.score, "function", None) is uniform and masker.budget != "from-scores"
    return Expected(
        rate=masker.rate_at(0.0) or None,
        corruption=masker.corruption,
        is_uniform=is_uniform,
        repeats=masker.pick in FIXED_PICKS and not is_uniform,
        source="the masker's rate",
    )
