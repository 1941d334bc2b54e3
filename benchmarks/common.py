"""What the benchmarks share: the machine in words, a tokenizer and text without a network, and turns on a clock."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast

RECOMPILE_LIMIT = 64
Work = Callable[[], float]
"""Something that takes a turn, and returns the seconds of it that count."""


def machine() -> str:
    """Returns the date-independent facts a number needs: processor, cores, threads, torch, commit."""
    cuda = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{processor()}, {os.cpu_count()} cores{cuda}, torch {torch.__version__}, commit {commit()}"


def processor() -> str:
    """Returns the processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """Returns the commit of the working tree, in short."""
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def fair_clock(device: str) -> Callable[[], float]:
    """Returns processor time for one thread, which other work on the machine hardly moves, and wall time else."""
    return time.process_time if torch.get_num_threads() == 1 and device == "cpu" else time.perf_counter


def bert_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """Returns a word-level tokenizer of the given size with BERT's special tokens; its words are numbers."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = special + [f"w{i}" for i in range(vocabulary - len(special))]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ("pad", "unk", "cls", "sep", "mask")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": token for name, token in zip(names, special, strict=True)}
    )


def random_text(tokenizer: Any, batch: int, length: int, seed: int = 0) -> Tensor:
    """Returns [batch, length] ids of full blocks: [CLS], ordinary tokens, [SEP]."""
    generator = torch.Generator().manual_seed(seed)
    ids_BT = torch.randint(5, len(tokenizer), (batch, length), generator=generator)
    ids_BT[:, 0], ids_BT[:, -1] = tokenizer.cls_token_id, tokenizer.sep_token_id
    return ids_BT


def timed(run: Callable[[], Any], device: str = "cpu", clock: Callable[[], float] = time.perf_counter) -> Work:
    """Returns work that takes the time of the whole of `run`, its kernels on a GPU included."""

    def turn() -> float:
        wait_for(device)
        started_at = clock()
        run()
        wait_for(device)
        return clock() - started_at

    return turn


def wait_for(device: str) -> None:
    """Waits until a GPU has run all its kernels; a processor runs them at once."""
    if device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def compiled_afresh(is_compiled: bool) -> Iterator[None]:
    """Lets its body compile every model in every mode it meets, if it compiles, and forgets all of it afterwards.

    torch counts what was compiled of a function for all models together, and past a limit of 8 runs it eagerly.
    """
    if not is_compiled:
        yield
        return
    with torch._dynamo.config.patch(recompile_limit=RECOMPILE_LIMIT):
        try:
            yield
        finally:
            torch._dynamo.reset()


def alternate(work: Mapping[str, Work], turns: int, *, warm_ups: int = 0) -> dict[str, list[float]]:
    """Returns the seconds of each by turn, after turns that do not count; in each turn all go, one after the other."""
    for _ in range(warm_ups):
        for run in work.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(turns):
        for name, run in work.items():
            seconds[name].append(run())
    return seconds


def median_ratio(seconds: Mapping[str, list[float]], name: str, base: str) -> float:
    """Returns the median, over turns, of the ratio within a turn."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[base], strict=True))
