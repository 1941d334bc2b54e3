"""The masked-LM head of any encoder, run only on the rows asked for.

Shapes: B sequences, T positions, R rows asked for (row-major over [B, T]), D the width that reaches the decoder,
V vocabulary. With 15% of the tokens labelled, a head over the labelled rows costs 15% of a dense one, and the head is
more than half of a small encoder's arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from maskwise.errors import InputError
from maskwise.masking.rows import Rows
from maskwise.models.forward_inputs import named_inputs, without_refused

NUM_CHECKED_ROWS = 4
LIKE_BERT = frozenset({"bert", "camembert", "electra", "ernie", "roberta", "xlm-roberta"})


class DecoderInputs(NamedTuple):
    """What the logits are made of: logits_RV = hidden_RD @ weight_VD.T + bias_V, to be taken in pieces."""

    hidden_RD: Tensor
    weight_VD: Tensor
    bias_V: Tensor | None


def sparse_logits(model: nn.Module, inputs: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """Returns the model's logits [R, V] of the chosen rows: `SparseHead(model).logits(inputs, rows)`."""
    return SparseHead(model).logits(inputs, rows)


class SparseHead:
    """Runs a masked-LM's body over whole sequences and its own head over chosen rows, with gradients.

    Works on any encoder of `AutoModelForMaskedLM` by cutting the body's output down to the rows while a call lasts, so
    the head needs no code of ours. The model may be wrapped (DistributedDataParallel, `torch.compile`): the wrapper is
    what gets called, so its own hooks run. Nothing stays behind on the model after a call, nor after an exception.

    Rows are a bool mask [B, T], flat int64 indices into B * T, or `models.rows.Rows`. A mask has to be counted, which
    makes a GPU wait; who knows how many there can be passes `Rows.of(mask, at_most)` and waits for nothing.

    Raises InputError for a model without a separate body.

    >>> from transformers import BertConfig, BertForMaskedLM
    >>> config = BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    >>> rows_BT = torch.tensor([[False, True, True], [True, False, False]])
    >>> SparseHead(BertForMaskedLM(config)).logits({"input_ids": torch.ones(2, 3, dtype=torch.long)}, rows_BT).shape
    torch.Size([3, 50])
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.unwrapped = unwrapped(model)
        self.body = self.unwrapped.base_model
        self.named_inputs = named_inputs(self.unwrapped)
        self._cut_at: nn.Module = self.body
        self._cut, self._tap = _Cut(), _Tap(num_rows=0)
        self._is_checked = False
        self._added_biases: list[Tensor] | None = None
        if self.body is self.unwrapped:
            name = type(self.unwrapped).__name__
            raise InputError(f"{name} has no body apart from its head. Load it with AutoModelForMaskedLM.")

    @contextmanager
    def only(self, rows: Tensor | Rows) -> Iterator[None]:
        """Makes every call of the model inside the `with` block return logits [1, R, V] of these rows alone."""
        if isinstance(rows, Tensor) and rows.dtype == torch.bool:
            rows = Rows.of(rows)
        self._cut.index_R, self._cut.shape = (
            (rows, None) if isinstance(rows, Tensor) else (rows.safe_index_R, rows.shape)
        )
        with _standing_in(self._cut_at, self._cut):
            yield

    @torch.no_grad()
    def cut_early(self, inputs: Mapping[str, Tensor], rows: Tensor | Rows) -> bool:
        """Cuts after the last attention, instead of after the body, from now on, if the logits of `rows` stay the same.

        In BERT and its relatives everything after the last attention works on each position by itself: run on the rows
        alone, a model of two layers saves a third of its body. Other architectures, which may pad inside or add the
        attention to what they had, are left as they are. Call it in eval mode. Returns whether the cut is early.
        """
        if getattr(self.unwrapped.config, "model_type", None) not in LIKE_BERT:
            return False
        attentions = [module for name, module in self.body.named_modules() if name.endswith(".attention")]
        expected_RV = self.logits(inputs, rows)
        self._cut_at = attentions[-1]
        try:
            is_same = _equal_to_rounding(self.logits(inputs, rows), expected_RV)
        except Exception:  # a subclass may stumble over the other shape in any way
            is_same = False
        self._cut_at = self._cut_at if is_same else self.body
        return is_same

    def logits(self, inputs: Mapping[str, Tensor], rows: Tensor | Rows) -> Tensor:
        """Returns logits [R, V], equal to the dense ones at `rows`. Pass no labels: the loss is the caller's."""
        with self.only(rows):
            return self.model(**without_refused(inputs, self.named_inputs))[0].squeeze(0)

    def decoder_inputs(self, inputs: Mapping[str, Tensor], rows: Tensor | Rows) -> DecoderInputs | None:
        """Returns the rows that reach the decoder, its weight and its bias, without computing any logits.

        With them a caller streams over rows or vocabulary, and [R, V] never exists. Each has the dtype it has in the
        model, so under autocast the caller casts. Gradients flow through all three. None where `is_linear` is False:
        take `logits` of a few sequences at a time there.
        """
        if not self.is_linear(inputs):
            return None
        with self.before_decoder(rows) as taken:
            self.model(**without_refused(inputs, self.named_inputs))
            return taken()

    def is_linear(self, inputs: Mapping[str, Tensor]) -> bool:
        """Returns True where the logits are hidden @ weight.T + bias (not so for MobileBERT, Perceiver).

        It is found out on the first call, on four rows of its inputs.
        """
        if not self._is_checked:
            self._added_biases = self._find_added_biases(inputs)
            self._is_checked = True
        return self._added_biases is not None

    @contextmanager
    def before_decoder(self, rows: Tensor | Rows) -> Iterator[Callable[[], DecoderInputs]]:
        """Makes every call of the model inside the `with` block end before the decoder's product.

        What the last call would have multiplied is returned by the function yielded. Only where `is_linear`.
        """
        with self.only(rows), _standing_in(self.unwrapped.get_output_embeddings(), self._tap):
            yield self._taken

    def _taken(self) -> DecoderInputs:
        (hidden_1RD, _), self._tap.seen = self._tap.seen, ()
        decoder = self.unwrapped.get_output_embeddings()
        biases = [bias for bias in (decoder.bias, *(self._added_biases or ())) if bias is not None]
        return DecoderInputs(hidden_1RD.squeeze(0), decoder.weight, reduce(torch.add, biases) if biases else None)

    def _find_added_biases(self, inputs: Mapping[str, Tensor]) -> list[Tensor] | None:
        """Returns the biases that the head adds after its decoder (ESM has one), or None if it does more than that.

        Equal values would not do as a test: a bias is 0 in a new model and is not after a step of training. So the
        difference must also have no derivative by any parameter of the head, except for biases.
        """
        decoder = self.unwrapped.get_output_embeddings()
        if not isinstance(decoder, nn.Linear):
            return None
        in_body = {id(parameter) for parameter in self.body.parameters()}
        head = [p for p in self.unwrapped.parameters() if id(p) not in in_body and p is not decoder.bias]
        with _undisturbed(self.unwrapped), _requiring_grad(head):
            product_1RV, logits_1RV = self._first_rows(decoder, inputs)
            if product_1RV is None or product_1RV.shape != logits_1RV.shape:
                return None
            rest_1RV = logits_1RV - product_1RV
            slopes = torch.autograd.grad(rest_1RV.sum(), head, allow_unused=True) if head else ()
        num_rows, vocab_size = logits_1RV.shape[1:]
        added = [(p, slope) for p, slope in zip(head, slopes, strict=True) if _is_felt(slope)]
        if any(p.shape != (vocab_size,) or slope.ne(num_rows).any() for p, slope in added):
            return None
        rest_1RV = rest_1RV.detach() - sum(p.detach() for p, _ in added)
        tolerance = 16 * torch.finfo(product_1RV.dtype).eps * logits_1RV.abs().max()
        return [p for p, _ in added] if rest_1RV.abs().max() <= tolerance else None

    def _first_rows(self, decoder: nn.Linear, inputs: Mapping[str, Tensor]) -> tuple[Tensor | None, Tensor]:
        """Returns what the decoder makes of the first rows (None if it is not called), and their logits."""
        cut, tap = _ConstantCut(), _Tap(num_rows=None)
        num_positions = next(iter(inputs.values())).shape[:2].numel()
        cut.index_R = torch.arange(min(NUM_CHECKED_ROWS, num_positions), device=decoder.weight.device)
        with _standing_in(self.body, cut), _standing_in(decoder, tap):
            logits_1RV = self.unwrapped(**without_refused(inputs, self.named_inputs))[0]
        return (tap.seen[1] if tap.seen else None), logits_1RV


def unwrapped(model: Any) -> Any:
    """Returns the transformers model inside DistributedDataParallel, `torch.compile` and their like.

    >>> from transformers import BertConfig, BertModel
    >>> model = BertModel(BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    >>> unwrapped(torch.nn.DataParallel(model)) is model
    True
    """
    while (inner := getattr(model, "_orig_mod", None) or getattr(model, "module", None)) is not None:
        model = inner
    return model


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Puts the model into eval mode for a block; afterwards every module's mode and the random state are as before.

    >>> model = torch.nn.Dropout(0.5)
    >>> with evaluating(model):
    ...     model.training
    False
    >>> model.training
    True
    """
    modes = {module: module.training for module in model.modules()}
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


class _Cut:
    """Stands in for the body's forward and returns its first output [B, T, D] cut down to [1, R, D].

    Three axes, because some heads insist on them.
    """

    forward: Callable[..., Any]
    index_R: Tensor
    shape: torch.Size | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        output = self.forward(*args, **kwargs)
        hidden_BTD = output[0]
        if self.shape is not None and hidden_BTD.shape[:2] != self.shape:
            raise InputError(
                f"The rows are of shape {tuple(self.shape)}, the body gave {tuple(hidden_BTD.shape[:2])} positions. "
                "On several GPUs start one process for each (torchrun): DataParallel splits the batch and cannot work."
            )
        rows_1RD = hidden_BTD.flatten(0, 1).index_select(0, self.index_R)[None]
        if isinstance(output, tuple):
            return (rows_1RD, *output[1:])
        output[next(iter(output))] = rows_1RD
        return output


class _Tap:
    """Stands in for the decoder's forward; notes the rows that reach it and the product, made of `num_rows` of them.

    With none the product costs nothing and the model's forward still runs to its end, as its wrappers expect.
    """

    forward: Callable[..., Any]

    def __init__(self, num_rows: int | None) -> None:
        self.num_rows = num_rows
        self.seen: tuple[Tensor, ...] = ()

    def __call__(self, hidden_1RD: Tensor) -> Tensor:
        product_1RV = self.forward(hidden_1RD[:, : self.num_rows])
        self.seen = (hidden_1RD, product_1RV)
        return product_1RV


class _ConstantCut(_Cut):
    """A cut whose rows are constants to autograd: no activations of the body are kept."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return super().__call__(*args, **kwargs)


@contextmanager
def _standing_in(module: nn.Module, stand_in: Any) -> Iterator[None]:
    """Puts the stand-in where the module's forward is while the block lasts.

    A forward hook would be the usual way, but a model compiled earlier does not see a hook added later; and a stand-in
    that is a new object every time would have it compiled again every time.
    """
    own, stand_in.forward = vars(module).get("forward"), module.forward
    module.forward = stand_in
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


def _equal_to_rounding(found_RV: Tensor, expected_RV: Tensor) -> bool:
    tolerance = 64 * torch.finfo(expected_RV.dtype).eps * expected_RV.abs().max()
    return found_RV.shape == expected_RV.shape and bool((found_RV - expected_RV).abs().max() <= tolerance)


def _is_felt(slope: Tensor | None) -> bool:
    """Whether a derivative is more than the rounding of two equal terms that cancel."""
    return slope is not None and bool(slope.abs().max() > 1e-3)


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation with gradients, whatever the caller's contexts."""
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        yield


@contextmanager
def _requiring_grad(parameters: list[nn.Parameter]) -> Iterator[None]:
    flags = [parameter.requires_grad for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, flag in zip(parameters, flags, strict=True):
            parameter.requires_grad_(flag)
