"""Models kept by the number of words that a run has read, as BabyLM asks for: the setting `trainer.checkpoint_words`.

Words are those between white space in the training text, counted again whenever they are read again; blocks are read
in another order than the text, so the words of a step are its share of an epoch. The first step that reaches a number
is kept as a model of its own, `chck_1M` for a million, which a resumed run does not write again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from maskwise.errors import InputError
from maskwise.files.atomic_folder import atomic_folder
from maskwise.lab.tokens.blocks import DataFolder

SETTING = "checkpoint_words"
MILLION = 1_000_000
BABYLM = tuple(number * MILLION for number in (*range(1, 10), *range(10, 101, 10)))


def revision_of(words: int) -> str:
    """Returns the name of the model that has read so many words.

    >>> revision_of(3_000_000), revision_of(2500)
    ('chck_3M', 'chck_2500')
    """
    return f"chck_{words // MILLION}M" if words % MILLION == 0 else f"chck_{words}"


def checkpoint_words(value: Any, data: DataFolder, num_epochs: float) -> tuple[int, ...]:
    """Returns the numbers of words to keep a model at, ascending; none if the setting is None.

    Args:
        value: The setting: a list of numbers, or "babylm" for every million up to 10 and every ten up to 100, of which
            those are left out that the run does not reach.
        data: The data folder, which knows the words of its training text.
        num_epochs: How often the run reads it.

    Raises:
        InputError: If the setting is neither, a number is not reached by the run, or the data folder counts no words.
    """
    if value is None:
        return ()
    if "train_words" not in data.manifest["counts"]:
        raise InputError(f"The data folder {data.path} does not say how many words it has. Prepare it again.")
    most = int(num_epochs * data.manifest["counts"]["train_words"])
    if value == "babylm":
        return tuple(words for words in BABYLM if words <= most)
    numbers = value if isinstance(value, list | tuple) else ()
    if not numbers or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in numbers):
        raise InputError(
            f"trainer.{SETTING} is a list of numbers of words, such as [1000000, 2000000], or 'babylm'; "
            f"found {value!r}."
        )
    if max(numbers) > most:
        raise InputError(
            f"trainer.{SETTING} has {max(numbers):,}, and the run reads {most:,} words: {num_epochs:g} epochs of "
            f"{data.manifest['counts']['train_words']:,}. Train longer, or leave it out."
        )
    return tuple(sorted(set(numbers)))


class KeepByWords(TrainerCallback):
    """Keeps the model at the first step that reaches each number of words, in `out/chck_<millions>M`."""

    def __init__(self, trainer: Any, words: Sequence[int], words_per_epoch: int, out: Path) -> None:
        self.trainer, self.words, self.words_per_epoch, self.out = trainer, words, words_per_epoch, out

    def on_step_end(self, args, state, control, **kwargs):
        """Writes what is due and not there yet."""
        seen = state.epoch * self.words_per_epoch
        due = [words for words in self.words if words <= seen and not (self.out / revision_of(words)).exists()]
        if due:
            self.trainer.raise_if_not_finite()
        for words in due:
            if args.should_save:
                with atomic_folder(self.out / revision_of(words)) as folder:
                    self.trainer.accelerator.unwrap_model(self.trainer.model).save_pretrained(folder)
                    self.trainer.processing_class.save_pretrained(folder)
