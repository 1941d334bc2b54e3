"""What it costs to score minimal pairs: ours against a plain loop over sentences, and against minicons if it is there.

Prints pairs per second and core, per way: the median of turns, in processor time of one thread, which other work on the
machine hardly moves. The plain loop is what a user writes first: a sentence at a time, a copy per token, the head on
every position. All ways score the same sentences with the same model, `tiny`; that they agree is checked.

    MASKWISE_DATA=... python benchmarks/pairs.py                  # BLiMP, a vocabulary of 4,096 and BERT's: 10 minutes
    python benchmarks/pairs.py --quick                            # made-up pairs, to see that it runs
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import lzma
import os
import pydoc_data.topics
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import alternate, fair_clock, machine, median_ratio, timed
from torch import Tensor

from maskwise.evaluation.pseudo_likelihood import pseudo_log_likelihood
from maskwise.lab.tokens.tokenizer import open_tokenizer, train_tokenizer
from maskwise.models.presets import build_model

TRAINING_LINES = 150_000
TOLERANCE = 1e-3  # nats


@torch.no_grad()
def plain_loop(model: Any, tokenizer: Any, texts: list[str]) -> list[float]:
    """Scores a sentence at a time, each token masked alone (Salazar et al. 2020), with dense logits."""
    return [_plain(model, tokenizer, text) for text in texts]


def _plain(model: Any, tokenizer: Any, text: str) -> float:
    ids_T: Tensor = tokenizer(text, return_tensors="pt")["input_ids"][0]
    places_N = torch.arange(1, len(ids_T) - 1)
    copies_NT = ids_T.repeat(len(places_N), 1)
    copies_NT[torch.arange(len(places_N)), places_N] = tokenizer.mask_token_id
    log_p_NTV = model(input_ids=copies_NT).logits.log_softmax(-1)
    return log_p_NTV[torch.arange(len(places_N)), places_N, ids_T[places_N]].sum().item()


def minicons_scores(model: Any, tokenizer: Any, texts: list[str]) -> list[float]:
    """Scores as minicons does, the two sentences of a pair at a time."""
    from minicons.scorer import MaskedLMScorer

    scorer, found = MaskedLMScorer(model, "cpu", tokenizer=tokenizer), []
    for first in range(0, len(texts), 2):
        encoded = tokenizer(texts[first : first + 2], padding="longest", return_attention_mask=True)
        scores = scorer.compute_stats(scorer.prepare_text(encoded, "original"), return_tensors=True)
        found += [score.sum().item() for score in scores]
    return found


def ways(model: Any, tokenizer: Any, texts: list[str]) -> dict[str, Callable[[], Any]]:
    """Returns what is measured; all but the first give the same numbers."""
    found: dict[str, Callable[[], Any]] = {
        "ours, within-word": lambda: pseudo_log_likelihood(model, tokenizer, texts).sums_S,
        "ours, original": lambda: pseudo_log_likelihood(model, tokenizer, texts, metric="original").sums_S,
        "plain loop": lambda: plain_loop(model, tokenizer, texts),
    }
    if importlib.util.find_spec("minicons"):
        found["minicons"] = lambda: minicons_scores(model, tokenizer, texts)
    return found


def check_equal(found: dict[str, Callable[[], Any]]) -> None:
    """Raises if two ways disagree: a fast wrong answer is no answer."""
    answers = {name: np.asarray(run()) for name, run in found.items() if name != "ours, within-word"}
    expected = answers.pop("plain loop")
    for name, scores in answers.items():
        largest = np.abs(scores - expected).max()
        assert largest < TOLERANCE, f"{name} differs from the plain loop by {largest} nats"


def measure(name: str, tokenizer: Any, texts: list[str], turns: int) -> str:
    """Returns the table of one tokenizer."""
    model = build_model("tiny", len(tokenizer), 0, tokenizer.pad_token_id).eval()
    found = ways(model, tokenizer, texts)
    check_equal(ways(model, tokenizer, texts[:40]))
    work = {way: timed(run, "cpu", fair_clock("cpu")) for way, run in found.items()}
    seconds = alternate(work, turns)
    pieces = sum(len(tokenizer(text)["input_ids"]) for text in texts) / len(texts)
    lines = [f"{name}: {len(texts) // 2:,} pairs, {pieces:.1f} tokens per sentence, special ones included"]
    lines.append(f"{'way':<20} {'pairs per second and core':>26} {'x plain loop':>13}")
    for way, times in seconds.items():
        rate = len(texts) / 2 / statistics.median(times)
        lines.append(f"{way:<20} {rate:>26.1f} {1 / median_ratio(seconds, way, 'plain loop'):>13.2f}")
    return "\n".join(lines)


def blimp(data: Path, pairs: int) -> list[str]:
    """Returns the sentences of the first pairs of each of BLiMP's paradigms."""
    texts = []
    for path in sorted((data / "zero_shot" / "blimp").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines()[:pairs]:
            row = json.loads(line)
            texts += [row["sentence_good"], row["sentence_bad"]]
    return texts


def simple_wikipedia(data: Path) -> Iterator[str]:
    """Yields lines to train a vocabulary on."""
    with lzma.open(data / "wiki_simple" / "train.txt.xz", "rt", encoding="utf-8") as file:
        for line, _ in zip(file, range(TRAINING_LINES), strict=False):
            yield line


def documentation() -> Iterator[str]:
    """Yields lines of Python's documentation."""
    for name in sorted(pydoc_data.topics.topics):
        yield from filter(None, map(str.strip, pydoc_data.topics.topics[name].splitlines()))


def made_up_pairs(number: int) -> list[str]:
    """Returns short sentences, each next to itself with two words swapped."""
    lines = [line.split()[:9] for line in documentation() if len(line.split()) > 4][:number]
    return [" ".join(words) for good in lines for words in (good, [good[1], good[0], *good[2:]])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10, help="of each paradigm of BLiMP")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="made-up pairs, one turn")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine(), flush=True)
    if options.quick:
        print(measure("V = 512", train_tokenizer(documentation, 512), made_up_pairs(20), turns=1))
        return
    data = Path(os.environ["MASKWISE_DATA"])
    texts = blimp(data, options.pairs)
    tokenizer = train_tokenizer(lambda: simple_wikipedia(data), 4096)
    print(measure(f"V = {len(tokenizer):,}", tokenizer, texts, options.turns), flush=True)
    bert = open_tokenizer(str(data / "vocab" / "bert-base-uncased-vocab.txt"))
    print(measure(f"V = {len(bert):,}", bert, texts, options.turns), flush=True)


if __name__ == "__main__":
    main()
