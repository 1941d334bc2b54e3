"""What the benchmarks share: the machine in words, a tokenizer and text without a network."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast


def machine() -> str:
    """Returns the date-independent facts a number needs: processor, cores, threads, torch, commit."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].partition(":")[2].strip() if names else platform.processor()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    cuda = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{processor}, {len(names)} cores{cuda}, torch {torch.__version__}, commit {commit.strip() or 'unknown'}"


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


def random_text(tokenizer: PreTrainedTokenizerFast, batch: int, length: int, seed: int = 0) -> Tensor:
    """Returns [batch, length] ids of full blocks: [CLS], ordinary tokens, [SEP]."""
    generator = torch.Generator().manual_seed(seed)
    ids_BT = torch.randint(5, len(tokenizer), (batch, length), generator=generator)
    ids_BT[:, 0], ids_BT[:, -1] = tokenizer.cls_token_id, tokenizer.sep_token_id
    return ids_BT
