"""What the benchmarks read: real text and a real task from MASKWISE_DATA, or made-up ones for a toy run."""

from __future__ import annotations

import json
import os
import random
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from maskwise.lab.tasks.classification import TaskData, load_task
from maskwise.lab.tasks.table import find_task
from maskwise.lab.text.sources import documents

CORPUS = "wiki_simple/train.txt.xz"
DOCUMENTS = 20_000
MADE_UP_DOCUMENTS, MADE_UP_EXAMPLES = 60, 48
SYLLABLES = [first + second for first in "bdfgklmnprst" for second in "aeiou"]


class Material(NamedTuple):
    """A file of text, a file with a BERT vocabulary, and the task CoLA."""

    corpus: Path
    vocabulary: Path
    cola: TaskData


def real_material(folder: Path) -> Material | None:
    """Returns the start of Simple Wikipedia, BERT's vocabulary and CoLA, or None where MASKWISE_DATA is not set."""
    if "MASKWISE_DATA" not in os.environ:
        return None
    root = Path(os.environ["MASKWISE_DATA"])
    texts = [document.text for document in islice(documents([str(root / CORPUS)]), DOCUMENTS)]
    vocabulary = root / "vocab" / "bert-base-uncased-vocab.txt"
    return Material(_written(texts, folder), vocabulary, load_task(find_task("cola"), root / "glue"))


def made_up_material(folder: Path) -> Material:
    """Returns a few documents and sentences of made-up words, with a vocabulary of their syllables."""
    chance = random.Random(0)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 3))) for _ in range(300)]
    texts = [" ".join(chance.choices(words, k=200)) for _ in range(MADE_UP_DOCUMENTS)]
    pieces = [*SYLLABLES, *(f"##{syllable}" for syllable in SYLLABLES)]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]) + "\n", encoding="utf-8")
    for split in ("train", "validation"):
        rows = [{"sentence": " ".join(chance.choices(words, k=8)), "label": i % 2} for i in range(MADE_UP_EXAMPLES)]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return Material(_written(texts, folder), vocabulary, load_task(find_task("cola"), folder))


def _written(texts: list[str], folder: Path) -> Path:
    corpus = folder / "corpus.txt"
    corpus.write_text("\n\n".join(texts), encoding="utf-8")
    return corpus
