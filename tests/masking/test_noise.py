"""Noise without state: the same numbers for the same purpose, and independent ones for any other.

Shapes: B sequences, T positions.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.masking.noise import (
    _GOLDEN,
    _MASK_64,
    Stream,
    _mix,
    _signed,
    coin,
    content_ids,
    hash_bits,
    mix_int,
    uniform_noise,
)

# The first outputs of SplitMix64 from state 1234567 (Rosetta Code).
SPLITMIX64_FROM_1234567 = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]
int64s = st.integers(-(2**63), 2**63 - 1)


def noise(seed=0, epoch=0, first_id=0, num_rows=256, num_positions=256, stream=Stream.PICK):
    ids_B = torch.arange(first_id, first_id + num_rows)
    return uniform_noise(seed, epoch, ids_B, torch.arange(num_positions).expand(num_rows, -1), stream)


def chi_square(observed, expected) -> float:
    observed, expected = torch.as_tensor(observed).double(), torch.as_tensor(expected).double()
    return ((observed - expected) ** 2 / expected).sum().item()


def assert_uncorrelated(first, second):
    """Neither linearly nor on an 8 x 8 grid: 5 standard deviations of what independent noise gives."""
    first, second = first.flatten(), second.flatten()
    correlation = torch.corrcoef(torch.stack([first, second]).double())[0, 1].abs().item()
    assert correlation < 5 / len(first) ** 0.5
    cells = torch.bincount((first * 8).long() * 8 + (second * 8).long(), minlength=64)
    assert chi_square(cells, torch.full((64,), len(first) / 64)) < 63 + 5 * 126**0.5


def test_mixing_gives_the_reference_outputs_of_splitmix64():
    states = [1234567 + i * _GOLDEN for i in range(5)]
    assert [mix_int(state) for state in states] == SPLITMIX64_FROM_1234567


@given(st.lists(int64s, min_size=1, max_size=20))
def test_tensors_and_python_integers_mix_alike(values):
    assert _mix(torch.tensor(values)).tolist() == [_signed(mix_int(value & _MASK_64)) for value in values]


@given(int64s, st.integers(0, 1000), int64s, st.integers(-100, 10**6), st.sampled_from(Stream))
def test_hashed_bits_are_those_of_exact_integer_arithmetic(seed, epoch, example_id, position, stream):
    """Wrapping int64 could differ from 64-bit arithmetic unnoticed, and masks with it between machines."""
    run_key = mix_int(mix_int(mix_int(seed) + stream) + epoch)
    row_key = mix_int((run_key + example_id * _GOLDEN) & _MASK_64)
    expected = mix_int((row_key + position * _GOLDEN) & _MASK_64)
    bits = hash_bits(seed, epoch, torch.tensor([example_id]), torch.tensor([[position]]), stream)
    assert bits.item() & _MASK_64 == expected
    noise = uniform_noise(seed, epoch, torch.tensor([example_id]), torch.tensor([[position]]), stream)
    assert noise.item() == (expected >> 40) / 2**24


def test_noise_is_uniform_on_zero_to_one():
    values = noise().flatten()
    assert values.min() >= 0 and values.max() < 1
    counts = torch.bincount((values * 64).long(), minlength=64)
    assert chi_square(counts, torch.full((64,), len(values) / 64)) < 63 + 5 * 126**0.5
    lowest_bits = (values.double() * 2**24).long() & 63
    counts = torch.bincount(lowest_bits, minlength=64)
    assert chi_square(counts, torch.full((64,), len(values) / 64)) < 63 + 5 * 126**0.5


def test_a_single_row_over_many_epochs_is_uniform_too():
    """Whole-run masks come from one column of this: a position masked too often would never show in a batch."""
    values = torch.stack([noise(epoch=epoch, num_rows=1, num_positions=4) for epoch in range(4000)]).reshape(-1, 4)
    for position in range(4):
        counts = torch.bincount((values[:, position] * 16).long(), minlength=16)
        assert chi_square(counts, torch.full((16,), 250.0)) < 15 + 5 * 30**0.5


@pytest.mark.parametrize("stream", [stream for stream in Stream if stream is not Stream.PICK])
def test_streams_are_independent(stream):
    assert_uncorrelated(noise(), noise(stream=stream))


def test_neighbouring_epochs_seeds_examples_and_positions_are_independent():
    base = noise()
    for other in (noise(epoch=1), noise(seed=1), noise(first_id=1), noise(first_id=2**32), noise(seed=-1)):
        assert_uncorrelated(base, other)
    assert_uncorrelated(base[:, :-1], base[:, 1:])


@given(st.data())
def test_an_example_gets_the_same_noise_in_any_batch(data):
    ids = data.draw(st.lists(int64s, min_size=2, max_size=6))
    ids_B, positions_BT = torch.tensor(ids), torch.arange(5).expand(len(ids), 5)
    whole_BT = uniform_noise(3, 2, ids_B, positions_BT, Stream.PICK)
    cut = data.draw(st.integers(1, len(ids) - 1))
    parts = [
        uniform_noise(3, 2, ids_B[rows], positions_BT[rows], Stream.PICK) for rows in (slice(cut), slice(cut, None))
    ]
    assert torch.equal(torch.cat(parts), whole_BT)
    order = torch.tensor(data.draw(st.permutations(range(len(ids)))))
    assert torch.equal(uniform_noise(3, 2, ids_B[order], positions_BT, Stream.PICK), whole_BT[order])


def test_noise_neither_reads_nor_moves_torchs_random_state():
    torch.manual_seed(1)
    first = noise()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(noise(), first)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_draws_the_same_numbers():
    ids_B, positions_BT = torch.arange(-50, 50), torch.arange(77).expand(100, 77)
    on_cpu = uniform_noise(5, 1, ids_B, positions_BT, Stream.ACTION)
    on_gpu = uniform_noise(5, 1, ids_B.cuda(), positions_BT.cuda(), Stream.ACTION)
    assert torch.equal(on_gpu.cpu(), on_cpu)


def test_the_coin_is_fair_and_forgets_its_last_throw():
    throws = torch.tensor([[coin(seed, step) for step in range(2000)] for seed in range(2)]).float()
    assert (throws.mean(dim=1) - 0.5).abs().max() < 4 * 0.5 / 2000**0.5
    for first, second in ((throws[0], throws[1]), (throws[0, 1:], throws[0, :-1])):
        assert (first == second).float().mean().sub(0.5).abs() < 4 * 0.5 / 2000**0.5


def test_content_ids_tell_texts_apart_and_ignore_padding():
    texts_BT = torch.tensor([[5, 6, 7, 0, 0], [0, 0, 5, 6, 7], [6, 5, 7, 0, 0], [5, 6, 7, 0, 0]])
    is_text_BT = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]).bool()
    positions_BT = torch.tensor([[0, 1, 2, 3, 4], [-2, -1, 0, 1, 2], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]])
    same, moved, swapped, longer = content_ids(texts_BT, positions_BT, is_text_BT).tolist()
    assert same == moved
    assert len({same, swapped, longer}) == 3
