"""How fast `maskwise prepare` makes blocks, beside run_mlm's way: a data set of texts, tokenized and grouped by `map`.

Both read the same compressed file with the same reader, use the same tokenizer and as many processes, and write Arrow
files. Turns alternate, each in a fresh process, timed from after the imports. The second ratio leaves out the stock
way's time for making the data set of texts, which ours does as it goes and is charged for. Peak memory is the resident
size of a process and its children together, sampled 20 times a second (pages of mapped files count, shared pages
count once for each process).

    MASKWISE_DATA=... python benchmarks/prepare.py --turns 3

Before timing, the tokens of both are compared: in `concat` mode the whole stream without special tokens, in `document`
mode the rows of the documents that fit in one block.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

BLOCK = 128


def read_documents(path: Path) -> list[str]:
    from maskwise.lab.text.sources import documents

    return [document.text for document in documents([str(path)])]


def stock(corpus: Path, vocabulary: Path, out: Path, processes: int) -> tuple[int, float]:
    """run_mlm without --line_by_line, a document a row; returns the tokens and the seconds until texts lay ready."""
    blocks, ready_after = stock_blocks(corpus, vocabulary, out, processes)
    return len(blocks) * BLOCK, ready_after


def stock_blocks(corpus: Path, vocabulary: Path, out: Path, processes: int) -> tuple[Any, float]:
    """Returns the data set of blocks, and the seconds until texts lay ready."""
    from datasets import Dataset

    from maskwise.lab.tokens.tokenizer import open_tokenizer

    tokenizer = open_tokenizer(str(vocabulary))

    def generate():
        from maskwise.lab.text.sources import documents

        yield from ({"text": document.text} for document in documents([str(corpus)]))

    def tokenize(rows):
        return tokenizer(rows["text"], return_special_tokens_mask=True)

    def group(rows):
        joined = {name: list(chain(*rows[name])) for name in rows}
        total = len(joined["input_ids"]) // BLOCK * BLOCK
        return {name: [t[i : i + BLOCK] for i in range(0, total, BLOCK)] for name, t in joined.items()}

    began_at = time.perf_counter()
    text = Dataset.from_generator(generate, cache_dir=str(out / "text"))
    ready_after = time.perf_counter() - began_at
    tokens = text.map(
        tokenize, batched=True, num_proc=processes, remove_columns=["text"], cache_file_name=str(out / "tokens.arrow")
    )
    return tokens.map(group, batched=True, num_proc=processes, cache_file_name=str(out / "blocks.arrow")), ready_after


def ours(corpus: Path, vocabulary: Path, out: Path, processes: int, *, times: int = 1) -> tuple[int, float]:
    """`maskwise prepare` of the corpus, `times` over with duplicates kept; returns the tokens of the blocks."""
    from maskwise.lab.tokens.prepare import PrepareSettings, prepare

    settings = PrepareSettings(
        sources=(str(corpus),) * times, out=out / "data", tokenizer=str(vocabulary), block=BLOCK, valid_share=0.05,
        keep_duplicates=times > 1, workers=processes,
    )  # fmt: skip
    data = prepare(settings, show=False)
    counts = data.manifest["counts"]
    return sum(counts["tokens"].values()) + 2 * sum(counts["blocks"].values()), 0.0


def resident_bytes(process: int) -> int:
    """The resident size of a process and all its descendants."""
    import psutil

    try:
        parent = psutil.Process(process)
        return sum(each.memory_info().rss for each in [parent, *parent.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def turn(work: Callable[..., tuple[int, float]], connection, arguments: tuple, options: dict) -> None:
    """The child: imports first, then the clock."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.AutoTokenizer, transformers.BertTokenizer  # noqa: B018 - they load when asked for
    connection.send("ready")
    began_at = time.perf_counter()
    tokens, ready_after = work(*arguments, **options)
    connection.send((time.perf_counter() - began_at, ready_after, tokens))


def measured(
    work: Callable[..., tuple[int, float]], corpus: Path, vocabulary: Path, processes: int, **options
) -> tuple[float, float, int, float]:
    """Returns (seconds, those until texts lay ready, tokens, peak GB) of a turn in a fresh process and empty folder."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    out = Path(tempfile.mkdtemp(prefix="bench-prepare-"))
    child = context.Process(target=turn, args=(work, there, (corpus, vocabulary, out, processes), options))
    child.start()
    there.close()
    peak, finished = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not finished.wait(0.05):
            peak = max(peak, resident_bytes(child.pid or 0))

    assert here.recv() == "ready"
    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds, ready_after, tokens = here.recv()
    finished.set()
    watcher.join()
    child.join()
    shutil.rmtree(out)
    return seconds, ready_after, tokens, peak / 1e9


def compare(corpus: Path, vocabulary: Path) -> str:
    """Returns what was compared, once it was found equal."""
    import numpy as np

    from maskwise.lab.tokens.prepare import PrepareSettings, prepare
    from maskwise.lab.tokens.tokenizer import open_tokenizer

    tokenizer, texts = open_tokenizer(str(vocabulary)), read_documents(corpus)
    with tempfile.TemporaryDirectory() as folder:
        made = {
            mode: prepare(
                PrepareSettings(
                    sources=(str(corpus),), out=Path(folder, mode), tokenizer=str(vocabulary), block=BLOCK, mode=mode,
                    valid_share=0, min_words=1, keep_duplicates=True,
                ),
                show=False,
            )
            for mode in ("concat", "document")
        }  # fmt: skip
        rows = [tokenizer(texts[at : at + 1000])["input_ids"] for at in range(0, len(texts), 1000)]
        rows = [row for part in rows for row in part]
        layout = np.array([tokenizer.cls_token_id, tokenizer.sep_token_id])
        theirs = np.concatenate([np.array(row[1:-1], np.int32) for row in rows])
        concat = np.concatenate(made["concat"].train.with_format("numpy")["input_ids"])
        assert np.array_equal(concat[~np.isin(concat, layout)], theirs[~np.isin(theirs, layout)])
        short = [row for row in rows if len(row) <= BLOCK]
        ours_by_row = set(map(tuple, made["document"].train["input_ids"]))
        assert all(tuple(row) in ours_by_row for row in short)
    return (
        f"equal: {len(theirs):,} tokens of the concat stream; {len(short):,} of {len(rows):,} documents as single rows"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--corpus", default="wiki_simple/train.txt.xz")
    parser.add_argument(
        "--times", type=int, default=10, help="how often the corpus is repeated for the memory check; 0: not"
    )
    options = parser.parse_args()
    from common import commit, processor  # here, so that the processes which this file starts need not import torch

    root = Path(os.environ["MASKWISE_DATA"])
    corpus, vocabulary = root / options.corpus, root / "vocab" / "bert-base-uncased-vocab.txt"
    print(
        f"command: python benchmarks/prepare.py {json.dumps(vars(options))}\ncommit: {commit()}\n"
        f"machine: {processor()}, {os.cpu_count()} cores"
    )
    print(compare(corpus, vocabulary), flush=True)
    ratios, map_ratios = [], []
    for number in range(options.turns):
        stock_seconds, ready_after, stock_tokens, stock_peak = measured(stock, corpus, vocabulary, options.processes)
        seconds, _, tokens, peak = measured(ours, corpus, vocabulary, options.processes)
        print(
            f"turn {number} stock {stock_tokens:,} tokens {stock_seconds:5.1f} s ({ready_after:.1f} s to a data set of "
            f"texts) {stock_tokens / stock_seconds:9,.0f} tokens/s, peak {stock_peak:.2f} GB\n"
            f"       ours  {tokens:,} tokens {seconds:5.1f} s {tokens / seconds:9,.0f} tokens/s, peak {peak:.2f} GB",
            flush=True,
        )
        ratios.append(tokens / seconds / (stock_tokens / stock_seconds))
        map_ratios.append(tokens / seconds / (stock_tokens / (stock_seconds - ready_after)))
    for name, values in (("", ratios), (", its data set of texts for free", map_ratios)):
        turns = ", ".join(f"{value:.2f}" for value in values)
        print(f"tokens/s over stock{name}: median {statistics.median(values):.2f} ({turns})", flush=True)
    if options.times:
        seconds, _, tokens, peak = measured(ours, corpus, vocabulary, options.processes, times=options.times)
        print(f"{options.times} times over, --keep-duplicates: {tokens:,} tokens {seconds:.1f} s, peak {peak:.2f} GB")


if __name__ == "__main__":
    main()
