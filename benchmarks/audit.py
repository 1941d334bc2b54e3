"""Does `maskwise.check` find what is wrong, and nothing where nothing is?

    python benchmarks/audit.py planted --seeds 5          # 15 faults x 2 severities x 3 tokenizers x seeds
    python benchmarks/audit.py alarms --seeds 200         # correct collators, 64 rows each
    python benchmarks/audit.py tokens --seeds 5           # correct collators, a million tokens each
    python benchmarks/audit.py findings                   # transformers', ours, and ModernBERT's way

The text is Simple English Wikipedia from MASKWISE_DATA, or Python's own documentation without it. Each run prints one
JSON line with the verdicts, and a table at the end.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling

import maskwise
from maskwise.evaluation.auditing.processes import Processes
from maskwise.masking.collator import MaskingCollator
from maskwise.masking.masker import Masker
from maskwise.masking.score import uniform
from maskwise.recipes import load_recipe, recipe_names
from planted_faults import FAULTS, Plain, plant
from three_tokenizers import FAMILIES, make_rows, python_topics, train_tokenizer


def texts(limit: int = 4000) -> list[str]:
    """Returns documents, each on one line."""
    if "MASKWISE_DATA" in os.environ:
        from maskwise.lab.text.sources import documents

        source = Path(os.environ["MASKWISE_DATA"]) / "wiki_simple/train.txt.xz"
        return [" ".join(document.text.split()) for document in islice(documents([str(source)]), limit)]
    return python_topics()


def without(rows: list[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Returns rows without some columns: transformers' collator cannot pad those it does not know."""
    return [{key: value for key, value in row.items() if key not in keys} for row in rows]


def token_entropies(batch: Any) -> torch.Tensor:
    """Scores as stored ones are: always the same for a token at a place, with a spread like that of entropies."""
    mixed = (batch["input_ids"] * 2654435761 + torch.arange(batch["input_ids"].shape[1]) * 40503) % 65536
    return -(1 - mixed.float() / 65537).log()


def taken_recipes(tokenizer: Any, seed: int) -> Iterator[tuple[str, MaskingCollator]]:
    """Yields a collator for each way of masking among the recipes; entropies are those of `token_entropies`.

    Recipes that differ in the score's source alone mask alike here, and one stands for all. Typhoon is left out, which
    learns from gradients, and what alternates by step, which a collator does not know.
    """
    seen = []
    for name in recipe_names():
        masking = dict(load_recipe(name)["masking"])
        score, special = masking["score"], masking.get("mask_special_tokens", False)
        kept = {key: masking[key] for key in ("unit", "pick", "rate", "budget", "corruption")}
        scored = uniform if score == "uniform" else token_entropies
        if score == "typhoon" or kept["pick"] == "alternating" or (kept, special, scored) in seen:
            continue
        seen.append((kept, special, scored))
        masker = Masker(scored, tokenizer, **kept, mask_special_tokens=special, seed=seed)
        yield name, MaskingCollator(masker)


class ModernBertLike:
    """Masking as ModernBERT's is described: 30% of all tokens but padding, 80/10/10, one NumPy generator.

    Its issue 212 (special tokens are candidates) and the paper (30%); random tokens are drawn from 0 up to the highest
    id of the batch, specials included.
    """

    def __init__(self, tokenizer: Any, rate: float = 0.3, seed: int = 0) -> None:
        self.mask_id, self.pad_id, self.rate = tokenizer.mask_token_id, tokenizer.pad_token_id, rate
        self.generator = np.random.default_rng(seed)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        width = max(len(row["input_ids"]) for row in rows)
        ids = np.array([[*row["input_ids"], *[self.pad_id] * (width - len(row["input_ids"]))] for row in rows])
        picked = (self.generator.random(ids.shape) < self.rate) & (ids != self.pad_id)
        fate = self.generator.random(ids.shape)
        drawn = self.generator.integers(0, ids.max() + 1, ids.shape)
        changed = np.where(fate < 0.8, self.mask_id, np.where(fate < 0.9, drawn, ids))
        return {
            "input_ids": torch.from_numpy(np.where(picked, changed, ids)),
            "attention_mask": torch.from_numpy((ids != self.pad_id).astype(np.int64)),
            "labels": torch.from_numpy(np.where(picked, ids, -100)),
        }


def report(kind: str, **facts: Any) -> None:
    """Prints one run."""
    print(json.dumps({"kind": kind, **facts}), flush=True)


def planted(seeds: range, rows_per_run: int) -> None:
    """Counts, for each fault and severity, how often it is found, left undecided, and missed."""
    counts: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(collections.Counter)
    corpus = texts()
    tokenizers = {family: train_tokenizer(family, corpus) for family in FAMILIES}
    for seed in seeds:
        for family, tokenizer in tokenizers.items():
            rows = make_rows(tokenizer, corpus, rows_per_run, seed)
            for fault in FAULTS:
                for severity in ("full", "low"):
                    collator, given = plant(fault, tokenizer, rows, is_low=severity == "low", seed=seed)
                    audit = maskwise.check(collator, given, tokenizer, rate=0.15, seconds=0, workers=0, seed=seed)
                    outcome = outcome_of(audit, fault.lines)
                    counts[fault.name, severity][outcome] += 1
                    report("planted", fault=fault.name, severity=severity, family=family, seed=seed, outcome=outcome)
    for (name, severity), counter in counts.items():
        print(f"{name:30} {severity:5} {dict(counter)}")


def outcome_of(audit: Any, lines: tuple[str, ...]) -> str:
    """Returns found if any of the lines is a fault; else what the first one says."""
    found = [str(line.verdict) for name in lines for line in audit.lines if line.name == name]
    if "fault" in found:
        return "found"
    return "missed" if found[0] == "fine" else found[0]


def correct_collators(tokenizer: Any, seed: int) -> Iterator[tuple[str, Any, set[str]]]:
    """Yields the collators that are right, and the lines at which they are known not to be."""
    yield "plain", Plain(tokenizer), set()
    for name, collator in taken_recipes(tokenizer, seed):
        yield name, collator, {"special_tokens"} if name == "typhoon-2023-random" else set()


def alarms(seeds: range, rows_per_run: int, only: tuple[str, ...] = (), with_workers: int = 6) -> None:
    """Counts the faults found in correct collators; there should be none.

    The families of tokenizers take turns over the seeds. Loader workers and forked processes are used in the first
    seeds alone, because they take most of the time; the others run on deep copies.
    """
    counts: collections.Counter[str] = collections.Counter()
    runs, corpus = 0, texts(20_000)
    tokenizers = [train_tokenizer(family, corpus[:4000]) for family in FAMILIES]
    for seed in seeds:
        tokenizer = tokenizers[seed % len(tokenizers)]
        Processes.can_fork = seed < with_workers
        rows = without(make_rows(tokenizer, corpus, rows_per_run, seed, words=True), "offset_mapping")
        for name, collator, known in correct_collators(tokenizer, seed):
            if only and name not in only:
                continue
            audit = maskwise.check(
                collator, rows, tokenizer, rate=0.15 if name == "plain" else None, seconds=0, seed=seed,
                max_rows=rows_per_run, workers=2 if seed < with_workers else 0,
            )  # fmt: skip
            faults = {line.name: line.finding for line in audit.faults if line.name not in known}
            runs += 1
            counts.update(f"{name}: {fault}" for fault in faults)
            report("alarm", collator=name, seed=seed, faults=faults, tokens=audit.num_tokens,
                   undecided=sum(line.verdict == "not decided" for line in audit.lines))  # fmt: skip
    print(f"{runs:,} runs, false alarms: {dict(counts) or 'none'}")


def findings(seconds: float, rows_per_run: int, families: list[str]) -> None:
    """Prints the audits of collators that people use."""
    corpus = texts()
    for family in families:
        tokenizer = train_tokenizer(family, corpus)
        rows = make_rows(tokenizer, corpus, rows_per_run, 0, words=True)
        bare = without(rows, "word_ids", "offset_mapping", "example_id")
        # Whole words with transformers need offsets, and offsets rows of one length: it does not pad them.
        even = make_rows(tokenizer, corpus, rows_per_run, 0, lengths=(64, 64), words=True, shortest=64)
        offsets = without(even, "word_ids", "example_id")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole_word = DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True)
        tried: list[tuple[str, Callable[..., Any], list[dict[str, Any]], dict[str, Any]]] = [
            ("transformers, token", DataCollatorForLanguageModeling(tokenizer), bare, {}),
            ("transformers, token, seed=0", DataCollatorForLanguageModeling(tokenizer, seed=0), bare, {}),
            ("transformers, whole word", whole_word, offsets, {}),
            ("ModernBERT-like", ModernBertLike(tokenizer), bare, {"rate": 0.3, "corruption": (0.8, 0.1, 0.1)}),
            ("plain", Plain(tokenizer), rows, {"rate": 0.15, "corruption": (0.8, 0.1, 0.1)}),
        ]
        tried += [
            (f"ours, {name}", collator, without(rows, "offset_mapping"), {})
            for name, collator in taken_recipes(tokenizer, 0)
            if name in ("random", "bert", "whole-word", "span")
        ]
        for name, collator, given, settings in tried:
            audit = maskwise.check(collator, given, tokenizer, seconds=seconds, **settings)
            print(f"\n===== {name}, {family}\n{audit}", flush=True)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("planted", "alarms", "tokens", "findings"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    seeds, started_at = range(asked.first_seed, asked.first_seed + asked.seeds), time.monotonic()
    if asked.what == "planted":
        planted(seeds, asked.rows or 160)
    elif asked.what == "alarms":
        alarms(seeds, asked.rows or 64)
    elif asked.what == "tokens":
        alarms(seeds, asked.rows or 1600, only=("plain", "random", "bert", "whole-word"), with_workers=5)
    else:
        findings(asked.seconds, asked.rows or 512, asked.families)
    print(f"{time.monotonic() - started_at:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
