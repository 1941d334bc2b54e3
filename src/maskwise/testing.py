"""The contract every score must pass, for those who write one, and a tokenizer and a model of a few words to try it on.

Shapes: B sequences, T positions; a suffix L marks one row's text without its padding.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from maskwise.masking.corrupt import IGNORE
from maskwise.masking.masker import UNITS, Masker
from maskwise.masking.pick import STRATEGIES
from maskwise.masking.score import Score, ScoreTree, all_scores, as_score
from maskwise.masking.score_context import TrainState
from maskwise.masking.vocabulary import padding_id

if TYPE_CHECKING:
    from transformers import BertForMaskedLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
PICKS = (*STRATEGIES, "alternating")
SIDES = ("right", "left")


def word_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """Returns a tokenizer that knows the words of a text, in memory and within a millisecond: for examples and tests.

    Args:
        text: Words between spaces. The ids of [PAD], [UNK], [CLS], [SEP] and [MASK] are 0 to 4, those of the words go
            on from 5 in the order of their first occurrence.

    Returns:
        A fast tokenizer that puts [CLS] and [SEP] around a text.

    >>> word_tokenizer("to be or not to be")("not to be")["input_ids"]
    [2, 8, 5, 6, 3]
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = dict.fromkeys([*SPECIAL_TOKENS.values(), *text.split()])
    ids = {token: number for number, token in enumerate(names)}
    core = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    roles = {f"{role}_token": token for role, token in SPECIAL_TOKENS.items()}
    return PreTrainedTokenizerFast(tokenizer_object=core, **roles)


def tiny_model(tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> BertForMaskedLM:
    """Returns a masked language model of one layer of 16 that has learned nothing: for examples and tests.

    Args:
        tokenizer: What it reads, texts of at most 128 tokens.
        seed: Of its weights; the global random state is left as it is.

    >>> tiny_model(word_tokenizer("a b")).config.vocab_size
    7
    """
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
        pad_token_id=padding_id(tokenizer),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForMaskedLM(config)


def check_score(
    score: Score,
    tokenizer: PreTrainedTokenizerBase,
    *,
    num_batches: int = 5,
    seed: int = 0,
    batches: Iterable[Mapping[str, Tensor]] | None = None,
    model: nn.Module | None = None,
    state: TrainState = TrainState(),
    row_by_row: bool = True,
    padding_sides: tuple[str, ...] = SIDES,
    tolerance: float = 1e-4,
) -> None:
    """Raises AssertionError, saying what is wrong, unless `score` keeps the contract of every score.

    On random batches, and on rows of one token, of special tokens alone, and of nothing to mask, a score must return
    one finite number a token [B, T], without gradient; give the same numbers for the same batch, for a row alone as
    for a row among others, and whatever the padding; leave the batch, the random states, and the mode and gradients
    of its model as they were; survive its own `state_dict`; and work with every unit and pick.

    `batches`: your own in place of random ones, for a score that knows only some examples. `model`: bound to the
    score. `row_by_row=False`: the score may depend on the other rows of its batch.
    `padding_sides=("right",)`: for a model with absolute positions, which left padding shifts. `tolerance`: how far
    equal scores may lie apart, relative to 1 + |score|.

    >>> tokenizer = word_tokenizer("a b")
    >>> check_score(lambda batch: batch["input_ids"] % 7, tokenizer)
    >>> check_score(lambda batch: torch.rand(batch["input_ids"].shape), tokenizer)
    Traceback (most recent call last):
        ...
    AssertionError: The score '<lambda>' must leave torch's random state alone.
    """
    whole = as_score(score)
    if model is not None:
        for part in all_scores(whole):
            part.bind(model, tokenizer)
    if batches is None:
        batches = [*edge_batches(tokenizer), *random_batches(tokenizer, num_batches, seed, padding_sides)]
    for batch in batches:
        check_score_on(
            score,
            tokenizer,
            batch,
            model=model,
            state=state,
            row_by_row=row_by_row,
            padding_sides=padding_sides,
            tolerance=tolerance,
        )


def check_score_on(
    score: Score,
    tokenizer: PreTrainedTokenizerBase,
    batch: Mapping[str, Tensor],
    *,
    model: nn.Module | None = None,
    state: TrainState = TrainState(),
    row_by_row: bool = True,
    padding_sides: tuple[str, ...] = SIDES,
    tolerance: float = 1e-4,
) -> None:
    """Raises AssertionError unless `score` keeps the contract on one batch; the arguments are `check_score`'s.

    `batch` has `input_ids`, `attention_mask`, `word_ids` and `example_id`, as `make_batch` makes it.
    """
    prepared = Masker(score, tokenizer).prepare(batch, state)
    scores_BT = _check_side_effects(score, prepared, _modules(score, model))
    _check_values(score, prepared, scores_BT)
    _check_repeats(score, prepared, scores_BT)
    others = list(_repadded(tokenizer, batch, padding_sides))
    if row_by_row:
        others += _single_rows(tokenizer, batch)
    for what, other in others:
        again_BT = score(Masker(score, tokenizer).prepare(other, state))
        _check_same_text(score, prepared, scores_BT, other, again_BT, what, tolerance)
    _check_masks(score, tokenizer, batch, state)


def random_batches(
    tokenizer: PreTrainedTokenizerBase, num_batches: int, seed: int = 0, sides: tuple[str, ...] = SIDES
) -> Iterator[dict[str, Tensor]]:
    """Yields batches of 1 to 4 random rows, 1 to 12 tokens each, with words, padding and example ids."""
    generator, ids = random.Random(seed), sorted(tokenizer.get_vocab().values())
    for _ in range(num_batches):
        lengths = [generator.randint(1, 12) for _ in range(generator.randint(1, 4))]
        rows = [[generator.choice(ids) for _ in range(length)] for length in lengths]
        yield make_batch(tokenizer, rows, side=generator.choice(sides), first_example=generator.randrange(1000))


def edge_batches(tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Tensor]]:
    """Returns the batches scores tend to forget: one token, special tokens alone, and both next to a longer row."""
    special = sorted(set(tokenizer.all_special_ids))
    ordinary = [i for i in sorted(tokenizer.get_vocab().values()) if i not in special][:6]
    rows = [ordinary[:1]], [special], [special[:1], ordinary, special, ordinary[:1]]
    return [make_batch(tokenizer, batch_rows) for batch_rows in rows]


def make_batch(
    tokenizer: PreTrainedTokenizerBase,
    rows: list[list[int]],
    word_ids: list[list[int]] | None = None,
    *,
    side: str = "right",
    num_extra: int = 0,
    example_ids: list[int] | None = None,
    first_example: int = 0,
) -> dict[str, Tensor]:
    """Returns rows of token ids as a batch padded on `side`, `num_extra` columns wider than the longest row.

    Where `word_ids` are not given, words have two pieces, and special tokens belong to none.
    """
    special = set(tokenizer.all_special_ids)
    if word_ids is None:
        word_ids = [[-1 if token in special else i // 2 for i, token in enumerate(row)] for row in rows]
    if example_ids is None:
        example_ids = list(range(first_example, first_example + len(rows)))
    width = max(map(len, rows)) + num_extra

    def pad(values: list[list[int]], fill: int) -> Tensor:
        fills = [[fill] * (width - len(row)) for row in values]
        return torch.tensor([f + row if side == "left" else row + f for f, row in zip(fills, values, strict=True)])

    return {
        "input_ids": pad(rows, padding_id(tokenizer)),
        "attention_mask": pad([[1] * len(row) for row in rows], 0),
        "word_ids": pad(word_ids, -1),
        "example_id": torch.tensor(example_ids),
    }


def _check_side_effects(score: Score, prepared: dict[str, Any], modules: list[nn.Module]) -> Tensor:
    before = _surroundings(prepared, modules)
    scores_BT = score(prepared)
    after = _surroundings(prepared, modules)
    for what, state in before.items():
        _require(_equal(state, after[what]), score, f"must leave {what} alone.")
    return scores_BT


def _surroundings(prepared: dict[str, Any], modules: list[nn.Module]) -> dict[str, Any]:
    """What a score must not touch, by a name that ends the sentence "must leave ... alone"."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return {
        "the batch": {key: value.clone() if isinstance(value, Tensor) else value for key, value in prepared.items()},
        "torch's random state": torch.get_rng_state(),
        "CUDA's random state": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy's random state": np.random.get_state(),
        "python's random state": random.getstate(),
        "the mode of its model": [part.training for module in modules for part in module.modules()],
        "the weights of its model": [parameter.detach().clone() for parameter in parameters],
        "the gradients of its model": [None if p.grad is None else p.grad.clone() for p in parameters],
    }


def _check_values(score: Score, prepared: dict[str, Any], scores_BT: Tensor) -> None:
    shape, eligible_BT = tuple(prepared["input_ids"].shape), prepared["eligible"]
    _require(isinstance(scores_BT, Tensor), score, f"must return a tensor; found {type(scores_BT).__name__}.")
    found = tuple(scores_BT.shape)
    _require(found == shape, score, f"must return one number a token, shape {shape}; found {found}.")
    _require(not scores_BT.requires_grad, score, "must return numbers without gradient: score under torch.no_grad().")
    bad_B = (torch.isnan(scores_BT) & eligible_BT).any(dim=-1)
    _require(
        not bad_B.any(), score, f"must be -inf, inf or finite at every eligible token; rows {_rows(bad_B)} are not."
    )


def _check_repeats(score: Score, prepared: dict[str, Any], scores_BT: Tensor) -> None:
    eligible_BT = prepared["eligible"]
    _require(
        torch.equal(score(prepared)[eligible_BT], scores_BT[eligible_BT]),
        score,
        "must give the same numbers for the same batch; a second call gave others.",
    )
    tree = ScoreTree(as_score(score))
    tree.load_state_dict(tree.state_dict())
    same = torch.equal(score(prepared)[eligible_BT], scores_BT[eligible_BT])
    _require(same, score, "must give the same numbers after load_state_dict(state_dict()).")


def _repadded(
    tokenizer: PreTrainedTokenizerBase, batch: Mapping[str, Tensor], sides: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    rows, word_ids = _texts(batch, "input_ids"), _texts(batch, "word_ids")
    for side in sides:
        for num_extra in (0, 3):
            padded = make_batch(
                tokenizer, rows, word_ids, side=side, num_extra=num_extra, example_ids=batch["example_id"].tolist()
            )
            yield f"with {num_extra} more columns of padding on the {side}", padded


def _single_rows(
    tokenizer: PreTrainedTokenizerBase, batch: Mapping[str, Tensor]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    texts = zip(_texts(batch, "input_ids"), _texts(batch, "word_ids"), batch["example_id"].tolist(), strict=True)
    for row, word_ids, example_id in texts:
        yield "in a batch of its own", make_batch(tokenizer, [row], [word_ids], example_ids=[example_id])


def _check_same_text(
    score: Score,
    prepared: dict[str, Any],
    scores_BT: Tensor,
    other: Mapping[str, Tensor],
    again_BT: Tensor,
    what: str,
    tolerance: float,
) -> None:
    """Rows are matched by example id, and compared at the tokens that may be masked."""
    for i, example_id in enumerate(other["example_id"].tolist()):
        row = prepared["example_id"].tolist().index(example_id)
        eligible_L = prepared["eligible"][row][prepared["attention_mask"][row].bool()]
        first_L = scores_BT[row][prepared["attention_mask"][row].bool()][eligible_L].double()
        again_L = again_BT[i][other["attention_mask"][i].bool()][eligible_L].double()
        apart_L = torch.where(first_L == again_L, 0.0, (first_L - again_L).abs() / (1 + first_L.abs()))
        largest = apart_L.max().item() if len(apart_L) else 0.0
        _require(largest <= tolerance, score, f"must give row {row} the same numbers {what}; {largest:.2g} apart.")


def _check_masks(
    score: Score, tokenizer: PreTrainedTokenizerBase, batch: Mapping[str, Tensor], state: TrainState
) -> None:
    for unit in UNITS:
        for pick in PICKS:
            masker = Masker(score, tokenizer, unit=unit, pick=pick, rate=0.3)
            labels_BT, prepared = masker(batch, state)["labels"], masker.prepare(batch, state)
            eligible_BT, may_not_BT = prepared["eligible"], masker.scores(prepared) == -torch.inf
            masked_B, eligible_B = (labels_BT != IGNORE).sum(-1), eligible_BT.sum(-1)
            _require(not (labels_BT != IGNORE)[~eligible_BT].any(), score, f"masked a special token ({unit}, {pick}).")
            missed_B = (masked_B == 0) & (eligible_B > 0) & ~(may_not_BT & eligible_BT).any(-1)
            _require(not missed_B.any(), score, f"masked nothing in rows {_rows(missed_B)} ({unit}, {pick}).")


def _texts(batch: Mapping[str, Tensor], key: str) -> list[list[int]]:
    masks = batch["attention_mask"].bool()
    return [values[mask].tolist() for values, mask in zip(batch[key], masks, strict=True)]


def _modules(score: Score, model: nn.Module | None) -> list[nn.Module]:
    """The models a score holds, as far as they can be seen, and the one it was bound to."""
    held = [value for value in getattr(score, "__dict__", {}).values() if isinstance(value, nn.Module)]
    return held if model is None else [*held, model]


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and torch.equal(first, second)
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_equal, first, second))
    return first == second


def _rows(bad_B: Tensor) -> str:
    return ", ".join(map(str, bad_B.nonzero().flatten().tolist()))


def _require(holds: bool, score: Score, text: str) -> None:
    if not holds:
        raise AssertionError(f"The score {as_score(score).name!r} {text}")
