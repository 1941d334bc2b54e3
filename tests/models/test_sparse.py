"""The sparse head against the dense one, over every architecture of transformers' masked-LM mapping.

Shapes: B sequences, T positions, R rows asked for, V vocabulary.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from architectures import ARCHITECTURES, LENGTH, VOCAB_SIZE, WITHOUT_DECODER, random_batch, random_model
from maskwise.errors import InputError
from maskwise.models.sparse import LIKE_BERT, SparseHead, sparse_logits


def gradients(model: nn.Module, logits_RV: Tensor, targets_R: Tensor) -> dict[str, Tensor | None]:
    model.zero_grad()
    F.cross_entropy(logits_RV.float(), targets_R, reduction="sum").backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_same_gradients(found: dict[str, Tensor | None], expected: dict[str, Tensor | None]) -> None:
    largest = max(gradient.abs().max() for gradient in expected.values() if gradient is not None)
    assert largest > 1e-3
    for name, gradient in expected.items():
        if gradient is None:
            assert found[name] is None, name
        else:
            # Where the exact gradient is zero (a key's bias), what there is is rounding of the others.
            atol = 1e-5 * max(gradient.abs().max().item(), 1e-3 * largest.item())
            torch.testing.assert_close(
                found[name], gradient, rtol=0, atol=atol, msg=lambda m, name=name: f"{name}: {m}"
            )


def test_every_architecture_of_the_masked_lm_mapping_is_tried():
    assert set(ARCHITECTURES) == set(MODEL_FOR_MASKED_LM_MAPPING_NAMES)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_and_every_gradient_equal_the_dense_ones(architecture):
    """A head that saw other rows, or an output that lost its graph, would train at a plausible-looking loss."""
    model, (inputs, rows_BT, targets_R) = random_model(architecture), random_batch()
    dense_RV = model(**inputs)[0][rows_BT]
    expected = gradients(model, dense_RV, targets_R)

    head = SparseHead(model)
    logits_RV = head.logits(inputs, rows_BT)
    torch.testing.assert_close(logits_RV, dense_RV, rtol=1e-5, atol=1e-5)
    assert_same_gradients(gradients(model, logits_RV, targets_R), expected)

    found = head.decoder_inputs(inputs, rows_BT)
    assert (found is None) == (architecture in WITHOUT_DECODER)
    if found is not None:
        logits_RV = F.linear(*found)
        torch.testing.assert_close(logits_RV, dense_RV, rtol=1e-5, atol=1e-5)
        assert_same_gradients(gradients(model, logits_RV, targets_R), expected)
    torch.testing.assert_close(model(**inputs)[0][rows_BT], dense_RV, rtol=0, atol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_early_cut_is_made_only_where_the_logits_stay_the_same(architecture):
    model, (inputs, rows_BT, _) = random_model(architecture), random_batch()
    head = SparseHead(model)
    with torch.no_grad():
        is_early = head.cut_early(inputs, rows_BT)
        other_inputs, other_rows_BT, _ = random_batch(seed=1)
        dense_RV = model(**other_inputs)[0][other_rows_BT]
        torch.testing.assert_close(head.logits(other_inputs, other_rows_BT), dense_RV, rtol=1e-5, atol=1e-5)
    assert is_early == (architecture in LIKE_BERT)
    assert not [name for name, module in model.named_modules() if "forward" in vars(module)]


def test_an_early_cut_of_a_model_that_changed_is_not_made():
    """A subclass may do more after its last attention than BERT does."""
    model, (inputs, rows_BT, _) = random_model("bert"), random_batch()
    mix = lambda module, args, output: output.cumsum(dim=1)  # noqa: E731
    model.bert.encoder.layer[-1].output.register_forward_hook(mix)
    with torch.no_grad():
        expected_RV = model(**inputs)[0][rows_BT]
        head = SparseHead(model)
        assert not head.cut_early(inputs, rows_BT)
        torch.testing.assert_close(head.logits(inputs, rows_BT), expected_RV, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("is_trainable", [True, False])
def test_a_bias_after_the_decoder_is_found_although_it_is_zero_in_a_new_model(is_trainable):
    """It would pass a comparison of values at the start, and every entropy would be wrong after the first step."""
    model, (inputs, rows_BT, _) = random_model("esm").requires_grad_(is_trainable), random_batch()
    with torch.no_grad():
        model.lm_head.bias.zero_()
    head = SparseHead(model)
    head.decoder_inputs(inputs, rows_BT)
    with torch.no_grad():
        model.lm_head.bias.normal_(generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(F.linear(*head.decoder_inputs(inputs, rows_BT)), model(**inputs).logits[rows_BT])
    assert model.lm_head.bias.requires_grad is is_trainable


def test_a_scale_after_the_decoder_is_found_although_it_is_one_in_a_new_model():
    class Scaled(nn.Module):
        def __init__(self, head):
            super().__init__()
            self.head, self.scale = head, nn.Parameter(torch.ones(()))

        def forward(self, hidden_BTD):
            return self.head(hidden_BTD) * self.scale

    model, (inputs, rows_BT, _) = random_model("bert"), random_batch()
    model.cls.predictions = Scaled(model.cls.predictions)
    model.get_output_embeddings = lambda: model.cls.predictions.head.decoder
    head = SparseHead(model)
    assert head.decoder_inputs(inputs, rows_BT) is None
    torch.testing.assert_close(head.logits(inputs, rows_BT), model(**inputs).logits[rows_BT])


def test_looking_for_added_biases_leaves_mode_and_random_state_alone():
    """A run that is resumed looks again; a draw spent on looking would make it another run."""
    model, (inputs, rows_BT, _) = random_model("bert", hidden_dropout_prob=0.5), random_batch()
    model.train()
    model.bert.embeddings.eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(3)
    first = SparseHead(model).decoder_inputs(inputs, rows_BT)
    torch.manual_seed(3)
    head = SparseHead(model)
    head._find_added_biases(inputs)
    head._find_added_biases(inputs)
    torch.testing.assert_close(head.decoder_inputs(inputs, rows_BT).hidden_RD, first.hidden_RD, rtol=0, atol=0)
    assert [module.training for module in model.modules()] == modes


def test_decoder_inputs_computes_no_logits():
    model, (inputs, rows_BT, _) = random_model("bert"), random_batch()
    head, made = SparseHead(model), []
    head.decoder_inputs(inputs, rows_BT)
    model.register_forward_hook(lambda module, args, output: made.append(output.logits.numel()))
    assert head.decoder_inputs(inputs, rows_BT).hidden_RD.shape == (rows_BT.sum(), 32)
    assert made == [0]


def test_flat_indices_give_the_rows_in_their_order():
    model, (inputs, rows_BT, _) = random_model("bert"), random_batch()
    index_R = rows_BT.flatten().nonzero()[:, 0].flip(0)
    logits_RV = sparse_logits(model, inputs, index_R)
    torch.testing.assert_close(logits_RV, model(**inputs).logits[rows_BT].flip(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_rows_give_no_logits_and_zero_gradients(architecture):
    """A micro-batch without a label is rare and real; under DistributedDataParallel it must still have a graph."""
    model, (inputs, rows_BT, _) = random_model(architecture), random_batch()
    logits_RV = SparseHead(model).logits(inputs, torch.zeros_like(rows_BT))
    assert logits_RV.shape == (0, VOCAB_SIZE)
    logits_RV.sum().backward()
    found = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert found
    assert not any(gradient.any() for gradient in found)


@pytest.mark.parametrize("architecture", ["bert", "esm", "modernbert", "albert", "mobilebert"])
@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_autocast_gives_the_dense_logits_in_every_gradient_mode(architecture, context):
    model, (inputs, rows_BT, _) = random_model(architecture), random_batch()
    with context(), torch.autocast("cpu", dtype=torch.bfloat16):
        dense_RV = model(**inputs).logits[rows_BT]
        head = SparseHead(model)
        torch.testing.assert_close(head.logits(inputs, rows_BT), dense_RV, rtol=2e-2, atol=2e-2)
        found = head.decoder_inputs(inputs, rows_BT)
        if found is not None:
            torch.testing.assert_close(F.linear(*found).to(dense_RV.dtype), dense_RV, rtol=2e-2, atol=2e-2)
    assert (found is None) == (architecture in WITHOUT_DECODER)


@pytest.fixture
def accelerator():
    AcceleratorState._reset_state(reset_partial_state=True)  # another test may have left one
    yield Accelerator(mixed_precision="bf16", cpu=True)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("architecture", ["bert", "esm"])
def test_a_model_prepared_by_accelerate_in_bfloat16_has_decoder_inputs(architecture, accelerator):
    """Accelerate puts autocast into the model's own forward, where the caller's contexts do not reach."""
    model, (inputs, rows_BT, _) = random_model(architecture), random_batch()
    prepared = accelerator.prepare(model)
    dense_RV = prepared(**inputs).logits[rows_BT]
    torch.testing.assert_close(SparseHead(prepared).logits(inputs, rows_BT), dense_RV, rtol=2e-2, atol=2e-2)
    hidden_RD, weight_VD, bias_V = SparseHead(model).decoder_inputs(inputs, rows_BT)
    torch.testing.assert_close(F.linear(hidden_RD.float(), weight_VD, bias_V), dense_RV, rtol=2e-2, atol=2e-2)


def test_a_bfloat16_model_has_decoder_inputs_too():
    model, (inputs, rows_BT, _) = random_model("esm").bfloat16(), random_batch()
    found = SparseHead(model).decoder_inputs(inputs, rows_BT)
    torch.testing.assert_close(F.linear(*found), model(**inputs).logits[rows_BT], rtol=2e-2, atol=2e-2)


def test_an_exception_leaves_the_model_as_it_was():
    model, (inputs, rows_BT, _) = random_model("bert"), random_batch()
    dense_BTV = model(**inputs).logits
    head = SparseHead(model)
    before = [dict(vars(module)) for module in model.modules()]
    with pytest.raises(IndexError):
        head.decoder_inputs({"input_ids": inputs["input_ids"] + VOCAB_SIZE}, rows_BT)
    with pytest.raises(IndexError):
        head.logits({"input_ids": inputs["input_ids"] + VOCAB_SIZE}, rows_BT)
    assert [dict(vars(module)) for module in model.modules()] == before
    torch.testing.assert_close(model(**inputs).logits, dense_BTV, rtol=0, atol=0)


def test_a_forward_that_somebody_else_put_on_the_body_is_used_and_kept():
    model, (inputs, rows_BT, _) = random_model("bert"), random_batch()
    calls, forward = [], model.bert.forward
    model.bert.forward = own = lambda *args, **kwargs: calls.append(1) or forward(*args, **kwargs)
    SparseHead(model).logits(inputs, rows_BT)
    assert calls == [1]
    assert model.bert.forward is own


def test_distributed_data_parallel_reduces_the_gradients(tmp_path):
    """Calling the inner model would train each process on its own, silently."""
    model, (inputs, rows_BT, targets_R) = random_model("bert"), random_batch()
    expected = gradients(model, model(**inputs).logits[rows_BT], targets_R)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped, reduced = nn.parallel.DistributedDataParallel(model), []

        def reduce(state, bucket):
            reduced.append(bucket.buffer().numel())
            done = torch.futures.Future()
            done.set_result(bucket.buffer())
            return done

        wrapped.register_comm_hook(None, reduce)
        head = SparseHead(wrapped)
        assert_same_gradients(gradients(model, head.logits(inputs, rows_BT), targets_R), expected)
        assert_same_gradients(gradients(model, F.linear(*head.decoder_inputs(inputs, rows_BT)), targets_R), expected)
        assert sum(reduced) == 2 * sum(parameter.numel() for parameter in model.parameters())
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("is_warm", [False, True])
def test_a_compiled_model_runs_its_head_on_the_rows_and_is_not_compiled_anew_for_each_batch(is_warm):
    """A compiled model ignores hooks added after its first call: every loss would be one over all positions."""
    model, (inputs, _, _) = random_model("bert"), random_batch()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(model, backend="eager")
    if is_warm:
        compiled(**inputs)
    head = SparseHead(compiled)
    for seed in range(6):
        inputs, rows_BT, _ = random_batch(seed)
        dense_RV = model(**inputs).logits[rows_BT]
        torch.testing.assert_close(head.logits(inputs, rows_BT), dense_RV, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(F.linear(*head.decoder_inputs(inputs, rows_BT)), dense_RV, rtol=1e-5, atol=1e-5)
    assert compiled(**inputs).logits.shape == (3, LENGTH, VOCAB_SIZE)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 6


def test_rows_of_another_shape_than_the_batch_are_an_error():
    """DataParallel hands each GPU a part of the batch: the rows of the whole would be taken from the wrong tokens."""
    model, (inputs, rows_BT, _) = random_model("bert"), random_batch()
    with pytest.raises(InputError, match=r"\(2, 12\).*\(3, 12\)(.|\n)*torchrun"):
        SparseHead(model).logits(inputs, rows_BT[:2])


def test_a_model_without_a_head_is_an_error():
    with pytest.raises(InputError, match="BertModel has no body apart from its head"):
        SparseHead(random_model("bert").bert)
