"""Entropy, surprisal and log Z against float64 written out, at every size, in both ways, and in bounded memory.

Shapes: R rows, V vocabulary, D width.
"""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise.masking import entropy, tiles
from maskwise.masking.entropy import logit_statistics, row_statistics, token_entropy

WAYS = pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
TOLERANCE = {False: 1e-5, True: 5e-5}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_logits(rows, vocabulary, largest, seed=0):
    """Rows from nearly flat to nearly certain, the last of them reaching +-`largest`."""
    scale_R = torch.logspace(-2, 0, rows)[:, None] * largest
    return scale_R * (2 * torch.rand(rows, vocabulary, generator=generator(seed)) - 1)


def reference(logits_RV):
    """Entropy and log p in float64; a term of no probability counts nothing."""
    log_p_RV = logits_RV.double().log_softmax(-1)
    return -torch.special.xlogy(log_p_RV.exp(), log_p_RV.exp()).sum(-1), log_p_RV


def worst(ours, theirs):
    assert ours.shape == theirs.shape
    return (ours.double() - theirs).abs().max().item()


@torch.no_grad()
def test_the_compiled_way_is_really_compiled_here():
    """Else every comparison of the compiled way below would compare the eager way with itself."""
    for parts, dtype in ((1, torch.float32), (2, torch.bfloat16)):
        fold = tiles._compiled(entropy.FOLD, 2048, parts, dtype, torch.device("cpu"))
        assert fold is not entropy.FOLD.plain


@WAYS
@pytest.mark.parametrize("largest", [1.0, 20.0, 1e4])
@pytest.mark.parametrize(("rows", "vocabulary"), [(50, 2), (33, 29), (20, 2049), (8, 30522), (3, 250002)])
def test_entropy_agrees_with_float64_from_the_same_logits(rows, vocabulary, largest, compiled):
    logits_RV = random_logits(rows, vocabulary, largest)
    assert (
        worst(logit_statistics(logits_RV, compiled=compiled).entropy_R, reference(logits_RV)[0]) <= TOLERANCE[compiled]
    )


@WAYS
def test_entropy_of_shifted_logits_agrees_with_float64(compiled):
    """Sums of z e^(z - m) instead of (z - m) e^(z - m) lose three digits here."""
    logits_RV = random_logits(10, 30522, 5.0) + 9000
    assert (
        worst(logit_statistics(logits_RV, compiled=compiled).entropy_R, reference(logits_RV)[0]) <= TOLERANCE[compiled]
    )


@WAYS
def test_a_long_sum_of_equal_terms_does_not_drift(compiled):
    """One running float32 sum of 250,000 times e^-0.1 would be rounded the same way each time."""
    logits_RV = torch.zeros(2, 250002)
    logits_RV[0, 0] = 0.1
    assert (
        worst(logit_statistics(logits_RV, compiled=compiled).entropy_R, reference(logits_RV)[0]) <= TOLERANCE[compiled]
    )


@WAYS
def test_switched_off_tokens_count_nothing(compiled):
    logits_RV = random_logits(9, 5000, 30.0)
    logits_RV[torch.rand(9, 5000, generator=generator(1)) < 0.7] = -torch.inf
    logits_RV[0, :2048] = -torch.inf  # a first tile with nothing in it
    logits_RV[1] = -torch.inf
    logits_RV[1, 4321] = 7.0  # one token left: certain
    ours_R = logit_statistics(logits_RV, compiled=compiled).entropy_R
    assert worst(ours_R, reference(logits_RV)[0]) <= TOLERANCE[compiled]
    assert ours_R[1] < 1e-30


@WAYS
@pytest.mark.parametrize("rows", [0, 1, 100_000])
def test_no_row_one_row_and_a_hundred_thousand(rows, compiled):
    logits_RV = 5 * torch.randn(rows, 17, generator=generator())
    ours_R = logit_statistics(logits_RV, compiled=compiled).entropy_R
    assert ours_R.shape == (rows,)
    torch.testing.assert_close(ours_R.double(), reference(logits_RV)[0], rtol=0, atol=TOLERANCE[compiled])


@WAYS
def test_surprisal_and_log_z_come_with_it(compiled):
    logits_RV = random_logits(40, 3000, 25.0)
    targets_R = torch.randint(3000, (40,), generator=generator())
    statistics = logit_statistics(logits_RV, targets_R, compiled=compiled)
    log_p_RV = reference(logits_RV)[1]
    assert worst(statistics.surprisal_R, -log_p_RV[torch.arange(40), targets_R]) <= TOLERANCE[compiled]
    assert worst(statistics.log_z_R, logits_RV.double().logsumexp(-1)) <= TOLERANCE[compiled]
    assert logit_statistics(logits_RV, compiled=compiled).surprisal_R is None


def head(rows=300, vocabulary=5000, width=64, largest=20.0):
    hidden_RD = torch.randn(rows, width, generator=generator(1))
    weight_VD = torch.randn(vocabulary, width, generator=generator(2))
    bias_V = torch.randn(vocabulary, generator=generator(3))
    return hidden_RD, weight_VD * largest / (hidden_RD @ weight_VD.t()).abs().max(), bias_V


def reference_of_head(hidden_RD, weight_VD, bias_V, targets_R):
    logits_RV = hidden_RD.double() @ weight_VD.double().t() + bias_V.double()
    entropy_R, log_p_RV = reference(logits_RV)
    return entropy_R, -log_p_RV.gather(1, targets_R[:, None])[:, 0], logits_RV.logsumexp(-1)


@WAYS
@pytest.mark.parametrize("largest", [1.0, 30.0, 1000.0])
def test_through_the_head_the_error_is_bounded_by_the_largest_logit(largest, compiled):
    hidden_RD, weight_VD, bias_V = head(largest=largest)
    targets_R = torch.randint(len(weight_VD), (len(hidden_RD),), generator=generator())
    bound = TOLERANCE[compiled] + 1e-6 * (largest + bias_V.abs().max().item()) * torch.tensor(5000.0).log().item()
    ours = row_statistics(hidden_RD, weight_VD, bias_V, targets_R, compiled=compiled)
    for value_R, expected_R in zip(ours, reference_of_head(hidden_RD, weight_VD, bias_V, targets_R), strict=True):
        assert worst(value_R, expected_R) <= bound


@WAYS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("row_chunk", "vocab_chunk"), [(1, 512), (7, 1000), (100, 333), (300, 5000), (999, 9998)])
def test_chunks_of_any_size_give_the_same(row_chunk, vocab_chunk, dtype, compiled):
    if compiled and (row_chunk, vocab_chunk) not in ((1, 512), (100, 333)):
        pytest.skip("every width of tile costs a compilation")
    hidden_RD, weight_VD, bias_V = (tensor.to(dtype) for tensor in head())
    targets_R = torch.arange(300)
    whole = row_statistics(hidden_RD, weight_VD, bias_V, targets_R)
    chunked = row_statistics(
        hidden_RD, weight_VD, bias_V, targets_R, row_chunk=row_chunk, vocab_chunk=vocab_chunk, compiled=compiled
    )
    for ours_R, theirs_R in zip(chunked, whole, strict=True):
        torch.testing.assert_close(ours_R, theirs_R, rtol=1e-5, atol=5e-5)


def test_no_bias_is_a_bias_of_zero_and_a_bias_of_minus_infinity_switches_a_token_off():
    hidden_RD, weight_VD, _ = head(vocabulary=100)
    zeros_V = torch.zeros(100)
    torch.testing.assert_close(row_statistics(hidden_RD, weight_VD), row_statistics(hidden_RD, weight_VD, zeros_V))
    zeros_V[50:] = -torch.inf
    torch.testing.assert_close(
        row_statistics(hidden_RD, weight_VD, zeros_V).entropy_R, row_statistics(hidden_RD, weight_VD[:50]).entropy_R
    )


@WAYS
def test_bfloat16_moves_entropy_a_little_and_hardly_any_pick(compiled):
    """The docstring's claim: rows of every sharpness, Zipf's law in the bias, 19 of 128 tokens picked."""
    hidden_RD = torch.nn.functional.layer_norm(torch.randn(1024, 128, generator=generator(1)), (128,))
    hidden_RD = hidden_RD * (0.25 + 1.5 * torch.rand(1024, 1, generator=generator(2)))
    weight_VD = torch.randn(8192, 128, generator=generator(3)) * 3 / 128**0.5
    bias_V = -torch.arange(1.0, 8193).log()
    exact_R = row_statistics(hidden_RD, weight_VD, bias_V).entropy_R
    half_R = row_statistics(hidden_RD.bfloat16(), weight_VD.bfloat16(), bias_V, compiled=compiled).entropy_R
    error_R = (half_R - exact_R).abs()
    assert half_R.dtype == torch.float32
    assert exact_R.std() > 1
    assert 1e-4 < error_R.mean() < 0.02
    assert error_R.max() < 0.15
    picked, picked_half = (scores_R.view(8, 128).topk(19).indices for scores_R in (exact_R, half_R))
    same = (picked[:, :, None] == picked_half[:, None, :]).any(-1).float().mean()
    assert same >= 0.98


@WAYS
def test_the_weight_follows_the_dtype_of_the_hidden_rows(compiled):
    hidden_RD, weight_VD, bias_V = head()
    ours = row_statistics(hidden_RD.bfloat16(), weight_VD, bias_V, compiled=compiled)
    torch.testing.assert_close(
        ours, row_statistics(hidden_RD.bfloat16(), weight_VD.bfloat16(), bias_V, compiled=compiled)
    )


@WAYS
def test_bad_logits_give_nan_in_their_own_rows_only(compiled):
    """Callers turn NaN into an error; a 0 here would be a token that is never masked, in silence."""
    logits_RV = random_logits(6, 3000, 3.0)
    logits_RV[1, 2999] = torch.nan
    logits_RV[2] = -torch.inf
    logits_RV[3, 5] = torch.inf
    statistics = logit_statistics(logits_RV, torch.zeros(6, dtype=torch.long), row_chunk=2, compiled=compiled)
    bad_R = torch.tensor([False, True, True, True, False, False])
    assert torch.equal(statistics.entropy_R.isnan(), bad_R)
    assert torch.equal(statistics.surprisal_R.isnan(), bad_R)
    assert statistics.log_z_R[2] == -torch.inf


logits_of_any_shape = st.builds(
    lambda rows, vocabulary, largest, shift, seed: random_logits(rows, vocabulary, largest, seed) + shift,
    st.integers(1, 9),
    st.integers(1, 64),
    st.floats(0, 1e4),
    st.integers(-100, 100),
    st.integers(0, 999),
)


@WAYS
@settings(max_examples=60, deadline=None)
@given(logits_RV=logits_of_any_shape)
def test_entropy_lies_between_zero_and_log_v(logits_RV, compiled):
    entropy_R = token_entropy(logits_RV, compiled=compiled)
    assert (entropy_R >= 0).all()
    assert (entropy_R <= torch.tensor(float(logits_RV.shape[1])).log()).all()


@WAYS
@settings(max_examples=60, deadline=None)
@given(logits_RV=logits_of_any_shape, shift=st.integers(-1000, 1000))
def test_entropy_does_not_change_when_a_row_is_shifted(logits_RV, shift, compiled):
    exact_RV = (logits_RV * 8).round() / 8  # so that the shift itself does not round
    shifted_R = token_entropy(exact_RV + shift, compiled=compiled)
    torch.testing.assert_close(shifted_R, token_entropy(exact_RV, compiled=compiled), rtol=0, atol=1e-6)


@WAYS
def test_equal_logits_give_log_v_and_one_above_all_others_gives_zero(compiled):
    logits_RV = torch.zeros(2, 30522)
    logits_RV[1, 7] = 1000
    expected_R = torch.tensor([30522.0, 1.0]).log()
    torch.testing.assert_close(token_entropy(logits_RV, compiled=compiled), expected_R, rtol=0, atol=2e-6)


def test_token_entropy_keeps_the_leading_shape_and_carries_no_gradient():
    logits_BTV = torch.randn(2, 3, 11, generator=generator(), requires_grad=True)
    entropy_BT = token_entropy(logits_BTV)
    assert entropy_BT.shape == (2, 3)
    assert not entropy_BT.requires_grad
    torch.testing.assert_close(entropy_BT, torch.distributions.Categorical(logits=logits_BTV.detach()).entropy())


def test_one_compilation_serves_any_number_of_rows_and_any_large_vocabulary():
    """A compilation takes seconds: one for each last chunk of a batch would cost more than scoring."""
    from torch._dynamo.utils import counters

    tiles._compiled.cache_clear()
    torch._dynamo.reset()
    before = counters["stats"]["unique_graphs"]
    hidden_RD, weight_VD, bias_V = head(vocabulary=4500, width=16)
    for rows in (1, 2, 3, 64, 299, 300):
        row_statistics(hidden_RD[:rows], weight_VD, compiled=True, row_chunk=128)
        row_statistics(hidden_RD[:rows], weight_VD[:2049], bias_V[:2049], torch.arange(rows), compiled=True)
        with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
            row_statistics(hidden_RD[:rows].requires_grad_(), weight_VD, bias_V, compiled=True)
        logit_statistics(hidden_RD[:rows].detach() @ weight_VD.t(), compiled=True)
    assert counters["stats"]["unique_graphs"] == before + 1


def test_without_a_compiler_the_eager_way_is_taken_in_silence(monkeypatch):
    def no_compiler(function, **options):
        def fails(*tensors):
            raise RuntimeError("No working C++ compiler found")

        return fails

    monkeypatch.setattr(torch, "compile", no_compiler)
    tiles._compiled.cache_clear()
    try:
        for dtype in (torch.float32, torch.bfloat16):
            hidden_RD, weight_VD, bias_V = (tensor.to(dtype) for tensor in head())
            ours = row_statistics(hidden_RD, weight_VD, bias_V, compiled=True)
            torch.testing.assert_close(ours, row_statistics(hidden_RD, weight_VD, bias_V))
    finally:
        tiles._compiled.cache_clear()


PEAK_MEMORY = """
import resource, torch
from maskwise.masking.entropy import row_statistics

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

compiled = {compiled}
hidden_RD, weight_VD = torch.randn(32768, 8), torch.randn(30522, 8)
row_statistics(hidden_RD[:2048], weight_VD[:4096], compiled=compiled)
before = peak()
entropy_R = row_statistics(hidden_RD, weight_VD, compiled=compiled).entropy_R
assert entropy_R.isfinite().all() and len(entropy_R) == 32768
print(peak() - before)
"""


@pytest.mark.slow
@WAYS
def test_memory_is_one_tile_whatever_the_number_of_rows(compiled):
    """32,768 rows against 30,522 tokens: 4,000 MB as dense float32 logits."""
    program = PEAK_MEMORY.format(compiled=compiled)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 64


@pytest.mark.gpu
@WAYS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_gives_what_the_cpu_gives(dtype, compiled):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    inputs = [*(tensor.to(dtype) for tensor in head(vocabulary=30522)), torch.arange(300)]
    ours = row_statistics(*(tensor.cuda() for tensor in inputs), compiled=compiled)
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    for ours_R, theirs_R in zip(ours, row_statistics(*inputs), strict=True):
        torch.testing.assert_close(ours_R.cpu(), theirs_R, rtol=0, atol=tolerance)
