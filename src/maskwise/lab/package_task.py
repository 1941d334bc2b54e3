"""The task of the built-in corpus: which package is a docstring from?"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

from maskwise.files.atomic_folder import atomic_folder
from maskwise.lab.text.corpus import Corpus
from maskwise.lab.text.duplicates import digest
from maskwise.lab.text.sources import find_sources
from maskwise.lab.tokens.prepare import PrepareSettings


def write_package_task(settings: PrepareSettings, out: Path, *, classes: int, train: int, held_out: int) -> None:
    """Writes `train.jsonl` and `validation.jsonl` of the task `package` (columns text, label) to the folder `out`.

    The classes are the packages with the most text, `train` and at most `held_out` texts of each, drawn by a hash of
    the text. What is held out is what `prepare` holds out with these settings: no model has been pretrained on it.
    """
    texts: dict[bool, dict[str, list[str]]] = {True: defaultdict(list), False: defaultdict(list)}
    corpus = Corpus(
        find_sources(settings.sources), None, valid_share=settings.valid_share, min_words=settings.min_words,
        keep_duplicates=settings.keep_duplicates, seed=settings.seed,
    )  # fmt: skip
    for batch in corpus:
        for text, package, is_held_out in zip(batch.texts, batch.labels, batch.held_out, strict=True):
            texts[bool(is_held_out)][str(package)].append(text)
    sizes = Counter({package: len(found) for package, found in texts[False].items()})
    packages = [package for package, _ in sizes.most_common(classes)]
    with atomic_folder(out) as folder:
        for name, number, found in (("train", train, texts[False]), ("validation", held_out, texts[True])):
            rows = [
                {"text": text, "label": package}
                for package in packages
                for text in sorted(found[package], key=digest)[:number]
            ]
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
