"""The tokenizer of a data folder: loaded, built from a BERT vocabulary file, or trained."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from maskwise.errors import InputError
from maskwise.masking.vocabulary import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TokenizerKind = Literal["wordpiece", "byte-bpe"]
BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
MAX_ALPHABET = 1000


def open_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Returns the fast tokenizer of a hub name, a folder, or a BERT vocabulary file (`.txt`, one token a line).

    A vocabulary file without capital letters makes an uncased tokenizer.
    Raises InputError if there is none, where it has no fast version, or lacks a mask, start or end token.
    """
    if name.endswith(".txt"):
        return checked_tokenizer(_from_vocabulary_file(Path(name)), name)
    try:
        tokenizer = load_tokenizer(name)
    except InputError as error:
        raise InputError(
            f"cannot load a tokenizer from {name!r}: {error}\n"
            "Give a folder with tokenizer.json, a hub name, or a BERT vocabulary file (.txt)."
        ) from error
    return checked_tokenizer(tokenizer, name)


def checked_tokenizer(tokenizer, name: str) -> PreTrainedTokenizerFast:
    """Returns the tokenizer, set to read whole texts as they are, if masked training is possible with it.

    Raises InputError if it is slow (no word ids), or without a mask token or tokens to open and close a block.
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"the tokenizer {name!r} ({type(tokenizer).__name__}) has no fast version, so no word ids.\n"
            "Convert it (a tokenizer.json), or choose another."
        )
    if tokenizer.mask_token_id is None:
        specials = ", ".join(tokenizer.all_special_tokens) or "none"
        raise InputError(
            f"the tokenizer {name!r} has no mask token (special tokens found: {specials}).\n"
            "Choose one of a masked language model, or train one with --train-tokenizer."
        )
    block_borders(tokenizer)
    return tokenizer


def block_borders(tokenizer: PreTrainedTokenizerFast) -> tuple[int, int]:
    """Returns the ids that open and close a block: [CLS] and [SEP], or else the tokens that begin and end a sequence.

    Raises InputError if the tokenizer has neither pair.
    """
    for first, last in (
        (tokenizer.cls_token_id, tokenizer.sep_token_id),
        (tokenizer.bos_token_id, tokenizer.eos_token_id),
    ):
        if isinstance(first, int) and isinstance(last, int):
            return first, last
    specials = ", ".join(tokenizer.all_special_tokens) or "none"
    raise InputError(f"the tokenizer has no tokens to open and close a block, as [CLS] and [SEP]; found: {specials}.")


def plain_backend(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """Returns a copy of the tokenizer's core that neither truncates nor pads, and reads "[MASK]" in a text as text."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    return backend


def tokenizer_hash(tokenizer: PreTrainedTokenizerFast) -> str:
    """Returns the sha256 of what the ids mean: every token with its id, and the ids of the special tokens.

    Equal for a tokenizer and its saved and reloaded copy, whatever version of the libraries wrote it.
    """
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    specials = [tokenizer.mask_token_id, *block_borders(tokenizer)]
    return hashlib.sha256(json.dumps([vocabulary, specials], ensure_ascii=False).encode()).hexdigest()


def _from_vocabulary_file(path: Path) -> PreTrainedTokenizerFast:
    try:
        tokens = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the vocabulary file {path}: {error}.") from error
    missing = [token for token in BERT_SPECIALS if token not in tokens]
    if missing:
        raise InputError(f"the vocabulary {path} has no {', '.join(missing)}; a BERT vocabulary has one token a line.")
    if repeated := [token for token, count in Counter(tokens).items() if count > 1]:
        raise InputError(f"the vocabulary {path} names {len(repeated)} tokens twice, the first is {repeated[0]!r}.")
    uncased = all(token == token.lower() for token in tokens if not token.startswith("["))
    return _bert({token: number for number, token in enumerate(tokens)}, lowercase=uncased)


def _bert(vocabulary: dict[str, int], *, lowercase: bool) -> PreTrainedTokenizerFast:
    from transformers import BertTokenizer

    return BertTokenizer(vocab=vocabulary, do_lower_case=lowercase)  # type: ignore[return-value]


def train_tokenizer(
    texts: Callable[[], Iterator[str]], size: int, kind: TokenizerKind = "wordpiece", *, lowercase: bool = True
) -> PreTrainedTokenizerFast:
    """Returns a tokenizer of at most `size` tokens trained on the texts: the same one for the same texts, every time.

    Args:
        texts: Begins a new pass over the texts whenever it is called.
        size: The most tokens that the vocabulary has, special ones included.
        kind: WordPiece is BERT's, byte-level BPE RoBERTa's.
        lowercase: Whether a WordPiece tokenizer makes text lower-case and strips accents, as BERT's uncased one does.

    Raises:
        InputError: If `size` leaves no room beyond the special tokens and the alphabet.
    """
    return _train_wordpiece(texts, size, lowercase) if kind == "wordpiece" else _train_byte_bpe(texts, size)


def _train_wordpiece(texts: Callable[[], Iterator[str]], size: int, lowercase: bool) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    alphabet = _alphabet(texts(), core, limit=min(MAX_ALPHABET, size // 4))
    # The trainer numbers "##x" in the order of a randomly seeded hash table, and breaks ties by number. Handing these
    # tokens in first, in order, is what makes the result the same every time.
    inner = [f"##{letter}" for letter in alphabet if _continues_a_word(core, letter)]
    _require_room(size, len(BERT_SPECIALS) + len(alphabet) + len(inner))
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[*BERT_SPECIALS, *inner],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    core.train_from_iterator(texts(), trainer)
    return _bert(core.get_vocab(), lowercase=lowercase)


def _continues_a_word(core: Tokenizer, letter: str) -> bool:
    """Returns False for punctuation and Chinese characters: each is a word by itself."""
    return len(core.pre_tokenizer.pre_tokenize_str(core.normalizer.normalize_str(f"a{letter}"))) == 1


def _alphabet(texts: Iterator[str], core: Tokenizer, limit: int) -> list[str]:
    raw: Counter[str] = Counter()
    for text in texts:
        raw.update(text)
    letters: Counter[str] = Counter()
    for character, count in raw.items():
        for letter in core.normalizer.normalize_str(character):
            letters[letter] += count
    frequent = sorted((letter for letter in letters if not letter.isspace()), key=lambda x: (-letters[x], x))
    return sorted(frequent[:limit])


def _train_byte_bpe(texts: Callable[[], Iterator[str]], size: int) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    _require_room(size, len(ROBERTA_SPECIALS) + len(alphabet))
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        texts(),
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(ROBERTA_SPECIALS),
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    start, pad, end, unknown, mask = ROBERTA_SPECIALS
    ids = {token: number for number, token in enumerate(ROBERTA_SPECIALS)}  # special tokens are numbered first
    core.post_processor = processors.RobertaProcessing((end, ids[end]), (start, ids[start]), add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, cls_token=start, bos_token=start, sep_token=end, eos_token=end, pad_token=pad,
        unk_token=unknown, mask_token=mask,
    )  # fmt: skip


def _require_room(size: int, needed: int) -> None:
    if size <= needed:
        raise InputError(
            f"a vocabulary of {size} has no room for words: special tokens and alphabet take {needed}.\n"
            f"Give --train-tokenizer at least {2 * needed}."
        )
